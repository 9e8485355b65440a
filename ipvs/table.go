package ipvs

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/vipkit/vipkit"
)

// WriteTable writes what ipvsadm -Ln prints: every virtual server with its
// destinations and their connections. The order is that of [Key.Compare], which
// ipvsadm's is too but for addresses that are far apart: it compares them by a
// signed difference.
func WriteTable(ctx context.Context, w io.Writer, c Client) error {
	info, err := c.Info(ctx)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "IP Virtual Server version %d.%d.%d (size=%d)\n",
		info.Version[0], info.Version[1], info.Version[2], info.ConnTableSize)
	fmt.Fprintln(out, "Prot LocalAddress:Port Scheduler Flags")
	fmt.Fprintln(out, "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn")
	var line []byte
	err = walk(ctx, c, func(s *ServiceInfo) error {
		line = append(s.appendRow(line[:0]), '\n')
		_, err := out.Write(line)
		return err
	}, func(_ *ServiceInfo, d *DestinationInfo) error {
		_, err := fmt.Fprintf(out, "  -> %-28s %-7s %-6d %-10d %-10d\n", d.DestKey, d.Forward, d.Weight, d.Active, d.Inactive)
		return err
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

// WriteSave writes what ipvsadm -Sn prints, which ipvsadm -R reads, in the order
// of [Key.Compare]. It adds thresholds, which ipvsadm leaves out.
func WriteSave(ctx context.Context, w io.Writer, c Client) error {
	out := bufio.NewWriter(w)
	var line []byte
	write := func(change Change) error {
		line = append(change.append(line[:0]), '\n')
		_, err := out.Write(line)
		return err
	}
	servers, err := Snapshot(ctx, c)
	if err != nil {
		return err
	}
	for _, change := range Diff(nil, servers) {
		if err := write(change); err != nil {
			return err
		}
	}
	return out.Flush()
}

// walk visits everything in order, until a visit fails. It reads all services
// before it visits the first.
func walk(ctx context.Context, c Client, service func(*ServiceInfo) error, destination func(*ServiceInfo, *DestinationInfo) error) error {
	var services []ServiceInfo
	for s, err := range c.Services(ctx) {
		if err != nil {
			return err
		}
		services = append(services, s)
	}
	slices.SortFunc(services, func(a, b ServiceInfo) int { return a.Key.Compare(b.Key) })
	for i := range services {
		if err := service(&services[i]); err != nil {
			return err
		}
		var destinations []DestinationInfo
		for d, err := range c.Destinations(ctx, services[i].Key) {
			if err != nil {
				return err
			}
			destinations = append(destinations, d)
		}
		slices.SortFunc(destinations, func(a, b DestinationInfo) int { return a.DestKey.Compare(b.DestKey) })
		for j := range destinations {
			if err := destination(&services[i], &destinations[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

// appendRow appends the service as a row of ipvsadm -Ln.
func (s *Service) appendRow(b []byte) []byte {
	if s.Mark != 0 {
		b = strconv.AppendUint(append(b, "FWM  "...), uint64(s.Mark), 10)
		if s.Family() == vipkit.IPv6 {
			b = append(b, " IPv6"...)
		}
	} else {
		b = fmt.Appendf(b, "%-4s ", protocolColumn(s.Protocol))
		b = appendAddrPort(b, s.Addr, s.Port)
	}
	b = append(append(b, ' '), s.Scheduler...)
	if names := s.appendFlags(nil); len(names) > 0 {
		b = fmt.Appendf(b, " (%s)", names)
	}
	if s.Timeout != 0 {
		b = strconv.AppendInt(append(b, " persistent "...), int64(s.Timeout/time.Second), 10)
	}
	if bits := s.PersistenceBits; bits != 0 && bits != fullBits(s.Addr) {
		b = appendMask(append(b, " mask "...), s.Addr, bits)
	}
	if s.PersistenceEngine != "" {
		b = append(append(b, " pe "...), s.PersistenceEngine...)
	}
	if s.Flags&OnePacket != 0 {
		b = append(b, " ops"...)
	}
	return b
}

func protocolColumn(p vipkit.Protocol) string {
	switch p {
	case vipkit.TCP:
		return "TCP"
	case vipkit.UDP:
		return "UDP"
	case vipkit.SCTP:
		return "SCTP"
	}
	return p.String()
}
