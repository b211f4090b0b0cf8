package port

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Kind says what a connection is for.
type Kind uint8

// The kinds of connections.
const (
	// KindRaft carries Raft's messages.
	KindRaft Kind = 1
	// KindPeer carries gRPC between servers.
	KindPeer Kind = 2
	// KindHello is closed after greeting and reply.
	KindHello Kind = 3
)

// Greeting is what either end says of itself.
type Greeting struct {
	// Cluster, Server and Incarnation are the sender's; Cluster is empty while it belongs to none.
	Cluster     string `json:"cluster,omitempty"`
	Server      string `json:"server"`
	Incarnation string `json:"incarnation"`
	// Address is where the sender's port is reached by others, host:port.
	Address string `json:"address"`
	// To is the server that the dialler means to reach; empty for KindHello. The reply leaves it empty.
	To string `json:"to,omitempty"`
	// Hello is an exchange's contents, which this package does not look at.
	Hello json.RawMessage `json:"hello,omitempty"`
	// Refused is set in a reply that ends the connection.
	Refused *RefusedError `json:"refused,omitempty"`
}

// Reason says why a connection was refused.
type Reason string

// The reasons.
const (
	// ReasonNoCluster: the other end does not belong to a cluster yet.
	ReasonNoCluster Reason = "no cluster"
	// ReasonOtherCluster: the two ends belong to different clusters.
	ReasonOtherCluster Reason = "other cluster"
	// ReasonOtherServer: the address belongs to another server than the one that was meant.
	ReasonOtherServer Reason = "other server"
	// ReasonOtherDisk: the dialler's name is known with another disk.
	ReasonOtherDisk Reason = "other disk"
	// ReasonRemoved: the dialler was removed from the cluster.
	ReasonRemoved Reason = "removed"
)

// RefusedError is a connection that the other end refused.
type RefusedError struct {
	// By is the server that refused.
	By string `json:"by"`
	// Reason says why, Detail in a sentence.
	Reason Reason `json:"reason"`
	Detail string `json:"detail"`
}

// Error says who refused and why.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("server %s refuses the connection: %s: %s", e.By, e.Reason, e.Detail)
}

// ErrNotBerth means that what came over a connection is no greeting.
var ErrNotBerth = errors.New("not a berth server port")

const (
	magic   = "BRTH"
	version = 1
	// GreetingBytesMax is the size of the largest greeting: it has the names and disks of all servers of a state.
	GreetingBytesMax = 192 << 10
)

func writeGreeting(w io.Writer, kind Kind, g *Greeting) error {
	payload, err := json.Marshal(g)
	if err != nil {
		return err
	}
	if len(payload) > GreetingBytesMax {
		return fmt.Errorf("greeting of %d bytes, at most %d are allowed", len(payload), GreetingBytesMax)
	}
	b := append([]byte(magic), version, byte(kind))
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	_, err = w.Write(append(b, payload...))
	return err
}

func readGreeting(r io.Reader) (Kind, *Greeting, error) {
	var h [len(magic) + 6]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, fmt.Errorf("read greeting: %w", err)
	}
	if string(h[:len(magic)]) != magic {
		return 0, nil, fmt.Errorf("it begins with %q: %w", h[:], ErrNotBerth)
	}
	kind, n := Kind(h[len(magic)+1]), binary.BigEndian.Uint32(h[len(magic)+2:])
	if h[len(magic)] != version || kind < KindRaft || kind > KindHello || n > GreetingBytesMax {
		return 0, nil, fmt.Errorf("greeting of version %d, kind %d, %d bytes: %w", h[len(magic)], kind, n, ErrNotBerth)
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, fmt.Errorf("read greeting: %w", err)
	}
	g := &Greeting{}
	if err := json.Unmarshal(payload, g); err != nil {
		return 0, nil, fmt.Errorf("greeting is not JSON: %w", errors.Join(ErrNotBerth, err))
	}
	return kind, g, nil
}
