package fsm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// The whole of what commands do to an identity. A column is the phase that a command meets: m1 owns cart/1 or owned it, m2
// hosts it too, m3 does not. "ended" is settled on an owner that expired, "undone" was pending on one; neither is behind the
// barrier. "blocked" is absent and on the block list; "settled, blocked" drains since it is. A command that ends in "blocked",
// and unblock m1, meets an m1 that is blocked too. A cell is the verdict and what the
// identity is then: +m2 when the command gave it to m2. A dot is what the phase was before.
const phaseTable = `
                | absent            | pending           | settled           | draining          | tombstone      | ended          | undone            | blocked       | settled, blocked
place           | done: pending +m1 | already: .        | already: .        | already: .        | unsettled: .   | unsettled: .   | done: pending +m2 | blocked: .    | already: .
place on-place  | done: settled +m1 | already: .        | already: .        | already: .        | unsettled: .   | unsettled: .   | done: settled +m2 | blocked: .    | already: .
confirm         | not placed: .     | done: settled     | already: .        | already: .        | unsettled: .   | unsettled: .   | not placed: .     | not placed: . | already: .
confirm of m2   | not placed: .     | not owner: .      | not owner: .      | not owner: .      | unsettled: .   | unsettled: .   | not placed: .     | not placed: . | not owner: .
confirm old     | not placed: .     | epoch mismatch: . | epoch mismatch: . | epoch mismatch: . | unsettled: .   | unsettled: .   | not placed: .     | not placed: . | epoch mismatch: .
fail            | not placed: .     | done: pending +m2 | already: .        | already: .        | unsettled: .   | unsettled: .   | not placed: .     | not placed: . | already: .
fail old        | not placed: .     | epoch mismatch: . | epoch mismatch: . | epoch mismatch: . | unsettled: .   | unsettled: .   | not placed: .     | not placed: . | epoch mismatch: .
fail the last   | not placed: .     | done: absent      | already: .        | already: .        | unsettled: .   | unsettled: .   | not placed: .     | not placed: . | already: .
release         | not placed: .     | done: absent      | done: tombstone   | done: tombstone   | unsettled: .   | unsettled: .   | not placed: .     | not placed: . | done: tombstone
release of m2   | not placed: .     | not owner: .      | not owner: .      | not owner: .      | unsettled: .   | unsettled: .   | not placed: .     | not placed: . | not owner: .
release old     | not placed: .     | epoch mismatch: . | epoch mismatch: . | epoch mismatch: . | unsettled: .   | unsettled: .   | not placed: .     | not placed: . | epoch mismatch: .
evict           | not placed: .     | done: absent      | done: draining    | already: .        | unsettled: .   | unsettled: .   | not placed: .     | not placed: . | already: .
evict old       | not placed: .     | epoch mismatch: . | epoch mismatch: . | epoch mismatch: . | unsettled: .   | unsettled: .   | not placed: .     | not placed: . | epoch mismatch: .
move to m2      | not placed: .     | done: absent      | done: draining    | done: .           | unsettled: .   | unsettled: .   | not placed: .     | not placed: . | blocked: .
move old        | not placed: .     | epoch mismatch: . | epoch mismatch: . | epoch mismatch: . | unsettled: .   | unsettled: .   | not placed: .     | not placed: . | epoch mismatch: .
move to m1      | not placed: .     | already: .        | already: .        | already: .        | unsettled: .   | unsettled: .   | not placed: .     | not placed: . | blocked: .
move to m3      | not placed: .     | not eligible: .   | not eligible: .   | not eligible: .   | unsettled: .   | unsettled: .   | not placed: .     | not placed: . | blocked: .
move to nobody  | not placed: .     | member unknown: . | member unknown: . | member unknown: . | unsettled: .   | unsettled: .   | not placed: .     | not placed: . | blocked: .
block           | done: .           | done: absent      | done: draining    | done: .           | done: .        | done: .        | done: .           | already: .    | already: .
unblock         | not blocked: .    | not blocked: .    | not blocked: .    | not blocked: .    | not blocked: . | not blocked: . | not blocked: .    | done: .       | done: .
drain m1        | done: .           | done: .           | done: .           | done: .           | done: .        | member gone: . | member gone: .    | done: .       | done: .
block m1        | done: .           | done: .           | done: .           | done: .           | done: .        | done: .        | done: .           | done: .       | done: .
leave m1        | done: .           | done: absent      | done: tombstone   | done: tombstone   | done: .        | member gone: . | member gone: .    | done: .       | done: tombstone
expire m1       | done: .           | done: absent      | done: tombstone   | done: tombstone   | done: .        | member gone: . | member gone: .    | done: .       | done: tombstone
join m1         | done: .           | done: .           | done: .           | done: .           | done: .        | done: .        | done: .           | done: .       | done: .
confirm blocked | not placed: .     | barred: .         | already: .        | already: .        | unsettled: .   | unsettled: .   | not placed: .     | not placed: . | already: .
join blocked    | barred: .         | barred: .         | barred: .         | barred: .         | barred: .      | barred: .      | barred: .         | barred: .     | barred: .
drain blocked   | already: .        | already: .        | already: .        | already: .        | already: .     | member gone: . | member gone: .    | already: .    | already: .
undrain blocked | barred: .         | barred: .         | barred: .         | barred: .         | barred: .      | member gone: . | member gone: .    | barred: .     | barred: .
unblock m1      | done: .           | done: .           | done: .           | done: .           | done: .        | done: .        | done: .           | done: .       | done: .
kind attempts=1 | done: .           | done: .           | done: .           | done: .           | done: .        | done: .        | done: .           | done: .       | done: .
`

