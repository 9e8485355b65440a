// Package iptables reads and changes the rules of iptables and ip6tables: a
// [Client] saves tables as values and restores edits atomically.
//
// A [Conn] does it with one iptables-save or one iptables-restore --noflush for
// a whole job, on either back end of the tools (nft or legacy). It never runs
// iptables itself but to ask its version.
//
// # Identity
//
// A chain is its family, table and name. A rule is its text: two are equal (==)
// when they are after [Normalize], which writes a rule as iptables-save prints
// it. [Client.Save] returns normalised rules only, whatever the version of the
// tools print, so wanted and observed rules compare with ==. Normalize knows
// the matches and targets that service proxies use (set, mark, connmark, conntrack,
// addrtype, ipvs, physdev, multiport, statistic, comment, tcp, udp, sctp, icmp;
// MARK, CONNMARK, MASQUERADE, REDIRECT, SNAT, DNAT, REJECT, SET, CT) and leaves all
// others as they are; [Rule.Parse] takes any rule apart that iptables-save prints.
// The position of a jump is part of the state: see [Owned]. Counters never are:
// they come beside the rules, and only if asked for ([Config]).
//
// A table that nobody uses (no rule, no chain of somebody's own, every policy
// ACCEPT) is the same as one that is not there. The tools differ here: the
// legacy ones list it for ever once it was looked at.
//
// # Atomicity
//
// All edits of a table take effect together or not at all. Edits of several
// tables do not: each table is committed by itself, in the order of its first
// edit, and the first refusal ends the restore. If the context ends while the
// tool is running the tool is killed, and whether the table under way was
// committed is unknown: Save tells. Either back end does what it does at one
// instant, so nothing is ever half done within a table.
//
// # Errors
//
// A refused restore is a [vipkit.OpError] whose Object is the edit and whose
// Detail is the tool's own words. The nft back end names the line of any refusal.
// The legacy one says only "line N failed", so the kind is found by reading the
// table again; what the kernel refuses it reports for the table as a whole, and
// then the Object is all of the table's edits in short, unless only one can be
// meant. What is wrong whatever the kernel says is refused with fs.ErrInvalid
// before a tool is started: see [Validate].
//
// # Two back ends
//
// The kernel keeps the rules of the nft and of the legacy back end apart and asks
// both. A Conn uses the one that it was told, or the host's; Info tells which, and
// [Conn.Elsewhere] what the other one holds.
//
// # Versions
//
// Tools from 1.8.0 on; tried with 1.8.9 on kernels 6.1, 6.12 and 6.18. Legacy
// tools take a lock on the whole host (/run/xtables.lock, or the variable
// XTABLES_LOCKFILE); a Restore waits for it as long as its context allows, and
// fails with [ErrLocked] then.
//
// # Testing
//
// Package iptablestest has a Fake that refuses what the tools and the kernel
// refuse, and TestClient, the contract that it and Conn pass.
package iptables
