package switchnet

// Kind is what hosts of a Network are joined by.
type Kind string

// The kinds.
const (
	// TAP is TAP devices and a switch in this process, which can make links as bad as a Link says.
	TAP Kind = "tap"
	// Veth is pairs of veth devices and a bridge of the kernel, whose packet filter can cut links, and do no more.
	Veth Kind = "veth"
)
