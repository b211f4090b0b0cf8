package fsm

import (
	"errors"
	"testing"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// epochsOf applies a log to a machine, as another cluster's, and returns the smallest and the largest epoch that it made.
func epochsOf(t *testing.T, m *Machine, cluster string, log []logged) (least, most placement.Epoch) {
	t.Helper()
	m.Observed = true
	made := func(e placement.Epoch) {
		if e != 0 && (least == 0 || e < least) {
			least = e
		}
		most = max(most, e)
	}
	for _, l := range log {
		data := l.data
		var e entry
		if err := decodeEntry(data, &e); err != nil {
			t.Fatal(err)
		}
		if e.start != nil {
			s := *e.start
			s.ClusterID = cluster
			data = EncodeStart(s)
		}
		out, err := m.Apply(l.index, l.term, data)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out.Results {
			if r.Verdict == placement.Done && !r.Remembered {
				made(placement.Epoch(r.Incarnation))
				made(placement.Epoch(r.Session))
			}
		}
		for _, c := range out.Changes {
			if c.Type == PlacementChanged && c.Entry.Epoch != c.Before.Epoch {
				made(c.Entry.Epoch)
			}
		}
	}
	return least, most
}

// largest is the largest epoch that a state names.
func largest(v *snapshot.View) (e placement.Epoch) {
	for p := range v.Placements() {
		e = max(e, p.Entry.Epoch)
	}
	for m := range v.Members() {
		e = max(e, placement.Epoch(m.Incarnation))
	}
	return e
}

// What a restored cluster makes is larger than all that the file names, and than all that the old cluster makes later;
// and so it is with a cluster that is restored from the restored one.
func TestRestore_EpochsOnlyGrow(t *testing.T) {
	for seed := range uint64(6) {
		log := randomLog(t, seed, 1500)
		for _, at := range []int{1, 2, 50, 700} {
			old := New(snapshot.Empty())
			_, before := epochsOf(t, old, "C", log[:at])
			file := recode(t, old.Publish())
			_, later := epochsOf(t, old, "C", log[at:])

			first, err := Restore(file, "D", 0, true)
			if err != nil {
				t.Fatal(err)
			}
			m := New(recode(t, first))
			least, most := epochsOf(t, m, "D", log[at:1000])
			if least <= max(before, later, largest(file)) {
				t.Errorf("seed %d, entry %d: the restored cluster made epoch %#x, the old one %#x", seed, at, least, max(before, later))
			}
			second, err := Restore(recode(t, m.Publish()), "E", 0, true)
			if err != nil {
				t.Fatal(err)
			}
			if g := second.Cluster.Generation; g <= first.Cluster.Generation || first.Cluster.Generation <= file.Cluster.Generation {
				t.Errorf("generations %d, %d, %d", file.Cluster.Generation, first.Cluster.Generation, g)
			}
			if again, _ := epochsOf(t, New(second), "E", log[1000:]); again <= most {
				t.Errorf("seed %d, entry %d: restored again it made epoch %#x after %#x", seed, at, again, most)
			}
		}
	}
}

// Everything but the cluster's id, its generation and its servers is as it was, and the file's view is untouched.
func TestRestore_KeepsEverythingElse(t *testing.T) {
	for seed := range uint64(6) {
		m := New(snapshot.Empty())
		epochsOf(t, m, "C", randomLog(t, seed, 700))
		file := m.Publish()
		digest := file.Digest()
		v, err := Restore(file, "D", 0, true)
		if err != nil {
			t.Fatal(err)
		}
		if v.Digest() != v.RecomputeDigest() || file.Digest() != digest || file.RecomputeDigest() != digest {
			t.Errorf("seed %d: digests %v and %v, computed anew %v and %v", seed, file.Digest(), v.Digest(), file.RecomputeDigest(), v.RecomputeDigest())
		}
		for c := range snapshot.Diff(file, v) {
			t.Errorf("seed %d: %v changed: %+v", seed, c.From.Identity, c)
		}
		for p := range file.Placements() {
			if e, _ := v.Lookup(p.Identity); e != p.Entry {
				t.Errorf("seed %d: %v is %+v, and was %+v", seed, p.Identity, e, p.Entry)
			}
		}
		members := 0
		for x, load := range file.Members() {
			members++
			if got := v.Incarnation(x.Incarnation); got != x || v.MemberLoad(x.Incarnation) != file.MemberLoad(x.Incarnation) {
				t.Errorf("seed %d: member %+v (%+v) became %+v", seed, x, load, got)
			}
		}
		if members == 0 {
			t.Errorf("seed %d: there is no member", seed)
		}
		for s := range v.Servers() {
			t.Errorf("seed %d: server %s is still there", seed, s.Name)
		}
		if v.Index != file.Index || v.Term != file.Term || v.Time != file.Time || v.Barrier != file.Barrier || v.ForgottenIndex() != file.ForgottenIndex() {
			t.Errorf("seed %d: the position changed", seed)
		}
		want := file.Cluster
		want.ID, want.Generation, want.EpochBase = "D", 1, file.Index
		if v.Cluster != want {
			t.Errorf("seed %d: cluster %+v, want %+v", seed, v.Cluster, want)
		}
	}
}

// A request that was carried out before the file was made gets its answer, and is not carried out again.
func TestRestore_RequestsAreRemembered(t *testing.T) {
	m := New(snapshot.Empty())
	join := Command{Request: snapshot.RequestID{7}, Body: &Join{placement.Member{ID: "m", Address: "h:1", Kinds: []string{"cart"}}}}
	b, err := Encode(join)
	if err != nil {
		t.Fatal(err)
	}
	batch := AppendEntry(nil, Batch{Term: 1}, [][]byte{b})
	if _, err := m.Apply(1, 1, EncodeStart(Start{Server: "s1", ClusterID: "C"})); err != nil {
		t.Fatal(err)
	}
	first, err := m.Apply(2, 1, batch)
	if err != nil {
		t.Fatal(err)
	}
	v, err := Restore(m.Publish(), "D", 0, true)
	if err != nil {
		t.Fatal(err)
	}
	again, err := New(v).Apply(3, 1, batch)
	if err != nil {
		t.Fatal(err)
	}
	if r := again.Results[0]; !r.Remembered || r.Incarnation != first.Results[0].Incarnation {
		t.Errorf("asked again: %+v, the first answer was %+v", r, first.Results[0])
	}
}

func TestRestore_Generations(t *testing.T) {
	at := func(index uint64, c snapshot.Cluster) *snapshot.View {
		e := snapshot.NewEditor(snapshot.Empty())
		e.SetPosition(index, 1)
		e.SetCluster(c)
		return e.Publish()
	}
	for _, tt := range []struct {
		name string
		view *snapshot.View
		over uint16
		want uint16
		err  error
	}{
		{"the next", at(9, snapshot.Cluster{ID: "C", Generation: 3}), 0, 4, nil},
		{"above a smaller one", at(9, snapshot.Cluster{ID: "C", Generation: 3}), 2, 4, nil},
		{"above a larger one", at(9, snapshot.Cluster{ID: "C", Generation: 3}), 8, 9, nil},
		{"the old cluster is about to take the next", at(placement.GenerationIndexes-1, snapshot.Cluster{ID: "C", Generation: 3}), 0, 5, nil},
		{"counted from the base", at(placement.GenerationIndexes, snapshot.Cluster{ID: "C", Generation: 3, EpochBase: placement.GenerationIndexes - 5}), 0, 4, nil},
		{"the last", at(9, snapshot.Cluster{ID: "C", Generation: GenerationMax - 1}), 0, GenerationMax, nil},
		{"used up", at(9, snapshot.Cluster{ID: "C", Generation: GenerationMax}), 0, 0, ErrGenerations},
		{"nothing is above the last", at(9, snapshot.Cluster{ID: "C"}), GenerationMax, 0, ErrGenerations},
		{"no state", snapshot.Empty(), 0, 0, ErrNoState},
		{"newer", at(9, snapshot.Cluster{ID: "C", FeatureLevel: FeatureLevel + 1}), 0, 0, ErrFeatureLevel},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := Restore(tt.view, "D", tt.over, true)
			if !errors.Is(err, tt.err) || err == nil && v.Cluster.Generation != tt.want {
				t.Errorf("got %+v, %v; want generation %d, %v", v, err, tt.want, tt.err)
			}
		})
	}
}
