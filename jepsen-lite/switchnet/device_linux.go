package switchnet

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const device = "eth0"

// openDevice makes the device of the calling thread's namespace. It exists as long as the file is open.
func openDevice() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &UnavailableError{Need: "/dev/net/tun", Next: "load the module tun (modprobe tun) and run it as root, or choose tier 2", Err: err, device: true}
	}
	req, err := unix.NewIfreq(device)
	if err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, &UnavailableError{Need: "a TAP device", Next: "run it as root, or choose tier 2", Err: err, device: true}
	}
	// Not before: a file without a device tells the poller nothing, for ever.
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

// configure gives the device of the calling thread's namespace its addresses, tells it all other hosts', and has it and
// the loopback device run.
func configure(host, hosts int) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(s) }()
	own := address(host)
	for _, step := range []struct {
		what    string
		device  string
		request uint
		set     func(*unix.Ifreq) error
	}{
		{"hardware address", device, unix.SIOCSIFHWADDR, func(r *unix.Ifreq) error { setHardware(r, hardware(host)); return nil }},
		{"address", device, unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(own[:]) }},
		{"netmask", device, unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{255, 255, 255, 0}) }},
		{"running", device, unix.SIOCSIFFLAGS, up},
		{"running", "lo", unix.SIOCSIFFLAGS, up},
	} {
		req, err := unix.NewIfreq(step.device)
		if err == nil {
			err = step.set(req)
		}
		if err == nil {
			err = unix.IoctlIfreq(s, step.request, req)
		}
		if err != nil {
			return fmt.Errorf("%s of %s: %w", step.what, step.device, err)
		}
	}
	for other := range hosts {
		if other != host {
			if err := introduce(s, other); err != nil {
				return fmt.Errorf("the address of host %d: %w", other, err)
			}
		}
	}
	return nil
}

func up(r *unix.Ifreq) error {
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return nil
}

// rawRequest is struct ifreq with an address in it, as the kernel has it.
type rawRequest struct {
	name   [unix.IFNAMSIZ]byte
	family uint16
	data   [22]byte
}

// setHardware puts an Ethernet address into a request.
func setHardware(r *unix.Ifreq, a [6]byte) {
	raw := (*rawRequest)(unsafe.Pointer(r))
	raw.family = unix.ARPHRD_ETHER
	copy(raw.data[:], a[:])
}

// arpRequest is struct arpreq.
type arpRequest struct {
	protocol, hardware unix.RawSockaddr
	flags              int32
	netmask            unix.RawSockaddr
	device             [unix.IFNAMSIZ]byte
}

// introduce tells the kernel the hardware address of a host for ever: nobody has to ask, and a cut is silent.
func introduce(socket, host int) error {
	var r arpRequest
	r.protocol.Family = unix.AF_INET
	a, h := address(host), hardware(host)
	for i, b := range a {
		setByte(&r.protocol, 2+i, b) // behind the port
	}
	r.hardware.Family = unix.ARPHRD_ETHER
	for i, b := range h {
		setByte(&r.hardware, i, b)
	}
	r.flags = atfCom | atfPerm
	copy(r.device[:], device)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(socket), unix.SIOCSARP, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return errno
	}
	return nil
}

// Flags of an entry: complete, and permanent.
const (
	atfCom  = 0x02
	atfPerm = 0x04
)

// setByte sets a byte of an address; its type is signed on some machines and not on others.
func setByte(a *unix.RawSockaddr, i int, b byte) {
	*(*byte)(unsafe.Pointer(&a.Data[i])) = b
}
