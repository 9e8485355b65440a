// Package sysctl reads and sets kernel parameters: what sysctl(8) does.
//
// # Identity
//
// A parameter is its path under /proc/sys. A name is written with dots
// ("net.ipv4.ip_forward"), or with slashes where a part of it holds a dot
// ("net/ipv4/conf/eth0.100/arp_ignore"): a name with a slash in it has no
// meaning in its dots. A value is the file's text without the newline; several
// numbers are separated by tabs ("4096\t131072\t6291456").
//
// # Namespaces
//
// Parameters of net.* are those of the network namespace of the thread that
// opens the file, so [Config] takes one. All others are the host's.
//
// # Errors
//
// Each error is a *vipkit.OpError whose Object is the name, and the value where
// one was set: "net.ipv4.ip_forward = 1". A parameter that is not there is
// fs.ErrNotExist: often its module is not loaded (net.ipv4.vs.* is made by
// ip_vs). A file system that is mounted read-only, as containers have it, is
// fs.ErrPermission. A name or value that cannot be one is fs.ErrInvalid, as is
// a value that the kernel refuses.
//
// # Testing
//
// Package sysctltest has a Fake and TestClient, the contract that it and Conn
// pass.
package sysctl
