// Package switchnet is a network of hosts on one machine: each host is a network namespace with a TAP device, and the
// devices are joined by a switch in this process, which delays, loses, duplicates, reorders and slows frames, or
// carries none, for each direction of each pair of hosts by itself. No tool, no kernel queueing discipline and no packet
// filter is needed, and the machine's own network is not touched.
//
// Where there are no TAP devices, the hosts are joined by pairs of veth devices and a bridge of the kernel, in a namespace of its own. A packet
// filter there (nf_tables, told over netlink: no tool is needed) cuts links, each direction by itself and all at one moment.
// It does nothing else: a link that is slow or loses frames is refused with a LinkError.
//
// Nothing can be left behind. The namespaces have no names: they, and the devices in them, exist as long as this process
// holds them open or a process runs in them, and processes that are started by Host.Do with the signal of a parent's
// death (package procs) end with this one, however it does.
//
// The hosts know each other's addresses from the beginning, so a cut is silent, as between machines with routers in
// between: nothing comes back, neither an answer nor an error.
//
// It needs Linux, the right to make network namespaces, and /dev/net/tun or a kernel with bridge, veth and nf_tables, as Debian's
// has; without them Open says what is missing.
//
// Goroutines: one for each host's device and one for frames on their way, until Network.Close; one for each host, locked
// to a thread that lives in the host's namespace, until then, too.
package switchnet
