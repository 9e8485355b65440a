// Vipctl answers questions about the services of a Kubernetes cluster from a dump
// of it, for one of its nodes. It programs a host in memory as a proxy would
// program the node, and changes nothing.
//
//	vipctl plan  -f FILE [--node NAME] [-o text|json]
//	vipctl list  -f FILE [--node NAME] [-o text|json]
//	vipctl trace -f FILE [--node NAME] [-o text|json] WHO --to ADDR:PORT/PROTO
//
// FILE is what "kubectl get services,endpointslices,nodes -A -o yaml" prints; -
// is standard input. "vipctl help COMMAND" has the options.
//
// # Exit status
//
//	0  done
//	1  something in the dump is wrong, or cannot be done; standard error names
//	   each (list: the table does), and standard output has what is right
//	2  the command line cannot be understood; standard error names the option
//
// What becomes of a traced packet makes no difference: rejected is an answer.
//
// # JSON
//
// With -o json standard output is one object. Its shape is stable: fields may be
// added, and those that there are stay and mean the same. Each field is always
// there; lists are never null. An END is {"address": "10.244.0.5", "port": 80},
// with port 0 where there is none, and "" for the address of a packet whose
// sender picks it.
//
// Of plan:
//
//	node         the node's name, "" if the dump has none
//	steps        in the order in which they are written
//	  phase      such as "add servers"
//	  reason     why it comes where it does
//	  operations in the words of the operator's tools, one each
//	refused      services that cannot be had
//	  service    namespace/name:port, or namespace/name of the whole Service
//	  reasons    one or more
//
// Of list:
//
//	node, refused     as above
//	frontends         sorted by service, then as the service has them
//	  service         namespace/name:port
//	  kind            ClusterIP, ExternalIP, LoadBalancerIP, NodePort, HostPort
//	  address, port   a node port has a frontend for each address of the node
//	  protocol        tcp, udp, sctp
//	  policy          Cluster or Local: the one that holds for the kind
//	  affinitySeconds 0 for none
//	  sourceRanges    who may use it; empty for everybody
//	  scheduler       IPVS's name, such as rr; "" where the frontend is nowhere
//	  forward         Masquerade, FullNAT, Direct, Tunnel
//	  inside, outside what becomes of packets from pods of the node (the node
//	                  itself, if it has none), and from everybody else that
//	                  sourceRanges admit: endpoint, rejected, dropped; nowhere
//	                  for a node port of a node without addresses
//	  endpoints       of the frontend's family, used or not, by address and port
//	    address, port, weight
//	    local         whether it is on the node
//	    ready, serving, terminating
//	    inside, outside whether packets from there can get to it
//
// Of trace:
//
//	node          as above
//	packet        what was asked
//	  protocol    tcp, udp, sctp, ping
//	  from        pod, host, outside
//	  source, destination each an END
//	  link        by which it arrives; "" for the host's own
//	service       null if no service has the destination
//	  name, kind, policy as in list
//	network       what the node's routing tables are taken to be, as lines of
//	              ip -batch
//	verdicts      one for each endpoint that the packet could get, or the only one
//	  outcome     endpoint, host (for the node itself), passed (routed on), rejected,
//	              dropped
//	  to, sees    ENDs: who gets it, and the sender as that one sees it; null if
//	              nobody does
//	  link        by which it leaves; "" if it does not
//	  server      the virtual server that took it, in the words of ipvsadm; or ""
//	  forward     how that one forwards: Masq, Route, Tunnel, Local; or ""
//	  reason      what rejected or dropped it; or ""
//	  unanswered  why the answer does not come back; "" if it does
//	  steps       what it met, in order
//	    where     table, chain and number of a rule, or one of in, out, ipvs, local,
//	              route, answer
//	    what      the rule, or what was decided
//	    then      what that did; or ""
package main
