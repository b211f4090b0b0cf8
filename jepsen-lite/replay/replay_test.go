package replay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/checktest"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
	"github.com/seed13d31b7f/berth/snapshot"
)

// The logs on the disks of real servers agree, and replayed they give the state and the digest that the servers had.
func TestReplay_LogsOfRealServers_GiveTheirState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := raftnodetest.NewCluster(t, 3, nil)
		defer c.Close()
		c.Leader(nil)
		client, err := lookupclient.Open(lookupclient.Config{
			Servers: []string{"s1:7420", "s2:7420", "s3:7420"}, Timeout: 20 * time.Second, Dial: c.Network.Host("m").Dial,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		join := func(name string) *lookupclient.Member {
			m, err := client.Join(ctx, lookupclient.MemberConfig{
				Name: placement.MemberID(name), Address: name + ":1", Kinds: map[string]lookupclient.Kind{"cart": {}}, Now: func() time.Duration { return time.Duration(raftnodetest.Now()) },
			})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		a, b := join("a"), join("b")
		defer b.Close()
		var ids []placement.Identity
		for i := range 30 {
			ids = append(ids, placement.Identity{Kind: "cart", Key: fmt.Sprint(i)})
		}
		if _, err := client.PlaceAll(ctx, ids); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids[:5] {
			if err := client.Remove(ctx, id, 0, nil); err != nil {
				t.Fatal(err)
			}
		}
		leader := c.Leader(nil)
		leader.Kill()
		c.Leader(leader)
		leader.Start()
		a.Close() // its lease runs out
		for _, id := range ids {
			if _, _, err := client.Place(ctx, id); err != nil {
				t.Fatal(err)
			}
		}
		v := c.Save()
		var logs [][]replay.Entry
		for _, s := range c.Servers {
			if _, err := replay.FromDataDir(s.Dir); err == nil {
				t.Errorf("the log of %s was read while it runs", s.Name)
			}
			s.Stop()
			log, err := replay.FromDataDir(s.Dir)
			if err != nil {
				t.Fatal(err)
			}
			if len(logs) > 0 {
				if err := replay.Agree(logs[0], log, v.Index); err != nil {
					t.Error(err)
				}
			}
			logs = append(logs, log)
		}
		got, err := replay.Replay(logs[0], nil, v.Index)
		if err != nil {
			t.Fatal(err)
		}
		if digest, _ := got.DigestAt(v.Index); digest != replay.Digest(v.Digest()) || got.First != 1 || got.Last != v.Index {
			t.Errorf("the digest at %d is %s, want %v", v.Index, digest, v.Digest())
		}
		for _, id := range ids {
			e, owner := v.Lookup(id)
			if x := got.At(id.String(), v.Index); x.Phase != placement.Settled || x.Epoch != uint64(e.Epoch) || x.Member != string(owner.ID) {
				t.Errorf("%v is %+v, want %+v", id, x, e)
			}
		}
	})
}

// What the model makes of a crash loop in the log of a real server is what a watch told: each block, each retry that is held back
// for longer, and the ends, in one order.
func TestReplay_CrashLoop_IsWhatAWatchTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := raftnodetest.NewCluster(t, 1, nil)
		defer c.Close()
		c.Leader(nil)
		client, err := lookupclient.Open(lookupclient.Config{Servers: []string{"s1:7420"}, Timeout: 20 * time.Second, Dial: c.Network.Host("m").Dial})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		m, err := client.Join(ctx, lookupclient.MemberConfig{
			Name: "m", Address: "m:1", Now: func() time.Duration { return time.Duration(raftnodetest.Now()) },
			Kinds: map[string]lookupclient.Kind{
				"cart": {Activate: func(context.Context, *lookupclient.Activation) error { return errors.New("boom") }},
				"room": {Run: func(a *lookupclient.Activation) { a.Fail(errors.New("bang")) }},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			for _, kind := range []string{"cart", "room"} {
				_, _, _ = client.Place(ctx, placement.Identity{Kind: kind, Key: "1"}) // it fails, at once or later, or is blocked
			}
			time.Sleep(3 * time.Second)
		}
		m.Close()
		leader := c.Leader(nil)
		v := c.Save()
		types := []string{replay.Failed, replay.Unsettled, replay.BlockAdded, replay.RetryThrottled, replay.BlockRemoved}
		var told, want []string
		say := func(list *[]string, e replay.Event) {
			if slices.Contains(types, e.Type) {
				*list = append(*list, fmt.Sprintf("%d %s %s %s %d %d", e.Index, e.Type, e.Identity, e.Member, e.Incarnation, e.Epoch))
			}
		}
		for u, err := range client.Watch(ctx, lookupclient.WatchConfig{Since: &lookupclient.Position{}}) {
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range u.Events {
				if e.Index <= v.Index {
					say(&told, replay.Event{Index: e.Index, Type: strings.ToLower(e.Type.String()), Identity: e.Kind + "/" + e.Key, Member: e.Member, Incarnation: e.Incarnation, Epoch: e.Epoch})
				}
			}
			if u.Position.Index >= v.Index {
				break
			}
		}
		leader.Stop()
		log, err := replay.FromDataDir(leader.Dir)
		if err != nil {
			t.Fatal(err)
		}
		all, err := replay.Replay(log, nil, v.Index)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all.Events {
			say(&want, e)
		}
		if !slices.Equal(told, want) {
			t.Errorf("told is\n%s\nand the log has\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
		}
		for _, kind := range []string{"cart", "room"} {
			n := 0
			for _, line := range told {
				if strings.Contains(line, replay.RetryThrottled+" "+kind+"/1 m ") {
					n++
				}
			}
			if n < 2 {
				t.Errorf("of %s/1 %d retries are held back, want the third crash in a row and some behind it:\n%s", kind, n, strings.Join(told, "\n"))
			}
		}
	})
}

