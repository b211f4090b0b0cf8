package workload

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

func joins(e *snapshot.Editor, name string, inc placement.Incarnation) {
	e.Join(&placement.Member{ID: placement.MemberID(name), Incarnation: inc, Address: name + ":1", Kinds: []string{"cart"}, Weight: placement.WeightDefault, State: placement.MemberLive})
}

func places(e *snapshot.Editor, key string, inc placement.Incarnation, epoch placement.Epoch) {
	e.Seek(placement.Identity{Kind: "cart", Key: key})
	e.Put(placement.Entry{Phase: placement.Settled, Owner: inc, Epoch: epoch})
}

// lived is a state in which m1 has ended, and its slot is another's; change changes it last. A server that was restored
// in between has another file.
func lived(t *testing.T, restored bool, change func(*snapshot.Editor)) (file []byte, sum string) {
	t.Helper()
	e := snapshot.NewEditor(snapshot.Empty())
	e.SetCluster(snapshot.Cluster{ID: "c", Seed: 7, Generation: 1, FeatureLevel: 1})
	if err := e.AddKind("cart"); err != nil {
		t.Fatal(err)
	}
	for i := range placement.Incarnation(3) {
		joins(e, fmt.Sprint("m", i+1), i+1)
	}
	for i := range 50 {
		places(e, fmt.Sprint(i), placement.Incarnation(i%3+1), placement.Epoch(i+1))
	}
	e.SetPosition(60, 1)
	e.End(1, placement.MemberExpired)
	e.SetBarrier(60)
	e.Collect(1000)
	v := e.Publish()
	if restored {
		var err error
		if v, err = snapshot.Decode(bytes.NewReader(encoded(t, v))); err != nil {
			t.Fatal(err)
		}
		e = snapshot.NewEditor(v)
	}
	joins(e, "m1", 61)
	places(e, "0", 61, 62)
	e.SetPosition(63, 1)
	if change != nil {
		change(e)
	}
	file = encoded(t, e.Publish())
	v, err := snapshot.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return file, contents(v)
}

func encoded(t *testing.T, v *snapshot.View) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := v.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Two servers, one of which was restored meanwhile, number what they have differently, and say the same.
func TestContents_OneServerWasRestored_AreTheSame(t *testing.T) {
	live, want := lived(t, false, nil)
	restored, got := lived(t, true, nil)
	if bytes.Equal(live, restored) {
		t.Error("the files are the same: this shows nothing")
	}
	if got != want {
		t.Errorf("the contents are %s and %s", got, want)
	}
}

// Whatever a state says is in its contents.
func TestContents_OneThingDiffers_AreOthers(t *testing.T) {
	_, same := lived(t, false, nil)
	sums := map[string]string{same: "nothing"}
	for name, change := range map[string]func(e *snapshot.Editor){
		"position": func(e *snapshot.Editor) { e.SetPosition(64, 1) },
		"term":     func(e *snapshot.Editor) { e.SetPosition(63, 2) },
		"time":     func(e *snapshot.Editor) { e.AdvanceTime(5) },
		"cluster": func(e *snapshot.Editor) {
			c := e.View().Cluster
			c.MaxReadLease = 1
			e.SetCluster(c)
		},
		"kind":     func(e *snapshot.Editor) { must(t, e.AddKind("room")) },
		"settings": func(e *snapshot.Editor) { must(t, e.SetKind("cart", placement.KindSettings{Attempts: 2})) },
		"server":   func(e *snapshot.Editor) { must(t, e.PutServer(snapshot.Server{Name: "s1", Incarnation: "x"})) },
		"member":   func(e *snapshot.Editor) { joins(e, "m9", 70) },
		"address": func(e *snapshot.Editor) {
			m := *e.Incarnation(2)
			m.Address = "elsewhere:1"
			e.SetMember(&m)
		},
		"end":   func(e *snapshot.Editor) { e.End(2, placement.MemberExpired) },
		"owner": func(e *snapshot.Editor) { places(e, "0", 2, 62) },
		"epoch": func(e *snapshot.Editor) { places(e, "0", 61, 63) },
		"removal": func(e *snapshot.Editor) {
			e.Seek(placement.Identity{Kind: "cart", Key: "1"})
			e.Put(placement.Entry{Phase: placement.Tombstone, Removed: 63})
		},
		"session":          func(e *snapshot.Editor) { e.OpenSession(placement.Session{ID: 5, TTL: 5e9, Holder: "h"}) },
		"holder":           func(e *snapshot.Editor) { e.OpenSession(placement.Session{ID: 5, TTL: 5e9, Holder: "i"}) },
		"claim":            func(e *snapshot.Editor) { claims(e, 1) },
		"place in a queue": func(e *snapshot.Editor) { claims(e, 2) },
		"block": func(e *snapshot.Editor) {
			must(t, e.PutBlock(snapshot.Block{Subject: snapshot.Subject{Identity: placement.Identity{Kind: "cart", Key: "9"}}}))
		},
		"reason": func(e *snapshot.Editor) {
			must(t, e.PutBlock(snapshot.Block{Subject: snapshot.Subject{Identity: placement.Identity{Kind: "cart", Key: "9"}}, Reason: "r"}))
		},
		"move": func(e *snapshot.Editor) {
			must(t, e.PutMove(snapshot.Move{Identity: placement.Identity{Kind: "cart", Key: "9"}, To: "m2"}))
		},
		"crash": func(e *snapshot.Editor) {
			e.PutCrash(snapshot.Crash{Identity: placement.Identity{Kind: "cart", Key: "9"}, Count: 1, Last: 1})
		},
		"result": func(e *snapshot.Editor) { e.Remember(snapshot.Result{Request: snapshot.RequestID{1}, Index: 63}) },
	} {
		_, sum := lived(t, false, change)
		if other, ok := sums[sum]; ok {
			t.Errorf("a state with another %s has the contents of one with another %s", name, other)
		}
		sums[sum] = name
	}
}

// claims has some sessions ask for one lock.
func claims(e *snapshot.Editor, n placement.SessionID) {
	for id := range n {
		e.OpenSession(placement.Session{ID: id + 5, TTL: 5e9, Holder: "h"})
		e.AddClaim("nightly", 0, placement.Claim{Token: placement.Epoch(63 + id), Session: id + 5, Mode: placement.LockExclusive})
	}
	e.Grant("nightly")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
