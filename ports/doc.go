// Package ports holds ports of this host, so that no program of the host takes
// them: a node port that a program listens on would be hidden by the virtual
// server there, or hide it, and nobody would know why.
//
// A [Conn] binds a socket, which receives nothing: it never listens, and a virtual
// server takes packets before sockets do. A port that a program has already is
// [vipkit.ErrInUse], with the program's name and process number in the detail
// where /proc shows them.
//
// # Kernel versions
//
// Every one. SCTP needs its module (sctp, CONFIG_IP_SCTP), and holding an SCTP
// port loads it.
//
// # Testing
//
// Package portstest has a Fake.
package ports
