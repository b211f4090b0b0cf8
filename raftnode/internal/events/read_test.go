package events

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// viewAt is a state of a log index of which nothing else is known.
func viewAt(index uint64) *snapshot.View {
	e := snapshot.NewEditor(snapshot.Empty())
	e.SetPosition(index, 1)
	return e.Publish()
}

// words are events with what is in their details.
func words(events []Event) (list []string) {
	for _, e := range events {
		line := fmt.Sprintf("%d.%d %v", e.Index, e.Position, e.Type)
		for _, word := range []string{e.Identity.Key, string(e.Member)} {
			if word != "" {
				line += " " + word
			}
		}
		if e.Was != placement.Absent {
			line += fmt.Sprintf(", was %v", e.Was)
		}
		if d := e.Detail; d != nil {
			switch e.Type {
			case LeaderChanged:
				line += fmt.Sprintf(" %s in term %d", d.Server, d.Term)
			case RemovalsCompleted:
				line += fmt.Sprintf(" from %d to %d", d.From, d.To)
			case MemberEnded:
				line += fmt.Sprintf(" owned %d", d.Owned)
			case BlockAdded, BlockRemoved:
				line += fmt.Sprintf(" %s asks back %d", d.Block.Member, d.Block.Placements)
			case RetryThrottled:
				line += fmt.Sprintf(" after %d, the last %v under %d.%d, until %d", d.Block.Crashes, e.Failure, e.Epoch.Offset(), e.Epoch.Place(), d.Block.Until)
			case KindChanged:
				line += " " + e.Identity.Kind
			case LockGranted, LockQueued, LockReleased, LockLost:
				line += " " + d.Lock.Name
			case MemberJoined, MemberChanged:
				line += fmt.Sprintf(" %v", d.Member.State)
			}
		}
		list = append(list, line)
	}
	return list
}

// readAll reads everything behind an index, so many at a time.
func readAll(t *testing.T, r *Ring, after uint64, size int) []Event {
	t.Helper()
	at, ok := r.After(after)
	if !ok {
		t.Fatalf("what follows %d is lost", after)
	}
	var all []Event
	for buf := make([]Event, size); ; {
		n, through, ok := r.Read(at, buf)
		if !ok {
			t.Fatal("lost")
		}
		if n == 0 {
			if _, last := r.Span(); through != last {
				t.Errorf("at the end everything is read up to %d, want %d", through, last)
			}
			return all
		}
		all = append(all, buf[:n]...)
		last := buf[n-1].Index
		if next, more := r.at(min(uint64(at)+uint64(n), r.next-1)), uint64(at)+uint64(n) < r.next; more && through != next.Index-1 || through < last && !(more && next.Index == last) {
			t.Errorf("after one of index %d everything is read up to %d", last, through)
		}
		at += Reading(n)
	}
}

