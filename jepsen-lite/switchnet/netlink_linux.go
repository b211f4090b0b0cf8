package switchnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// netlink is a socket to the kernel, of the namespace in which it was opened. It is for one goroutine at a time.
type netlink struct {
	fd  int
	seq uint32
}

// netlinkTimeout bounds the waiting for an answer: the kernel answers at once, or something is wrong with the request.
const netlinkTimeout = 5 * time.Second

// openNetlink opens a socket of a netlink family in the namespace of the calling thread.
func openNetlink(family int) (*netlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, family)
	if err != nil {
		return nil, err
	}
	t := unix.NsecToTimeval(netlinkTimeout.Nanoseconds())
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}), unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &t)); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return &netlink{fd: fd}, nil
}

func (n *netlink) close() error { return unix.Close(n.fd) }

// begin begins a message whose end the kernel is to confirm, unless it is one that frames a batch.
func (n *netlink) begin(kind, flags uint16, header []byte) *message {
	n.seq++
	m := &message{seq: n.seq, bytes: make([]byte, unix.SizeofNlMsghdr, 256)}
	binary.NativeEndian.PutUint16(m.bytes[4:], kind)
	binary.NativeEndian.PutUint16(m.bytes[6:], unix.NLM_F_REQUEST|flags)
	binary.NativeEndian.PutUint32(m.bytes[8:], n.seq)
	m.bytes = append(m.bytes, header...)
	return m
}

// send sends messages as one, and waits until the kernel has confirmed the one with the number last. The error is the kernel's
// first.
func (n *netlink) send(last uint32, list ...*message) error {
	return n.ask(list, func(kind uint16, number uint32, _ []byte) bool { return kind == unix.NLMSG_ERROR && number == last })
}

// attribute asks a question, and returns an attribute of the answer, which stands behind a header of so many bytes; nil when
// the answer has none.
func (n *netlink) attribute(m *message, header int, want uint16) (value []byte, err error) {
	err = n.ask([]*message{m}, func(kind uint16, number uint32, body []byte) bool {
		if number != m.seq || kind == unix.NLMSG_ERROR {
			return false
		}
		for b := body[min(len(body), header):]; len(b) >= unix.SizeofNlAttr; {
			length := int(binary.NativeEndian.Uint16(b))
			if binary.NativeEndian.Uint16(b[2:]) == want && length >= unix.SizeofNlAttr && length <= len(b) {
				value = slices.Clone(b[unix.SizeofNlAttr:length])
			}
			b = b[min(len(b), align(max(length, unix.SizeofNlAttr))):]
		}
		return true
	})
	return value, err
}

// ask sends messages as one, and gives what the kernel answers to f until that says that it was the last. The error is the kernel's
// first.
func (n *netlink) ask(list []*message, f func(kind uint16, number uint32, body []byte) (last bool)) error {
	var all []byte
	first := list[0].seq
	for _, m := range list {
		all = append(all, m.whole()...)
		first = min(first, m.seq)
	}
	if err := unix.Sendto(n.fd, all, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		size, _, err := unix.Recvfrom(n.fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for the kernel's answer: %w", err)
		}
		for b := buf[:size]; len(b) >= unix.SizeofNlMsghdr; {
			length := int(binary.NativeEndian.Uint32(b))
			kind, number := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint32(b[8:])
			body := b[unix.SizeofNlMsghdr:max(unix.SizeofNlMsghdr, min(len(b), length))]
			b = b[min(len(b), align(max(length, unix.SizeofNlMsghdr))):]
			if number < first {
				continue // to what failed before
			}
			if kind == unix.NLMSG_ERROR && len(body) >= 4 {
				if errno := -int32(binary.NativeEndian.Uint32(body)); errno != 0 {
					return unix.Errno(errno)
				}
			}
			if f(kind, number, body) {
				return nil
			}
		}
	}
}

// message is a message in the making.
type message struct {
	seq   uint32
	bytes []byte
}

// whole is the message with its length.
func (m *message) whole() []byte {
	binary.NativeEndian.PutUint32(m.bytes, uint32(len(m.bytes)))
	return m.bytes
}

// align is where what follows so many bytes begins.
func align(n int) int { return (n + 3) &^ 3 }

// part appends an attribute that consists of what f appends.
func (m *message) part(kind uint16, f func()) {
	at := len(m.bytes)
	m.bytes = append(m.bytes, make([]byte, unix.SizeofNlAttr)...)
	f()
	binary.NativeEndian.PutUint16(m.bytes[at:], uint16(len(m.bytes)-at))
	binary.NativeEndian.PutUint16(m.bytes[at+2:], kind)
	m.bytes = append(m.bytes, make([]byte, align(len(m.bytes))-len(m.bytes))...)
}

// nest appends an attribute that consists of the attributes that f appends.
func (m *message) nest(kind uint16, f func()) { m.part(kind|unix.NLA_F_NESTED, f) }

// data appends an attribute of bytes, and text one that is a text.
func (m *message) data(kind uint16, b []byte) {
	m.part(kind, func() { m.bytes = append(m.bytes, b...) })
}

func (m *message) text(kind uint16, s string) { m.data(kind, append([]byte(s), 0)) }

// native and network append an attribute that is a number, in the byte order of the machine or of the network.
func (m *message) native(kind uint16, v uint32) {
	m.data(kind, binary.NativeEndian.AppendUint32(nil, v))
}

func (m *message) network(kind uint16, v uint32) {
	m.data(kind, binary.BigEndian.AppendUint32(nil, v))
}
