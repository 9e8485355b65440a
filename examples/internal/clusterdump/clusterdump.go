// Package clusterdump reads the dump of a cluster, as kubectl prints it, for the
// example programs: the services as one node has to serve them, and every fault.
package clusterdump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/vipkit/vipkit/proxier"
	"github.com/vipkit/vipkit/proxier/kube"
)

// Source is where a dump is, and whose view of it is wanted.
type Source struct {
	// Files hold the dump, one part after the other; "-" is Stdin.
	Files []string
	Stdin io.Reader
	// Default is the dump if there are no Files.
	Default []byte
	// Node is the name of the node that the host is. Empty: the first by name.
	Node string
	// NodeFlag is what the program calls the option for Node, and NoService says
	// what to do about a dump without services; both for errors.
	NodeFlag, NoService string
}

// Cluster is what a dump says, from the view of one node.
type Cluster struct {
	// About says which node that is, in a sentence.
	About string
	// Node is that node; without a name if the dump has none.
	Node kube.Node
	// Objects are what the dump has.
	Objects *kube.Objects
	// Config is what the node tells a proxier.
	Config   proxier.Config
	Services []proxier.Service
	// Faults are what is wrong with single objects. With any, Services are
	// not all that the cluster has.
	Faults Faults
}

// Load reads the dump and makes services of it. The error says why nothing can
// be done with it.
func (s Source) Load() (*Cluster, error) {
	data, err := s.read()
	if err != nil {
		return nil, err
	}
	c := &Cluster{}
	c.Objects, err = kube.Decode(bytes.NewReader(data))
	c.Faults.Add(err)
	if len(c.Objects.Services) == 0 {
		if !errors.Is(err, kube.ErrEmpty) {
			c.Faults.Add(errors.New("the dump has no Service that can be read" + s.NoService))
		}
		return nil, c.Faults.Join()
	}
	if err := c.chooseNode(s.Node, s.NodeFlag); err != nil {
		c.Faults.Add(err)
		return nil, c.Faults.Join()
	}
	c.Services, err = kube.Services(c.Objects, c.Node)
	c.Faults.Add(err)
	pods, err := c.Objects.PodCIDRs()
	c.Faults.Add(err)
	c.Config = proxier.Config{NodeAddresses: c.Node.Addresses, ClusterCIDRs: pods, PodCIDRs: c.Node.PodCIDRs}
	c.Faults.sort()
	c.leaveUncertain()
	return c, nil
}

// read returns the parts of the dump as documents of one stream.
func (s Source) read() ([]byte, error) {
	if len(s.Files) == 0 {
		return s.Default, nil
	}
	var parts [][]byte
	for _, name := range s.Files {
		var part []byte
		var err error
		if name == "-" {
			part, err = io.ReadAll(s.Stdin)
		} else {
			part, err = os.ReadFile(name)
		}
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return bytes.Join(parts, []byte("\n---\n")), nil
}

// chooseNode takes the node of that name, or with none the first.
func (c *Cluster) chooseNode(name, flag string) (err error) {
	names := c.Objects.NodeNames()
	if name == "" {
		if c.Faults.hasObject(func(f *kube.ObjectError) bool { return strings.HasPrefix(f.Kind, "Node") }) {
			return fmt.Errorf("the first Node may be one that cannot be read: choose with %s", flag)
		}
		if len(names) == 0 {
			c.About = "no node in the dump: node ports answer nowhere, no endpoint is local"
			return nil
		}
		name = names[0]
	}
	if !slices.Contains(names, name) {
		return fmt.Errorf("%s %s: not among the nodes of the dump: %s", flag, name, strings.Join(names, ", "))
	}
	c.About = fmt.Sprintf("node %s of %s", name, strings.Join(names, ", "))
	c.Node, err = c.Objects.Node(name)
	c.Faults.Add(err)
	return nil
}

// leaveUncertain takes out the services of which a fault may hide a part that is
// in the host already: their endpoints, or the addresses of their node ports.
func (c *Cluster) leaveUncertain() {
	noEndpoints := c.Faults.hasObject(func(f *kube.ObjectError) bool {
		return f.Kind == "" || f.Kind == "List" || strings.HasPrefix(f.Kind, "EndpointSlice")
	})
	noAddress := c.Faults.hasObject(func(f *kube.ObjectError) bool {
		return f.Kind == "Node" && f.Name == c.Node.Name && strings.HasPrefix(f.Field, "status.addresses")
	})
	c.Services = slices.DeleteFunc(c.Services, func(s proxier.Service) bool {
		isNodePort := func(fe proxier.Frontend) bool { return fe.Kind == proxier.NodePort }
		leave := func(why string) { c.Faults.Add(proxier.ServiceError{Service: s.Name, Err: errors.New(why)}) }
		switch {
		case noEndpoints && len(s.Endpoints) == 0:
			leave("left as it was: its endpoints may be in what cannot be read")
		case noAddress && slices.ContainsFunc(s.Frontends, isNodePort):
			leave("left as it was: an address of its node port cannot be read")
		default:
			return false
		}
		return true
	})
}