// Everything that happens is an event, with what belongs to it, and is read in pieces of any size.
func TestRing_Read_TellsEverything(t *testing.T) {
	m := newMachine(t)
	a := m.join("a")
	r := m.do(&fsm.Place{Identity: cart}, &fsm.Place{Identity: placement.Identity{Kind: "cart", Key: "2"}}, &fsm.SetKind{Kind: "cart", Settings: placement.KindSettings{Settle: placement.SettleOnPlace}})
	m.do(&fsm.Confirm{Identity: cart, Incarnation: a, Epoch: r[0].Entry.Epoch})
	m.do(&fsm.Place{Identity: placement.Identity{Kind: "cart", Key: "3"}})
	m.do(&fsm.Release{Identity: cart, Incarnation: a, Epoch: r[0].Entry.Epoch})
	m.complete()
	s := m.do(&fsm.OpenSession{Session: placement.Session{TTL: 1e9, Holder: "x"}})[0].Session
	m.do(&fsm.AcquireLock{Name: "l", Session: s, Mode: placement.LockExclusive}, &fsm.Drain{Incarnation: a})
	m.do(&fsm.Block{Subject: snapshot.Subject{Member: "a"}})
	m.do(&fsm.Unblock{Subject: snapshot.Subject{Member: "a"}})
	m.do(&fsm.Expire{Incarnation: a}, &fsm.CloseSession{Session: s})
	m.complete()
	want := []string{
		"1.0 leader changed s1 in term 1", "2.0 member joined a live", "3.0 placed 1 a", "3.1 placed 2 a", "3.2 kind changed cart",
		"4.0 settled 1 a", "5.0 placed 3 a", "6.0 removed 1 a, was settled", "7.0 removals completed from 0 to 6", "8.0 session opened",
		"9.0 lock granted l", "9.1 member changed a draining", "10.0 block added a asks back 2", "10.0 member changed a blocked",
		"11.0 block removed a asks back 0", "12.0 member ended a owned 2",
		"12.1 lock released l", "12.1 session ended", "13.0 removals completed from 6 to 12",
	}
	for _, size := range []int{1, 3, 100} {
		if got := words(readAll(t, m.ring, 0, size)); !slices.Equal(got, want) {
			t.Fatalf("in pieces of %d:\n%s\nwant\n%s", size, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	all := readAll(t, m.ring, 0, 100)
	if all[2].Now != placement.Pending || all[6].Now != placement.Settled {
		t.Errorf("placed: %v, then %v; want pending, then settled", all[2].Now, all[6].Now)
	}
	for i := range want {
		from := all[i].Index
		if got := words(readAll(t, m.ring, from, 4)); !slices.Equal(got, want[len(want)-len(got):]) || len(got) > 0 && all[len(want)-len(got)].Index <= from || len(got) < len(want) && all[len(want)-len(got)-1].Index > from {
			t.Errorf("behind %d: %q", from, got)
		}
	}
	var owned []string
	at, _ := m.ring.After(11)
	if _, whole := m.ring.View(at).ScanEnded(a, 0, 1<<30, func(id placement.Identity, e placement.Entry) bool {
		owned = append(owned, fmt.Sprint(id, e.Phase))
		return true
	}); !whole || len(owned) != 2 {
		t.Errorf("the member owned %q", owned)
	}
}

// A crash too many in a row is told as the failure, the block, and the retry that is held back, with what crashed; of a longer pause
// the same. The history of the identity has the failures alone.
func TestRing_Read_RetryThrottled_StandsBehindItsBlock(t *testing.T) {
	m := newMachine(t)
	a := m.join("a")
	boom := placement.Failure{Code: placement.FailureActivation, Text: "boom"}
	for range placement.CrashesFree + 1 {
		e := m.do(&fsm.Place{Identity: cart})[0].Entry
		m.do(&fsm.Fail{Identity: cart, Epoch: e.Epoch, Failure: boom})
	}
	e := m.do(&fsm.Place{Identity: cart})[0].Entry // a second later the block is over
	m.do(&fsm.Confirm{Identity: cart, Incarnation: a, Epoch: e.Epoch})
	m.do(&fsm.Place{Identity: placement.Identity{Kind: "cart", Key: "2"}}, &fsm.Release{
		Identity: cart, Incarnation: a, Epoch: e.Epoch, Failure: placement.Failure{Code: placement.FailureCrash, Text: "bang"},
	})
	m.do(&fsm.Place{Identity: cart}) // refused, and told by nothing
	want := []string{
		"8.0 failed 1 a, was pending", "8.0 block added  asks back 0", "8.0 retry throttled 1 a after 3, the last failed: boom under 7.0, until 9000",
		"9.0 block removed  asks back 0", "9.0 placed 1 a", "10.0 settled 1 a", "11.0 placed 2 a",
		"11.1 removed 1 a, was settled", "11.1 block added  asks back 0", "11.1 retry throttled 1 a after 4, the last crashed: bang under 9.0, until 13000",
	}
	list := readAll(t, m.ring, 7, 10)
	if got := words(list); !slices.Equal(got, want) {
		t.Errorf("told is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if c := list[2]; c.Identity != cart || c.Incarnation != a || c.Cause != fsm.CauseFail || c.Request == (snapshot.RequestID{}) || c.Time != 8000 {
		t.Errorf("told is %+v", c)
	}
	for _, e := range m.ring.History(cart, 100, m.index).Events {
		if e.Type == RetryThrottled || e.Type == BlockAdded {
			t.Errorf("the history has %v", e.Type)
		}
	}
}

// Who reads more slowly than events make room finds out, and so does who reads what was before a snapshot.
func TestRing_Read_WhatIsLostIsToldSo(t *testing.T) {
	r := &Ring{}
	at, ok := r.After(0)
	if !ok {
		t.Fatal("nothing is lost of nothing")
	}
	buf := make([]Event, 10)
	for i := range uint64(EventsMax) {
		fill(r, i+1, "a")
	}
	if n, through, ok := r.Read(at, buf); n != 10 || through != 10 || !ok {
		t.Fatalf("%d are read up to %d, %t", n, through, ok)
	}
	fill(r, EventsMax+1, "a")
	if _, _, ok := r.Read(at, buf); ok {
		t.Error("the oldest has made room, and is read")
	}
	if _, ok := r.After(0); ok {
		t.Error("what follows 0 is lost, and After does not say so")
	}
	if _, ok := r.After(1); !ok {
		t.Error("what follows 1 is there, and After does not say so")
	}
	at, _ = r.After(1 << 40)
	if n, through, ok := r.Read(at, buf); n != 0 || through != EventsMax+1 || !ok {
		t.Errorf("at the end %d are read up to %d, %t", n, through, ok)
	}
	r.Begin(viewAt(1 << 30))
	if _, _, ok := r.Read(at, buf); ok {
		t.Error("behind a snapshot the place before it is good")
	}
	if _, ok := r.After(1<<30 - 1); ok {
		t.Error("what is before a snapshot is known")
	}
	if at, ok = r.After(1 << 30); !ok {
		t.Error("what is behind a snapshot is not known")
	}
	fill(r, 1<<30+1, "b")
	if n, through, ok := r.Read(at, buf); n != 1 || through != 1<<30+1 || !ok || buf[0].Identity.Key != "b" {
		t.Errorf("behind a snapshot %d are read up to %d, %t", n, through, ok)
	}
	if after, last := r.Span(); after != 1<<30 || last != 1<<30+1 {
		t.Errorf("it is known from %d to %d", after, last)
	}
}

// The views of few members' ends are kept, those of the newest, and none that has made room.
func TestRing_Views_AreFew(t *testing.T) {
	m := newMachine(t)
	for i := range ViewsMax + 5 {
		inc := m.join(fmt.Sprint("m", i))
		m.do(&fsm.Place{Identity: placement.Identity{Kind: "cart", Key: fmt.Sprint(i)}})
		m.do(&fsm.Expire{Incarnation: inc})
		m.complete()
	}
	var with []bool
	for i, e := range readAll(t, m.ring, 0, 1000) {
		view := m.ring.View(Reading(i))
		if e.Type != MemberEnded && view != nil {
			t.Errorf("%v has a view", e.Type)
		}
		if e.Type == MemberEnded {
			if with = append(with, view != nil); e.Detail.Owned != 1 || view != nil && view.Index != e.Index {
				t.Errorf("%v at %d owned %d", e.Member, e.Index, e.Detail.Owned)
			}
		}
	}
	if !slices.Equal(with[:5], make([]bool, 5)) || slices.Contains(with[5:], false) {
		t.Errorf("views are kept of %v", with)
	}
	for i := range uint64(EventsMax) {
		fill(m.ring, 1000+i, "a")
	}
	if len(m.ring.views) != 0 {
		t.Errorf("%d views are kept of what has made room", len(m.ring.views))
	}
	for i := range m.ring.slots {
		if k := m.ring.slots[i].Load(); k != nil && k.Detail != nil {
			t.Fatalf("a detail is kept at %d", i)
		}
	}
}

// Whoever waits is woken by what is added, however many there are; adding waits for nobody.
func TestRing_Announce_WakesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Ring{}
		ctx, cancel := context.WithCancel(t.Context())
		go r.Announce(ctx)
		woken := make(chan int, 10)
		for i := range 3 {
			go func() {
				for at := (Reading(0)); ; {
					changed := r.Changed()
					n, _, ok := r.Read(at, make([]Event, 10))
					if at += Reading(n); n > 0 || !ok {
						woken <- i
						continue
					}
					select {
					case <-changed:
					case <-ctx.Done():
						return
					}
				}
			}()
		}
		for i := range uint64(5) {
			synctest.Wait()
			fill(r, i+1, "a")
			synctest.Wait()
			if len(woken) != 3 {
				t.Fatalf("event %d wakes %d", i, len(woken))
			}
			for range 3 {
				<-woken
			}
		}
		cancel()
		synctest.Wait()
		fill(r, 10, "a") // nobody is there
		fill(r, 11, "a")
	})
}