// A replay may begin in the middle, from the state there, and says the same from then on.
func TestReplay_FromAStateInTheMiddle_SameFromThere(t *testing.T) {
	w := checktest.Make(checktest.Config{Seed: 2, Ops: 400, Kills: 2})
	all, err := replay.Replay(w.Log, nil, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	for at := 20; at < len(w.Log); at += 50 {
		base := stateAfter(t, w.Log[:at])
		part, err := replay.Replay(w.Log[at:], base, 1<<40)
		if err != nil {
			t.Fatalf("from %d: %v", at, err)
		}
		from := uint64(at)
		for id := range all.Identities {
			for i := from; i <= all.Last; i += 7 {
				a, b := all.At(id, i), part.At(id, i)
				a.From, b.From = 0, 0
				if a.Phase == placement.Tombstone || a.Phase == placement.Absent { // whose it was the state does not say
					a.Epoch, a.Member, a.Incarnation, b.Epoch, b.Member, b.Incarnation = 0, "", 0, 0, "", 0
				}
				if a != b {
					t.Fatalf("from %d: %s at %d is %+v, want %+v", at, id, i, b, a)
				}
			}
		}
		last, _ := all.DigestAt(all.Last)
		if d, _ := part.DigestAt(all.Last); d != last || part.First != from+1 {
			t.Errorf("from %d: the digest is %s, want %s", at, d, last)
		}
	}
	if _, err := replay.Replay(w.Log[5:], nil, 1<<40); !errors.Is(err, replay.ErrBadLog) {
		t.Errorf("without the state before: %v", err)
	}
}

func stateAfter(t *testing.T, log []replay.Entry) *snapshot.View {
	t.Helper()
	v, err := replay.State(log, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestReplay_UncommittedEnd_IsLeftOut(t *testing.T) {
	w := checktest.Make(checktest.Config{Seed: 3})
	got, err := replay.Replay(append(slices.Clone(w.Log), replay.Entry{Index: uint64(len(w.Log) + 1), Term: 9, Command: []byte("no command")}), nil, uint64(len(w.Log)))
	if err != nil || got.Last != uint64(len(w.Log)) {
		t.Errorf("up to %d, %v", got.Last, err)
	}
}

func TestAgree_OneEntryDiffers_SaysWhere(t *testing.T) {
	w := checktest.Make(checktest.Config{Seed: 3})
	other := slices.Clone(w.Log)
	other[50].Command = slices.Clone(other[50].Command)
	other[50].Command[0] ^= 1
	if err := replay.Agree(w.Log, other[10:], 1<<40); !errors.Is(err, replay.ErrDisagree) || !strings.Contains(err.Error(), "index 51") {
		t.Errorf("agree: %v", err)
	}
	if err := replay.Agree(w.Log, other[10:], 50); err != nil {
		t.Errorf("before it: %v", err)
	}
	if err := replay.Agree(w.Log, nil, 50); err != nil {
		t.Errorf("with nothing: %v", err)
	}
}

// A request has one place where it was carried out, which says what a Place gave an owner, and nothing of what others did.
func TestReplay_Requests_SayWhatWasPlaced(t *testing.T) {
	w := checktest.Make(checktest.Config{Seed: 4, Ops: 400})
	line, err := replay.Replay(w.Log, nil, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	h, err := history.FromEvents(w.Events)
	if err != nil {
		t.Fatal(err)
	}
	placed, others := 0, 0
	for i := range h.Ops {
		op := &h.Ops[i]
		for _, c := range line.Requests[op.Request] {
			switch {
			case op.F == history.Place && c.Placed == op.Identity:
				placed++
			case op.F != history.Place && c.Placed == "":
				others++
			default:
				t.Errorf("%s of %s placed %q", op.F, op.Identity, c.Placed)
			}
		}
		if n := len(line.Requests[op.Request]); n > 1 {
			t.Errorf("%s of %s was carried out %d times", op.F, op.Identity, n)
		}
	}
	if placed == 0 || others == 0 {
		t.Errorf("%d placed, %d others", placed, others)
	}
}

func TestRead_WhatWasWritten(t *testing.T) {
	w := checktest.Make(checktest.Config{Seed: 3, Ops: 100})
	var b bytes.Buffer
	if err := replay.Write(&b, w.Log); err != nil {
		t.Fatal(err)
	}
	got, err := replay.Read(bytes.NewReader(b.Bytes()))
	if err != nil || !reflect.DeepEqual(got, w.Log) {
		t.Errorf("%d entries, %v", len(got), err)
	}
	for _, bad := range []string{"x\n", `{"index":0,"term":1}` + "\n", `{"index":1,"term":1}` + "\n" + `{"index":3,"term":1}` + "\n", `{"index":1,"term":1,"x":2}` + "\n"} {
		if _, err := replay.Read(strings.NewReader(bad)); !errors.Is(err, replay.ErrBadLog) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"index":1,"term":1,"command":"AA=="}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := replay.Read(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, replay.ErrBadLog) {
				t.Fatal(err)
			}
			return
		}
		_, _ = replay.Replay(entries, nil, 1<<40) // what is no log is an error, and not a panic
	})
}
