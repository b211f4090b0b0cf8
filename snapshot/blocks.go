package snapshot

import (
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/zeebo/xxh3"

	"github.com/seed13d31b7f/berth/placement"
)

// BlocksMax is the number of members and identities that may be blocked at once. Not larger: each may carry a kilobyte of
// names and texts, and all of them are in memory.
const BlocksMax = 1 << 16

// Subject is what a block is about: a member, by its name, or an identity. One of the two is set.
type Subject struct {
	// Member stands for all incarnations of that name, those that will join too.
	Member   placement.MemberID
	Identity placement.Identity
}

// Key is a text that tells subjects apart and orders them: members first.
func (s Subject) Key() string {
	if s.Member != "" {
		return "m" + string(s.Member)
	}
	return "o" + s.Identity.String()
}

// Block keeps a member from being given anything, or an identity from being given an owner.
type Block struct {
	Subject
	// Reason and By say for people why it was blocked and by whom.
	Reason, By string
	// Since is when it was blocked and Until when that ends, by the replicated clock, in milliseconds since 1970. An
	// Until of zero is no end.
	Since, Until uint64
}

func (b *Block) digest() uint64 {
	x := foldText(foldText(foldText(1, string(b.Member)), b.Identity.Kind), b.Identity.Key)
	x = foldText(foldText(x, b.Reason), b.By)
	return fold(fold(x, b.Since), b.Until)
}

// blocks are the blocks of a view, by the key of their subjects.
type blocks struct {
	all    *dict[Block]
	digest uint64 // sum of the digests of all of them
}

// deadlineOf is when a block ends and which it is, in one text that is in the order of the times.
func deadlineOf(until uint64, key string) string {
	return string(binary.BigEndian.AppendUint64(nil, until)) + key
}

// Block returns the block of a member or an identity; ok is false when there is none.
func (v *View) Block(s Subject) (b Block, ok bool) {
	if v.blocks.all.len() == 0 {
		return Block{}, false
	}
	return v.blocks.all.get(s.Key())
}

// Blocks yields the blocks: members first, ascending by name, then identities in the order of their texts.
func (v *View) Blocks() iter.Seq[Block] {
	return func(yield func(Block) bool) {
		for _, b := range v.blocks.all.all() {
			if !yield(b) {
				return
			}
		}
	}
}

// BlocksAfter yields the blocks whose subjects' keys come after one, in the order of Blocks.
func (v *View) BlocksAfter(key string) iter.Seq[Block] {
	return func(yield func(Block) bool) {
		for at, b := range v.blocks.all.all() {
			if at > key && !yield(b) {
				return
			}
		}
	}
}

// BlockCount is the number of blocks, at most BlocksMax.
func (v *View) BlockCount() int { return v.blocks.all.len() }

// PutBlock adds a block, or replaces the one of the same subject. It fails with ErrLimit when there are BlocksMax others.
// What the block means for members and placements is the caller's to do.
func (e *Editor) PutBlock(b Block) error {
	key := b.Key()
	old, ok := e.v.blocks.all.get(key)
	if !ok && e.v.blocks.all.len() >= BlocksMax {
		return fmt.Errorf("%d blocks: %w", BlocksMax, ErrLimit)
	}
	if ok {
		e.forgetBlock(key, &old)
	}
	e.v.blocks.all = e.v.blocks.all.with(key, b)
	e.noteBlock(key, &b)
	return nil
}

// noteBlock adds a block to the sum and to the list of ends.
func (e *Editor) noteBlock(key string, b *Block) {
	e.v.blocks.digest += b.digest()
	if b.Until != 0 {
		d := deadlineOf(b.Until, key)
		e.deadlines.add(0, d, xxh3.HashString(d), struct{}{})
	}
}

// DropBlock takes the block of a subject away.
func (e *Editor) DropBlock(s Subject) {
	key := s.Key()
	if old, ok := e.v.blocks.all.get(key); ok {
		e.forgetBlock(key, &old)
		e.v.blocks.all = e.v.blocks.all.without(key)
	}
}

// forgetBlock takes a block out of the sum and of the list of ends.
func (e *Editor) forgetBlock(key string, b *Block) {
	e.v.blocks.digest -= b.digest()
	if b.Until != 0 {
		e.deadlines.remove(0, deadlineOf(b.Until, key))
	}
}

// BlockOver returns the first of the blocks whose end has come by the replicated clock; ok is false when there is none.
// Which one is first does not depend on how the editor came to its state.
func (e *Editor) BlockOver() (b Block, ok bool) {
	d, _, ok := e.deadlines.after("")
	if !ok || binary.BigEndian.Uint64([]byte(d)) > e.v.Time {
		return Block{}, false
	}
	return e.v.blocks.all.get(d[8:])
}

// findDeadlines makes the list of the blocks' ends from the view.
func (e *Editor) findDeadlines() {
	for key, b := range e.v.blocks.all.all() {
		if b.Until != 0 {
			d := deadlineOf(b.Until, key)
			e.deadlines.add(0, d, xxh3.HashString(d), struct{}{})
		}
	}
}
