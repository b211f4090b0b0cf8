package fsm

import (
	"cmp"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// entry is a decoded log entry. Its slices point into the data.
type entry struct {
	batch    Batch
	start    *Start
	commands [][]byte
}

// decodeEntry cuts a log entry into its commands, which are still encoded. into is reused.
func decodeEntry(data []byte, into *entry) error {
	*into = entry{commands: into.commands[:0]}
	var start []byte
	for len(data) > 0 {
		f, rest, err := nextField(data)
		if err != nil {
			return err
		}
		data = rest
		switch {
		case f.is(4, protowire.BytesType):
			if len(into.commands) == placement.BatchCommandsMax {
				return fmt.Errorf("a batch has more than %d commands", placement.BatchCommandsMax)
			}
			into.commands = append(into.commands, f.bytes)
		case f.is(1, protowire.VarintType):
			into.batch.Term = f.value
		case f.is(2, protowire.VarintType):
			into.batch.Barrier = f.value
		case f.is(3, protowire.VarintType):
			into.batch.Time = f.value
		case f.is(5, protowire.BytesType):
			start = f.bytes
		default:
			return f.unknown("an entry")
		}
	}
	if start == nil {
		return nil
	}
	if len(into.commands) > 0 || into.batch.Term != 0 || into.batch.Barrier != 0 {
		return fmt.Errorf("a Start does not stand alone")
	}
	var err error
	into.start, err = decodeStart(start, into.batch.Time)
	return err
}

func decodeStart(b []byte, time uint64) (*Start, error) {
	s := &Start{Time: time}
	err := fields(b, func(f *field) error {
		switch {
		case f.is(1, protowire.BytesType):
			s.Server = string(f.bytes)
		case f.is(2, protowire.VarintType):
			s.ReadLease = f.value
		case f.is(3, protowire.VarintType):
			s.MemberTTL = f.value
		case f.is(4, protowire.BytesType):
			s.ClusterID = string(f.bytes)
		case f.is(5, protowire.Fixed64Type):
			s.Seed = f.value
		default:
			return f.unknown("a Start")
		}
		return nil
	})
	return s, err
}

// command is a command whose body is still encoded.
type command struct {
	request    snapshot.RequestID
	retrySince uint64
	op         op
	body       []byte
}

func decodeCommand(b []byte) (c command, err error) {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return c, err
		}
		b = rest
		switch {
		case f.is(1, protowire.BytesType):
			if len(f.bytes) != len(c.request) {
				return c, fmt.Errorf("a request's identifier has %d bytes", len(f.bytes))
			}
			c.request = snapshot.RequestID(f.bytes)
		case f.is(2, protowire.VarintType):
			c.retrySince = f.value
		case f.number >= opJoin && f.kind == protowire.BytesType:
			if c.op != 0 {
				return c, fmt.Errorf("a command has two bodies, %d and %d", c.op, f.number)
			}
			c.op, c.body = f.number, f.bytes
		default:
			return c, f.unknown("a command")
		}
	}
	if c.op == 0 {
		return c, fmt.Errorf("a command has no body: %w", ErrUnknownCommand)
	}
	return c, nil
}

// identity is what a command about a placement speaks of, as far as the first two fields of its body say. It is a hint, and
// is not checked; its texts point into the entry.
func (c *command) identity() (id placement.Identity, ok bool) {
	if c.op < opPlace || c.op > opEvict {
		return id, false
	}
	kind, rest, err := nextField(c.body)
	if err != nil || !kind.is(1, protowire.BytesType) {
		return id, false
	}
	key, _, err := nextField(rest)
	if err != nil || !key.is(2, protowire.BytesType) {
		return id, false
	}
	return placement.Identity{Kind: kind.text(), Key: key.text()}, true
}

// held is the body of the commands that speak of one placement. Its texts point into the entry.
type held struct {
	identity    placement.Identity
	incarnation placement.Incarnation
	epoch       placement.Epoch
}

// decodePlace reads the body of Place. Its texts point into the entry.
func decodePlace(b []byte) (c Place, err error) {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return c, err
		}
		b = rest
		switch {
		case f.is(1, protowire.BytesType):
			c.Identity.Kind = f.text()
		case f.is(2, protowire.BytesType):
			c.Identity.Key = f.text()
		case f.is(3, protowire.BytesType):
			c.Near.Member = placement.MemberID(f.text())
		case f.is(4, protowire.BytesType):
			c.Near.Label.Name = f.text()
		case f.is(5, protowire.BytesType):
			c.Near.Label.Value = f.text()
		default:
			return c, f.unknown("a Place")
		}
	}
	return c, nil
}

