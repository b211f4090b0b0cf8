package switchnet

import "fmt"

// HostsMax is the largest number of hosts of a network.
const HostsMax = 64

// address is the IPv4 address of a host: 10.99.0.1 is the first one's.
func address(host int) [4]byte { return [4]byte{10, 99, 0, byte(host + 1)} }

func addressText(host int) string {
	a := address(host)
	return fmt.Sprintf("%d.%d.%d.%d", a[0], a[1], a[2], a[3])
}

// hardware is the address of a host's device. It is locally administered, and its last byte says whose it is.
func hardware(host int) [6]byte { return [6]byte{0x02, 'b', 'e', 'r', 't', byte(host + 1)} }

// destination is the host that a frame is for. Broadcasts are for nobody: the hosts know each other's addresses.
func destination(data []byte, hosts int) (int, bool) {
	if len(data) < 14 {
		return 0, false
	}
	host := int(data[5]) - 1
	return host, host >= 0 && host < hosts && [6]byte(data[:6]) == hardware(host)
}
