package fsm

import (
	"errors"
	"fmt"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// The wire form is protobuf, commandpb/command.proto. It is written and read here by hand: reading allocates nothing,
// texts point into the entry.

// op is the number of a command's field in the message Command.
type op = protowire.Number

const (
	opJoin            op = 8
	opLeave           op = 9
	opExpire          op = 10
	opDrain           op = 11
	opPlace           op = 16
	opConfirm         op = 17
	opFail            op = 18
	opRelease         op = 19
	opEvict           op = 20
	opRegisterServer  op = 24
	opRemoveServer    op = 25
	opSetKind         op = 32
	opBlock           op = 33
	opUnblock         op = 34
	opSetFeatureLevel op = 35
	opMove            op = 36

	opOpenSession   op = 40
	opCloseSession  op = 41
	opExpireSession op = 42
	opAcquireLock   op = 44
	opReleaseLock   op = 45
	opBreakLock     op = 46
	opEndLockDelay  op = 47
)

func (*Join) op() op            { return opJoin }
func (*Leave) op() op           { return opLeave }
func (*Expire) op() op          { return opExpire }
func (*Drain) op() op           { return opDrain }
func (*Place) op() op           { return opPlace }
func (*Confirm) op() op         { return opConfirm }
func (*Fail) op() op            { return opFail }
func (*Release) op() op         { return opRelease }
func (*Evict) op() op           { return opEvict }
func (*RegisterServer) op() op  { return opRegisterServer }
func (*RemoveServer) op() op    { return opRemoveServer }
func (*SetKind) op() op         { return opSetKind }
func (*Block) op() op           { return opBlock }
func (*Unblock) op() op         { return opUnblock }
func (*SetFeatureLevel) op() op { return opSetFeatureLevel }
func (*Move) op() op            { return opMove }

// Batch is what a log entry holds beside its commands.
type Batch struct {
	// Term is the Raft term of the tenure that makes the batch.
	Term uint64
	// Barrier is the log index up to which removals are visible to everybody.
	Barrier uint64
	// Time is the leader's clock, in milliseconds since 1970.
	Time uint64
}

// Start begins a tenure.
type Start struct {
	// Server is the name of the server whose tenure it is.
	Server string
	// ReadLease and MemberTTL are the longest that the tenure will grant, in nanoseconds.
	ReadLease, MemberTTL uint64
	// ClusterID and Seed are what the cluster has for its life. The first Start decides.
	ClusterID string
	Seed      uint64
	// Time is the leader's clock, in milliseconds since 1970.
	Time uint64
}

// Encode validates a command and returns its bytes. Errors are those of Body.Validate and ErrCommandTooLarge.
func Encode(c Command) ([]byte, error) {
	if err := c.Body.Validate(); err != nil {
		return nil, err
	}
	var b []byte
	if c.Request != (snapshot.RequestID{}) {
		b = protowire.AppendTag(b, 1, protowire.BytesType)
		b = protowire.AppendBytes(b, c.Request[:])
	}
	b = appendUint(b, 2, c.RetrySince)
	b = protowire.AppendTag(b, c.Body.op(), protowire.BytesType)
	b = protowire.AppendBytes(b, c.Body.append(nil))
	if len(b) > CommandBytesMax {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed: %w", len(b), CommandBytesMax, ErrCommandTooLarge)
	}
	return b, nil
}

// AppendEntry appends the data of a log entry that holds the encoded commands, at most placement.BatchCommandsMax of
// them, in their order.
func AppendEntry(b []byte, batch Batch, commands [][]byte) []byte {
	b = appendUint(b, 1, batch.Term)
	b = appendUint(b, 2, batch.Barrier)
	b = appendUint(b, 3, batch.Time)
	for _, c := range commands {
		b = protowire.AppendTag(b, 4, protowire.BytesType)
		b = protowire.AppendBytes(b, c)
	}
	return b
}

// EncodeStart returns the data of a log entry that begins a tenure.
func EncodeStart(s Start) []byte {
	var m []byte
	m = appendText(m, 1, s.Server)
	m = appendUint(m, 2, s.ReadLease)
	m = appendUint(m, 3, s.MemberTTL)
	m = appendText(m, 4, s.ClusterID)
	m = appendFixed(m, 5, s.Seed)
	b := appendUint(nil, 3, s.Time)
	b = protowire.AppendTag(b, 5, protowire.BytesType)
	return protowire.AppendBytes(b, m)
}

func appendUint(b []byte, n protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
}

func appendBool(b []byte, n protowire.Number, v bool) []byte {
	if !v {
		return b
	}
	return appendUint(b, n, 1)
}

func appendLabel(b []byte, n protowire.Number, l placement.Label) []byte {
	b = protowire.AppendTag(b, n, protowire.BytesType)
	return protowire.AppendBytes(b, appendText(appendText(nil, 1, l.Name), 2, l.Value))
}

func appendFixed(b []byte, n protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendFixed64(protowire.AppendTag(b, n, protowire.Fixed64Type), v)
}

func appendText(b []byte, n protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
}

func appendIdentity(b []byte, id placement.Identity) []byte {
	return appendText(appendText(b, 1, id.Kind), 2, id.Key)
}

func (c *Join) append(b []byte) []byte {
	m := &c.Member
	b = appendText(appendText(b, 1, string(m.ID)), 2, m.Address)
	for _, k := range m.Kinds {
		b = appendText(b, 3, k)
	}
	for _, l := range m.Labels {
		b = appendLabel(b, 4, l)
	}
	return appendUint(appendUint(b, 5, uint64(m.Weight)), 6, uint64(m.Capacity))
}

func (c *Leave) append(b []byte) []byte  { return appendFixed(b, 1, uint64(c.Incarnation)) }
func (c *Expire) append(b []byte) []byte { return appendFixed(b, 1, uint64(c.Incarnation)) }

func (c *Drain) append(b []byte) []byte {
	return appendUint(appendBool(appendFixed(b, 1, uint64(c.Incarnation)), 2, c.Off), 3, uint64(c.Rate))
}

func (c *Place) append(b []byte) []byte {
	b = appendText(appendIdentity(b, c.Identity), 3, string(c.Near.Member))
	return appendText(appendText(b, 4, c.Near.Label.Name), 5, c.Near.Label.Value)
}

func (c *Confirm) append(b []byte) []byte {
	return appendFixed(appendFixed(appendIdentity(b, c.Identity), 3, uint64(c.Incarnation)), 4, uint64(c.Epoch))
}

func (c *Fail) append(b []byte) []byte {
	b = appendFixed(appendIdentity(b, c.Identity), 3, uint64(c.Epoch))
	return appendText(appendUint(b, 4, uint64(c.Failure.Code)), 5, c.Failure.Text)
}

func (c *Release) append(b []byte) []byte {
	b = appendFixed(appendFixed(appendIdentity(b, c.Identity), 3, uint64(c.Incarnation)), 4, uint64(c.Epoch))
	return appendText(appendUint(b, 5, uint64(c.Failure.Code)), 6, c.Failure.Text)
}

func (c *Evict) append(b []byte) []byte {
	return appendFixed(appendIdentity(b, c.Identity), 3, uint64(c.Epoch))
}

func (c *RegisterServer) append(b []byte) []byte {
	s := &c.Server
	b = appendText(appendText(appendText(b, 1, s.Name), 2, s.Incarnation), 3, s.RaftAddress)
	b = appendText(appendText(b, 4, s.GRPCAddress), 5, s.HTTPAddress)
	return appendText(appendUint(b, 6, uint64(s.FeatureLevel)), 7, s.Version)
}

func (c *RemoveServer) append(b []byte) []byte { return appendText(b, 1, c.Name) }

func (c *SetKind) append(b []byte) []byte {
	s := &c.Settings
	b = appendUint(appendText(appendText(b, 1, c.Kind), 2, s.Strategy), 3, uint64(s.Attempts))
	b = appendUint(b, 4, uint64(s.Settle))
	for _, l := range s.Require {
		if l != (placement.Label{}) {
			b = appendLabel(b, 5, l)
		}
	}
	b = appendBool(b, 6, c.Unset.Require)
	b = appendBool(appendUint(b, 7, uint64(s.MemberCapacity)), 8, c.Unset.MemberCapacity)
	return appendBool(appendUint(b, 9, uint64(s.ConfirmMs)), 10, c.Unset.ConfirmMs)
}

func appendSubject(b []byte, s snapshot.Subject) []byte {
	return appendText(appendText(appendText(b, 1, string(s.Member)), 2, s.Identity.Kind), 3, s.Identity.Key)
}

func (c *Block) append(b []byte) []byte {
	b = appendText(appendText(appendSubject(b, c.Subject), 4, c.Reason), 5, c.By)
	return appendUint(appendUint(b, 6, c.Until), 7, c.Lasts)
}

func (c *Unblock) append(b []byte) []byte { return appendSubject(b, c.Subject) }

func (c *SetFeatureLevel) append(b []byte) []byte { return appendUint(b, 1, uint64(c.Level)) }

func (c *Move) append(b []byte) []byte {
	return appendText(appendFixed(appendIdentity(b, c.Identity), 3, uint64(c.Epoch)), 4, string(c.To))
}

// errTruncated is the cause when a field ends before it should.
var errTruncated = errors.New("a field is cut short or malformed")

// field is one field of a message: the number, and the value by its wire type.
type field struct {
	number protowire.Number
	kind   protowire.Type
	value  uint64
	bytes  []byte
}

// text points into the entry.
func (f *field) text() string { return unsafe.String(unsafe.SliceData(f.bytes), len(f.bytes)) }

// nextField cuts the first field off b.
func nextField(b []byte) (f field, rest []byte, err error) {
	number, kind, n := protowire.ConsumeTag(b)
	if n < 0 {
		return f, nil, errTruncated
	}
	b = b[n:]
	f = field{number: number, kind: kind}
	switch kind {
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(b)
	case protowire.Fixed64Type:
		f.value, n = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b)
	default:
		return f, nil, fmt.Errorf("field %d has wire type %d", number, kind)
	}
	if n < 0 {
		return f, nil, errTruncated
	}
	return f, b[n:], nil
}

// is checks number and type of a field.
func (f *field) is(number protowire.Number, kind protowire.Type) bool {
	return f.number == number && f.kind == kind
}

// fields calls take with every field of a message.
func fields(b []byte, take func(*field) error) error {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return err
		}
		b = rest
		if err := take(&f); err != nil {
			return err
		}
	}
	return nil
}

// unknown is the error for a field that this version does not know: it was written by a newer one, and skipping it
// would make another state than the newer version makes.
func (f *field) unknown(message string) error {
	return fmt.Errorf("%s has field %d of wire type %d: %w", message, f.number, f.kind, ErrUnknownCommand)
}