// decodeHeld reads the bodies of Confirm, Release and Evict: kind 1 and key 2, then what the command has
// of incarnation and epoch, at the numbers given; zero for none.
func decodeHeld(b []byte, incarnation, epoch protowire.Number) (h held, err error) {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return h, err
		}
		b = rest
		switch {
		case f.is(1, protowire.BytesType):
			h.identity.Kind = f.text()
		case f.is(2, protowire.BytesType):
			h.identity.Key = f.text()
		case incarnation != 0 && f.is(incarnation, protowire.Fixed64Type):
			h.incarnation = placement.Incarnation(f.value)
		case epoch != 0 && f.is(epoch, protowire.Fixed64Type):
			h.epoch = placement.Epoch(f.value)
		default:
			return h, f.unknown("a command about an identity")
		}
	}
	return h, nil
}

// decodeIncarnation reads the bodies of Leave and Expire.
func decodeIncarnation(b []byte) (inc placement.Incarnation, err error) {
	err = fields(b, func(f *field) error {
		if !f.is(1, protowire.Fixed64Type) {
			return f.unknown("a command about an incarnation")
		}
		inc = placement.Incarnation(f.value)
		return nil
	})
	return inc, err
}

func decodeDrain(b []byte) (c Drain, err error) {
	err = fields(b, func(f *field) error {
		switch {
		case f.is(1, protowire.Fixed64Type):
			c.Incarnation = placement.Incarnation(f.value)
		case f.is(2, protowire.VarintType):
			c.Off = f.value != 0
		case f.is(3, protowire.VarintType):
			c.Rate = uint32(min(f.value, 1<<32-1))
		default:
			return f.unknown("a Drain")
		}
		return nil
	})
	return c, err
}

func decodeJoin(b []byte) (*placement.Member, error) {
	m := &placement.Member{}
	err := fields(b, func(f *field) error {
		switch {
		case f.is(1, protowire.BytesType):
			m.ID = placement.MemberID(f.bytes)
		case f.is(2, protowire.BytesType):
			m.Address = string(f.bytes)
		case f.is(3, protowire.BytesType):
			m.Kinds = append(m.Kinds, string(f.bytes))
		case f.is(4, protowire.BytesType):
			l, err := decodeLabel(f.bytes)
			m.Labels = append(m.Labels, l)
			return err
		case f.is(5, protowire.VarintType):
			m.Weight = uint32(min(f.value, 1<<32-1))
		case f.is(6, protowire.VarintType):
			m.Capacity = uint32(min(f.value, 1<<32-1))
		default:
			return f.unknown("a Join")
		}
		return nil
	})
	m.Normalize()
	return m, err
}

func decodeLabel(b []byte) (l placement.Label, err error) {
	err = fields(b, func(f *field) error {
		switch {
		case f.is(1, protowire.BytesType):
			l.Name = string(f.bytes)
		case f.is(2, protowire.BytesType):
			l.Value = string(f.bytes)
		default:
			return f.unknown("a label")
		}
		return nil
	})
	return l, err
}

func decodeServer(b []byte) (s snapshot.Server, err error) {
	err = fields(b, func(f *field) error {
		switch {
		case f.is(1, protowire.BytesType):
			s.Name = string(f.bytes)
		case f.is(2, protowire.BytesType):
			s.Incarnation = string(f.bytes)
		case f.is(3, protowire.BytesType):
			s.RaftAddress = string(f.bytes)
		case f.is(4, protowire.BytesType):
			s.GRPCAddress = string(f.bytes)
		case f.is(5, protowire.BytesType):
			s.HTTPAddress = string(f.bytes)
		case f.is(6, protowire.VarintType):
			s.FeatureLevel = uint32(min(f.value, 1<<32-1))
		case f.is(7, protowire.BytesType):
			s.Version = string(f.bytes)
		default:
			return f.unknown("a RegisterServer")
		}
		return nil
	})
	return s, err
}

func decodeName(b []byte) (name string, err error) {
	err = fields(b, func(f *field) error {
		if !f.is(1, protowire.BytesType) {
			return f.unknown("a RemoveServer")
		}
		name = string(f.bytes)
		return nil
	})
	return name, err
}

// errTooManyLabels stops the server: no version writes more, and leaving some out would make another state.
var errTooManyLabels = errors.New("a kind requires more labels than there may be")

