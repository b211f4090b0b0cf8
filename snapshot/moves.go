package snapshot

import (
	"fmt"
	"iter"

	"github.com/seed13d31b7f/berth/placement"
)

// MovesMax is the number of identities that may be on their way to a member at once. Not larger: each is a wish of an
// operator, and what moves in masses follows a drain.
const MovesMax = 1 << 12

// Move says who is given an identity when it is placed the next time.
type Move struct {
	Identity placement.Identity
	// To is the name of a member in the roster.
	To placement.MemberID
}

func (m *Move) digest() uint64 {
	return foldText(foldText(foldText(2, m.Identity.Kind), m.Identity.Key), string(m.To))
}

// moves are the moves of a view, by the texts of their identities.
type moves struct {
	all    *dict[Move]
	digest uint64 // sum of the digests of all of them
}

// Move returns where an identity is on its way to; ok is false when it is not.
func (v *View) Move(id placement.Identity) (m Move, ok bool) {
	if v.moves.all.len() == 0 {
		return Move{}, false
	}
	return v.moves.all.get(id.String())
}

// Moves yields the moves, in the order of their identities' texts.
func (v *View) Moves() iter.Seq[Move] {
	return func(yield func(Move) bool) {
		for _, m := range v.moves.all.all() {
			if !yield(m) {
				return
			}
		}
	}
}

// MoveCount is the number of moves, at most MovesMax.
func (v *View) MoveCount() int { return v.moves.all.len() }

// PutMove adds a move, or replaces the one of the same identity. To must be in the roster. It fails with ErrLimit when
// there are MovesMax others.
func (e *Editor) PutMove(m Move) error {
	key := m.Identity.String()
	old, ok := e.v.moves.all.get(key)
	if !ok && e.v.moves.all.len() >= MovesMax {
		return fmt.Errorf("%d moves: %w", MovesMax, ErrLimit)
	}
	if ok {
		e.forgetMove(key, &old)
	}
	e.v.moves.all = e.v.moves.all.with(key, m)
	e.v.moves.digest += m.digest()
	e.noteMove(key, &m)
	return nil
}

// DropMove takes the move of an identity away.
func (e *Editor) DropMove(id placement.Identity) {
	if e.v.moves.all.len() == 0 {
		return
	}
	key := id.String()
	if old, ok := e.v.moves.all.get(key); ok {
		e.forgetMove(key, &old)
		e.v.moves.all = e.v.moves.all.without(key)
	}
}

func (e *Editor) noteMove(key string, m *Move) {
	if e.movesTo[m.To] == nil {
		e.movesTo[m.To] = map[string]bool{}
	}
	e.movesTo[m.To][key] = true
}

func (e *Editor) forgetMove(key string, m *Move) {
	e.v.moves.digest -= m.digest()
	delete(e.movesTo[m.To], key)
	if len(e.movesTo[m.To]) == 0 {
		delete(e.movesTo, m.To)
	}
}

// dropMovesTo takes away the moves to a member for which nobody stands any more.
func (e *Editor) dropMovesTo(id placement.MemberID) {
	for key := range e.movesTo[id] { // any order: all of them go
		m, _ := e.v.moves.all.get(key)
		e.forgetMove(key, &m)
		e.v.moves.all = e.v.moves.all.without(key)
	}
}

// findMoves makes the lists of the moves to each member from the view.
func (e *Editor) findMoves() {
	for key, m := range e.v.moves.all.all() {
		e.noteMove(key, &m)
	}
}
