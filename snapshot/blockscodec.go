package snapshot

import (
	"fmt"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot/snapshotpb"
)

// Limits of the texts of a block, in bytes.
const (
	BlockReasonBytesMax = placement.ReasonBytesMax
	BlockByBytesMax     = 128
)

// Validate reports the first rule that a subject breaks: it is either a member's name or an identity.
func (s Subject) Validate() error {
	switch {
	case s.Member == "" && s.Identity == (placement.Identity{}):
		return fmt.Errorf("neither a member nor an identity is named")
	case s.Member != "" && s.Identity != (placement.Identity{}):
		return fmt.Errorf("both a member and an identity are named")
	case s.Member != "":
		return s.Member.Validate()
	}
	return s.Identity.Validate()
}

// Validate reports the first rule that the block breaks.
func (b *Block) Validate() error {
	if err := b.Subject.Validate(); err != nil {
		return err
	}
	if err := placement.ValidateText(b.Reason, BlockReasonBytesMax); err != nil {
		return fmt.Errorf("the reason: %w", err)
	}
	if err := placement.ValidateText(b.By, BlockByBytesMax); err != nil {
		return fmt.Errorf("by whom: %w", err)
	}
	return nil
}

func (v *View) encodeBlocks(f *frameWriter) error {
	var m snapshotpb.Blocks
	left := v.BlockCount()
	for b := range v.Blocks() {
		left--
		m.Blocks = append(m.Blocks, &snapshotpb.Block{
			Member: string(b.Member), Kind: b.Identity.Kind, Key: b.Identity.Key, Reason: b.Reason, By: b.By, SinceMs: b.Since, UntilMs: b.Until,
		})
		if len(m.Blocks) == recordsPerFrame || left == 0 {
			if err := f.message(frameBlocks, &m); err != nil {
				return err
			}
			m.Blocks = nil
		}
	}
	return nil
}

func (d *decoder) decodeBlocks(payload []byte) error {
	var m snapshotpb.Blocks
	if err := d.message(payload, &m); err != nil {
		return err
	}
	for _, p := range m.Blocks {
		b := Block{
			Subject: Subject{Member: placement.MemberID(p.Member), Identity: placement.Identity{Kind: p.Kind, Key: p.Key}},
			Reason:  p.Reason, By: p.By, Since: p.SinceMs, Until: p.UntilMs,
		}
		if err := b.Validate(); err != nil {
			return d.f.corrupt("a block is not valid", err)
		}
		if _, ok := d.e.v.Block(b.Subject); ok {
			return d.f.corrupt("a block stands twice", nil)
		}
		if d.e.v.BlockCount() == BlocksMax {
			return d.f.corrupt("too many blocks", nil)
		}
		if d.e.v.blocks.all == nil {
			d.e.v.blocks.all = d.e.v.blocks.all.copy()
		}
		d.e.v.blocks.all.put(b.Key(), b)
		d.e.noteBlock(b.Key(), &b)
	}
	return nil
}

func (v *View) encodeMoves(f *frameWriter) error {
	var m snapshotpb.Moves
	left := v.MoveCount()
	for x := range v.Moves() {
		left--
		m.Moves = append(m.Moves, &snapshotpb.Move{Kind: x.Identity.Kind, Key: x.Identity.Key, To: string(x.To)})
		if len(m.Moves) == recordsPerFrame || left == 0 {
			if err := f.message(frameMoves, &m); err != nil {
				return err
			}
			m.Moves = nil
		}
	}
	return nil
}

func (d *decoder) decodeMoves(payload []byte) error {
	var m snapshotpb.Moves
	if err := d.message(payload, &m); err != nil {
		return err
	}
	for _, p := range m.Moves {
		x := Move{Identity: placement.Identity{Kind: p.Kind, Key: p.Key}, To: placement.MemberID(p.To)}
		if err := x.Identity.Validate(); err != nil {
			return d.f.corrupt("a move is not valid", err)
		}
		if _, ok := d.e.v.Move(x.Identity); ok || !d.names[x.To] {
			return d.f.corrupt("a move stands twice, or names a member that is not there", nil)
		}
		if err := d.e.PutMove(x); err != nil {
			return d.f.corrupt("too many moves", err)
		}
	}
	return nil
}

// crossCheck compares the states of the members with the blocks: one that was blocked stays so when its block is over. It
// returns what is wrong, or nothing.
func (d *decoder) crossCheck() string {
	for _, m := range d.roster {
		if _, blocked := d.e.v.Block(Subject{Member: m.ID}); blocked && m.State != placement.MemberBlocked {
			return fmt.Sprintf("the member %s is %v, and the blocks say otherwise", m.ID, m.State)
		}
	}
	return ""
}
