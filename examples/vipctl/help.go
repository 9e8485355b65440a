package main

const help = `vipctl says what the services of a Kubernetes cluster mean for one of its nodes:
what a proxy would write there, and what becomes of a packet. It programs a host
in memory and changes nothing.

usage: vipctl COMMAND -f FILE [option ...]

commands:
  plan    what would be written to the node
  list    the frontends of all services, and who answers at them
  trace   the way of a packet, and every endpoint that it could get
  help    this; "vipctl help COMMAND" for more

` + commonHelp

const commonHelp = `options:
  -f FILE        dump of the cluster, YAML or JSON; - is standard input. Several
                 are read as one: documents are counted through all of them.
                 (kubectl get services,endpointslices,nodes -A -o yaml)
  --node NAME    the node that the host is (default: the first by name)
  -o text|json   for people or for programs (default: text)

exit status: 0 done; 1 something is wrong in the dump or cannot be done, and what
is right was printed all the same; 2 the command line is wrong
`

const planHelp = `usage: vipctl plan -f FILE [option ...]

Prints what a proxy would write to a node on which nothing was ever set up, in
the words of the operator's tools and in the order in which it is written.

` + commonHelp

const listHelp = `usage: vipctl list -f FILE [option ...]

Prints each frontend of each service: its kind, address, policy, affinity, the
clients that may use it, and the endpoints that it has for them. INSIDE is for
pods of the node (or the node itself, where it has no pods), OUTSIDE for
everybody else whom SOURCES admit. Services that cannot be had follow, each with
why.

` + commonHelp

const traceHelp = `usage: vipctl trace -f FILE WHO --to ADDR:PORT/PROTO [option ...]

Follows a packet that begins a connection through the node, and prints each rule
that it meets, what becomes of it, every endpoint that it could get, and the
address that the endpoint sees.

what and where to:
  --to ADDR:PORT/PROTO    PROTO is tcp, udp or sctp; an IPv6 address is put in
                          brackets: [fd00::1]:80/tcp
  --to ADDR/ping          an ICMP echo request

who, with --from, with one of the others, or both:
  --from ADDR[:PORT]      who sends it
  --from-pod              a pod of the node (default: one that is no endpoint)
  --from-host             the node itself (default: the address that it would use)
  --from-outside          somebody beyond the node (default: of no network)

A dump does not say what the node's routing tables do. They are taken to be: the
node's addresses on eth0, in a /24 or /64, with a default route; each pod of the
node on a link of its own; pods of other nodes by way of their nodes. -o json has
them.

` + commonHelp