// phase is a machine in which cart/1 is in one of the phases of the table.
type phase struct {
	*applier
	m1, m2 placement.Incarnation
	epoch  placement.Epoch // the newest of cart/1
}

var cart1 = placement.Identity{Kind: "cart", Key: "1"}

func newPhase(t *testing.T, name string, first ...Body) *phase {
	t.Helper()
	p := &phase{applier: newApplier(t)}
	join := func(name, kind string) placement.Incarnation {
		return p.one(Command{Body: &Join{placement.Member{ID: placement.MemberID(name), Address: "h:1", Kinds: []string{kind}}}}).Incarnation
	}
	p.m1, p.m2 = join("m1", "cart"), join("m2", "cart")
	join("m3", "room")
	if name != "absent" && name != "blocked" {
		p.epoch = p.one(Command{Body: &Place{Identity: cart1}}).Entry.Epoch
	}
	if slices.Contains([]string{"settled", "draining", "tombstone", "ended", "settled, blocked"}, name) {
		p.one(Command{Body: &Confirm{cart1, p.m1, p.epoch}})
	}
	switch name {
	case "draining":
		p.one(Command{Body: &Evict{Identity: cart1}})
	case "tombstone":
		p.one(Command{Body: &Release{cart1, p.m1, p.epoch, placement.Failure{}}})
	case "ended", "undone":
		p.one(Command{Body: &Expire{p.m1}})
	case "blocked", "settled, blocked":
		p.one(Command{Body: &Block{Subject: snapshot.Subject{Identity: cart1}}})
	}
	p.epoch = max(p.epoch, 1)
	for _, body := range first {
		if r := p.one(Command{Body: body}); r.Verdict != placement.Done {
			t.Fatalf("%s: %T: %v", name, body, r.Verdict)
		}
	}
	return p
}

// say is the phase of cart/1 in the words of the table.
func (p *phase) say() string {
	e, owner := p.m.Publish().Lookup(cart1)
	word := e.Phase.String()
	if e.Draining {
		word = "draining"
	}
	if owner != nil && e.Epoch != p.epoch {
		word += " +" + string(owner.ID)
	}
	return word
}

