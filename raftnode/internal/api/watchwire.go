package api

import (
	"sync/atomic"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode/internal/events"
)

// encoded is a message that is encoded already.
type encoded []byte

// Marshal encodes.
func (c *codec) Marshal(message any) (mem.BufferSlice, error) {
	if b, ok := message.(encoded); ok {
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	return c.CodecV2.Marshal(message)
}

// wiresMax is how many events are kept encoded: those that watchers read when they are as far as the state is.
const wiresMax = 4096

// wires keeps events as they are sent, so that each is encoded once however many watch.
type wires struct {
	wire [wiresMax]atomic.Pointer[wire]
}

// wire is what is sent of one event of a ring: a part for each of its types. A message is such parts behind each other.
type wire struct {
	ring  *events.Ring
	at    events.Reading
	parts [2][]byte
}

// of returns what is sent of the event at a place, of the types that watchTypesOf gives.
func (w *wires) of(ring *events.Ring, at events.Reading, e *events.Event, types [2]apiv1.Event_Type) *wire {
	slot := &w.wire[at%wiresMax]
	if x := slot.Load(); x != nil && x.at == at && x.ring == ring {
		return x
	}
	x := &wire{ring: ring, at: at}
	for i, t := range types {
		if t != apiv1.Event_UNSPECIFIED {
			x.parts[i] = appendEvent(nil, watchMessage(e, t))
		}
	}
	slot.Store(x)
	return x
}

// The numbers of fields in WatchResponse.
const (
	fieldEvents  = 3
	fieldPartial = 4
	fieldMark    = 5
)

// appendEvent appends an event to the bytes of a WatchResponse.
func appendEvent(b []byte, e *apiv1.Event) []byte { return appendMessage(b, fieldEvents, e) }

func appendMessage(b []byte, field protowire.Number, m proto.Message) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(proto.Size(m)))
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
	if err != nil {
		panic("api: a message that the server made cannot be encoded: " + err.Error()) // its texts are valid: the state has no others
	}
	return b
}

func appendPartial(b []byte) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, fieldPartial, protowire.VarintType), 1)
}