func decodeSetKind(b []byte) (c SetKind, err error) {
	labels := 0
	err = fields(b, func(f *field) error {
		switch {
		case f.is(1, protowire.BytesType):
			c.Kind = string(f.bytes)
		case f.is(2, protowire.BytesType):
			c.Settings.Strategy = string(f.bytes)
		case f.is(3, protowire.VarintType):
			c.Settings.Attempts = uint8(min(f.value, 255)) // over AttemptsMax, so it is refused
		case f.is(4, protowire.VarintType):
			c.Settings.Settle = placement.SettleMode(min(f.value, 255)) // there is no such mode, so it is refused
		case f.is(5, protowire.BytesType):
			l, err := decodeLabel(f.bytes)
			if err != nil || labels == placement.RequireMax {
				return cmp.Or(err, errTooManyLabels)
			}
			c.Settings.Require[labels] = l
			labels++
		case f.is(6, protowire.VarintType):
			c.Unset.Require = f.value != 0
		case f.is(7, protowire.VarintType):
			c.Settings.MemberCapacity = uint32(min(f.value, 1<<32-1))
		case f.is(8, protowire.VarintType):
			c.Unset.MemberCapacity = f.value != 0
		case f.is(9, protowire.VarintType):
			c.Settings.ConfirmMs = uint32(min(f.value, 1<<32-1)) // over ConfirmMsMax, so it is refused
		case f.is(10, protowire.VarintType):
			c.Unset.ConfirmMs = f.value != 0
		default:
			return f.unknown("a SetKind")
		}
		return nil
	})
	return c, err
}

// decodeFail reads the body of Fail. Its texts point into the entry, but for the failure's.
func decodeFail(b []byte) (c Fail, err error) {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return c, err
		}
		b = rest
		switch {
		case f.is(1, protowire.BytesType):
			c.Identity.Kind = f.text()
		case f.is(2, protowire.BytesType):
			c.Identity.Key = f.text()
		case f.is(3, protowire.Fixed64Type):
			c.Epoch = placement.Epoch(f.value)
		case f.is(4, protowire.VarintType):
			c.Failure.Code = placement.FailureCode(min(f.value, 255)) // there is no such code, so it is refused
		case f.is(5, protowire.BytesType):
			c.Failure.Text = string(f.bytes)
		default:
			return c, f.unknown("a Fail")
		}
	}
	return c, nil
}

// decodeRelease reads the body of Release. Its texts point into the entry, but for the failure's.
func decodeRelease(b []byte) (c Release, err error) {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return c, err
		}
		b = rest
		switch {
		case f.is(1, protowire.BytesType):
			c.Identity.Kind = f.text()
		case f.is(2, protowire.BytesType):
			c.Identity.Key = f.text()
		case f.is(3, protowire.Fixed64Type):
			c.Incarnation = placement.Incarnation(f.value)
		case f.is(4, protowire.Fixed64Type):
			c.Epoch = placement.Epoch(f.value)
		case f.is(5, protowire.VarintType):
			c.Failure.Code = placement.FailureCode(min(f.value, 255)) // there is no such code, so it is refused
		case f.is(6, protowire.BytesType):
			c.Failure.Text = string(f.bytes)
		default:
			return c, f.unknown("a Release")
		}
	}
	return c, nil
}

// decodeBlock reads the bodies of Block and Unblock.
func decodeBlock(b []byte, op op) (c Block, err error) {
	err = fields(b, func(f *field) error {
		switch {
		case f.is(1, protowire.BytesType):
			c.Member = placement.MemberID(f.bytes)
		case f.is(2, protowire.BytesType):
			c.Identity.Kind = string(f.bytes)
		case f.is(3, protowire.BytesType):
			c.Identity.Key = string(f.bytes)
		case op == opBlock && f.is(4, protowire.BytesType):
			c.Reason = string(f.bytes)
		case op == opBlock && f.is(5, protowire.BytesType):
			c.By = string(f.bytes)
		case op == opBlock && f.is(6, protowire.VarintType):
			c.Until = f.value
		case op == opBlock && f.is(7, protowire.VarintType):
			c.Lasts = f.value
		default:
			return f.unknown("a command about a block")
		}
		return nil
	})
	return c, err
}

func decodeSetFeatureLevel(b []byte) (c SetFeatureLevel, err error) {
	err = fields(b, func(f *field) error {
		if !f.is(1, protowire.VarintType) {
			return f.unknown("a SetFeatureLevel")
		}
		c.Level = uint32(min(f.value, 1<<32-1))
		return nil
	})
	return c, err
}

// decodeMove reads the body of Move.
func decodeMove(b []byte) (c Move, err error) {
	err = fields(b, func(f *field) error {
		switch {
		case f.is(1, protowire.BytesType):
			c.Identity.Kind = string(f.bytes)
		case f.is(2, protowire.BytesType):
			c.Identity.Key = string(f.bytes)
		case f.is(3, protowire.Fixed64Type):
			c.Epoch = placement.Epoch(f.value)
		case f.is(4, protowire.BytesType):
			c.To = placement.MemberID(f.bytes)
		default:
			return f.unknown("a Move")
		}
		return nil
	})
	return c, err
}