// command is a command of the table, and what has to be so before it.
func (p *phase) command(name string) Body {
	const old = 2 // an epoch that nobody ever had
	subject := snapshot.Subject{Identity: cart1}
	switch name {
	case "place", "place on-place":
		return &Place{Identity: cart1}
	case "confirm", "confirm blocked":
		return &Confirm{cart1, p.m1, p.epoch}
	case "confirm of m2":
		return &Confirm{cart1, p.m2, p.epoch}
	case "confirm old":
		return &Confirm{cart1, p.m1, old}
	case "fail", "fail the last":
		return &Fail{Identity: cart1, Epoch: p.epoch}
	case "fail old":
		return &Fail{Identity: cart1, Epoch: old}
	case "release":
		return &Release{cart1, p.m1, p.epoch, placement.Failure{}}
	case "release of m2":
		return &Release{cart1, p.m2, p.epoch, placement.Failure{}}
	case "release old":
		return &Release{cart1, p.m1, old, placement.Failure{}}
	case "evict":
		return &Evict{Identity: cart1}
	case "evict old":
		return &Evict{cart1, old}
	case "move to m2":
		return &Move{cart1, p.epoch, "m2"}
	case "move old":
		return &Move{cart1, old, "m2"}
	case "move to m1":
		return &Move{cart1, 0, "m1"}
	case "move to m3":
		return &Move{cart1, 0, "m3"}
	case "move to nobody":
		return &Move{cart1, 0, "nobody"}
	case "block":
		return &Block{Subject: subject}
	case "unblock":
		return &Unblock{subject}
	case "drain m1", "drain blocked":
		return &Drain{Incarnation: p.m1}
	case "undrain blocked":
		return &Drain{Incarnation: p.m1, Off: true}
	case "unblock m1":
		return &Unblock{snapshot.Subject{Member: "m1"}}
	case "block m1":
		return &Block{Subject: snapshot.Subject{Member: "m1"}}
	case "leave m1":
		return &Leave{p.m1}
	case "expire m1":
		return &Expire{p.m1}
	case "join m1", "join blocked":
		return &Join{placement.Member{ID: "m1", Address: "h:1", Kinds: []string{"cart"}}}
	case "kind attempts=1":
		return &SetKind{Kind: "cart", Settings: placement.KindSettings{Attempts: 1}}
	}
	p.t.Fatalf("the table has no command %q", name)
	return nil
}

// before is what has to be done before a command of the table.
func before(name string) []Body {
	switch name {
	case "place on-place":
		return []Body{&SetKind{Kind: "cart", Settings: placement.KindSettings{Settle: placement.SettleOnPlace}}}
	case "confirm blocked", "join blocked", "drain blocked", "undrain blocked", "unblock m1":
		return []Body{&Block{Subject: snapshot.Subject{Member: "m1"}}}
	case "fail the last":
		return []Body{&SetKind{Kind: "cart", Settings: placement.KindSettings{Attempts: 1}}}
	}
	return nil
}

func TestPhases_EveryCommandInEveryPhase(t *testing.T) {
	tested := map[op]bool{}
	lines := strings.Split(strings.Trim(phaseTable, "\n"), "\n")
	columns := strings.Split(lines[0], "|")[1:]
	for _, line := range lines[1:] {
		cells := strings.Split(line, "|")
		name := strings.TrimSpace(cells[0])
		if len(cells) != len(columns)+1 {
			t.Fatalf("%s: %d cells for %d phases", name, len(cells)-1, len(columns))
		}
		for i, cell := range cells[1:] {
			p := newPhase(t, strings.TrimSpace(columns[i]), before(name)...)
			was := p.say()
			body := p.command(name)
			tested[body.op()] = true
			r := p.one(Command{Body: body})
			got := p.say()
			if got == was {
				got = "."
			}
			if got = fmt.Sprintf("%v: %s", r.Verdict, got); got != strings.TrimSpace(cell) {
				t.Errorf("%s, %s: %s, want %s", strings.TrimSpace(columns[i]), name, got, strings.TrimSpace(cell))
			}
			if v := p.m.Publish(); v.Digest() != v.RecomputeDigest() {
				t.Errorf("%s, %s: the digest is off", strings.TrimSpace(columns[i]), name)
			}
		}
	}
	// Commands that no identity can tell.
	elsewhere := []op{
		opRegisterServer, opRemoveServer, opSetFeatureLevel,
		// TestLocks_EveryStateAndCommand has these.
		opOpenSession, opCloseSession, opExpireSession, opAcquireLock, opReleaseLock, opBreakLock, opEndLockDelay,
	}
	for number := op(1); number < 200; number++ {
		_, err := newApplier(t).m.dispatch(&command{op: number})
		if known := !errors.Is(err, ErrUnknownCommand); known && !tested[number] && !slices.Contains(elsewhere, number) {
			t.Errorf("the table says nothing of command %d, and it is not one that is about no identity", number)
		}
	}
}
