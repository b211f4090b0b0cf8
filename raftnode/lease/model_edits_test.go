package lease

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// edit is how a rule that this package keeps is switched off in its source: what stands there once, and what stands there
// instead while the searches run that have to fail. The product has no switch.
type edit struct{ file, from, to string }

var edits = []edit{
	{"asking.go", `nonce != a.nonce {`, `nonce != a.nonce && !off(otherNonce|keepNonce) {`},
	{"holder.go", `asked, ok := h.asking.Answered(g.Nonce)`, `asked, ok := h.asking.Answered(g.Nonce); asked = pick(fromSend, present, asked)`},
	{"tenure.go", `now.Add(Stretch(s.FormerReadLease))`,
		`now.Add(pick(wait, 0, pick(waitStretched, s.FormerReadLease, Stretch(pick(waitLongest, s.ReadLease, s.FormerReadLease)))))`},
	{"tenure.go", `t.waited && term == t.Term`, `t.waited && (term == t.Term || off(barrierTerm))`},
	{"tenure.go", `min(index, t.holders.lowest(now))`, `func() uint64 {
		lowest := t.holders.lowest(now)
		if off(barrierLows) {
			return index
		}
		if off(barrierOwn) && lowest != everything {
			return lowest
		}
		return min(index, lowest)
	}()`},
	{"tenure.go", `Floor: t.Start`, `Floor: pick(ownFloor, 0, t.Start)`},
	{"grant.go", `t0.Add(Stretch(t.readLease))`, `t0.Add(pick(recordStretch, t.readLease, Stretch(t.readLease)))`},
	{"grant.go", `max(index, t.barrier)`, `pick(floorIndex, r.Index, max(index, pick(floorBarrier, 0, t.barrier)))`},
	{"grant.go", `Floor: low}`, `Floor: pick(floorIndex, 0, low)}`},
	{"holders.go", `old.Until = max(old.Until, r.Until)`, `old.Until = max(old.Until, r.Until); old.Low = pick(lowByAck, max(old.Low, r.Low), old.Low)`},
	{"holders.go", `h.records[r.Holder] = &r`, `if off(recordFirst) { return r.Low, true }; h.records[r.Holder] = &r`},
	{"members.go", `Stretch(maxTTL)`, `pick(stretchedTTL, maxTTL, Stretch(maxTTL))`},
	{"members.go", `m.seen[inc] = begun`, `m.seen[inc] = begun.Add(pick(fullTTL, -m.full, 0))`},
	{"members.go", `!alive || m.expiring[inc]`, `!alive && !off(keepAlive) || m.expiring[inc] && !off(keepMark)`},
	{"sessions.go", `Stretch(ttl)`, `pick(stretchedTTL, ttl, Stretch(ttl))`},
	{"sessions.go", `!open || !known || s.expiring[id]`, `!open && !off(keepAlive) || !known && !off(keepAlive) || s.expiring[id] && !off(keepMark)`},
	{"kept.go", `Expiry: asked.Add(ttl)`, `Expiry: pick(keepFromSend, present, asked).Add(ttl)`},
}

// edited builds this package's tests from its source with every edit, and returns the program.
func edited(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	source := map[string][]byte{}
	for _, e := range edits {
		if source[e.file] == nil {
			if source[e.file], err = os.ReadFile(e.file); err != nil {
				t.Fatal(err)
			}
		}
		if n := bytes.Count(source[e.file], []byte(e.from)); n != 1 {
			t.Fatalf("%s has %q %d times: the edit has to name one place", e.file, e.from, n)
		}
		source[e.file] = bytes.Replace(source[e.file], []byte(e.from), []byte(e.to), 1)
	}
	replace := map[string]string{}
	for name, text := range source {
		at := filepath.Join(dir, name)
		if err := os.WriteFile(at, text, 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(here, name)] = at
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "edited.test")
	if out, err := exec.Command("go", "test", "-c", "-vet=off", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// editedRun is the variable that is set for the program with the edits.
const editedRun = "BERTH_LEASE_EDITED"

// necessary are the smallest bounds within which the lack of each rule is found.
var necessary = []struct {
	name   string
	rule   rule
	model  string
	bounds string
}{
	{"H1 from sending", fromSend, "reads", "terms=1 holders=1"},
	{"H2 nonce", otherNonce, "reads", "terms=1 holders=1"},
	{"S2 pulse", pulseCommit, "reads", "terms=2 holders=1 d=1 places=1"},
	{"S2 sound", pulseSound, "reads", "terms=2 holders=1 d=1 places=1"},
	{"S2 own term", pulseTerm, "reads", "terms=3 holders=1 d=1 places=1"},
	{"S2 after receipt", pulseAfter, "reads", "terms=1 holders=1"},
	{"S1 Start first", startFirst, "reads", "terms=2 holders=1"},
	{"S1 empty tables", startClean, "reads", "terms=3 holders=1 d=1 late merged places=1"},
	{"S3 wait", wait, "reads", "terms=2 holders=1"},
	{"S3 stretched", waitStretched, "reads", "terms=2 holders=1 drift=1 places=1"},
	{"S3 longest", waitLongest, "reads", "terms=2 holders=1 drift=1 lower places=1"},
	{"S4 stretched", recordStretch, "reads", "terms=1 holders=1 drift=1"},
	{"S4 record first", recordFirst, "reads", "terms=1 holders=1"},
	{"S4 floor", floorIndex, "reads", "terms=1 holders=1"},
	{"S4 floor and barrier", floorBarrier, "reads", "terms=1 holders=1 old"},
	{"S5 acknowledged", lowByAck, "reads", "terms=1 holders=1"},
	{"S5 incarnation", incarnations, "reads", "terms=1 holders=1 restart"},
	{"H4 published", ackPublished, "reads", "terms=1 holders=1"},
	{"S6 holders", barrierLows, "reads", "terms=1 holders=1"},
	{"S6 own index", barrierOwn, "reads", "terms=1 holders=1 self"},
	{"S6 own term", barrierTerm, "reads", "terms=2 holders=1 d=1 late merged"},
	{"S7 reveal", reveal, "reads", "terms=1 holders=1"},
	{"F3 every answer", mask, "reads", "terms=1 holders=1"},
	{"F3 Place", placeBarrier, "reads", "terms=1 holders=1"},
	{"S8 absent", absentByPulse, "reads", "terms=1 holders=1 self"},
	{"S8 own floor", ownFloor, "reads", "terms=2 holders=1 self load merged"},
	{"H3 loaded index", readLoaded, "reads", "terms=1 holders=1 load"},
	{"H3 clock", readClock, "reads", "terms=1 holders=1 check"},
	{"M2 from sending", keepFromSend, "members", "terms=1"},
	{"M2 pulse", keepPulse, "members", "terms=2 d=1 places=1"},
	{"M2 after receipt", keepPulseAfter, "members", "terms=1"},
	{"M2 nonce", keepNonce, "members", "terms=1"},
	{"M3 alive", keepAlive, "members", "terms=2 d=1 places=1"},
	{"M4 mark", keepMark, "members", "terms=1"},
	{"M4 full time", fullTTL, "members", "terms=2 d=1 places=1"},
	{"M4 longest", longestTTL, "members", "terms=2 drift=1 lower places=1"},
	{"M4 stretched", stretchedTTL, "members", "terms=1 drift=1"},
	{"F1 fence", fence, "members", "terms=3 d=1 places=1 merged"},
	{"S1 Start first", membersStart, "members", "terms=2 d=1 places=1"},
	{"M3 alive, sessions", keepAlive, "members", "terms=2 d=1 places=1 sessions"},
	{"M4 mark, sessions", keepMark, "members", "terms=1 sessions"},
	{"M4 full time, sessions", fullTTL, "members", "terms=2 places=1 sessions"},
	{"M4 stretched, sessions", stretchedTTL, "members", "terms=1 drift=1 sessions"},
	{"M5 own incarnation", confirmOwn, "members", "terms=1 joins=1"},
	{"M1 drops", rejoinDrops, "members", "terms=1 joins=1"},
	{"M6 stop first", stopFirst, "members", "terms=1"},
	{"F5 owner alone", ownerOnly, "members", "terms=1"},
}

// TestModel_EveryRule_IsNeeded switches each rule off alone and has the search find what comes of it. It runs the program
// that is built with the edits; in that program it is the search.
func TestModel_EveryRule_IsNeeded(t *testing.T) {
	if os.Getenv(editedRun) == "" {
		cmd := exec.Command(edited(t), "-test.run", "^TestModel_EveryRule_IsNeeded$", "-test.v")
		cmd.Env = append(os.Environ(), editedRun+"=1")
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if t.Logf("%s", out); err != nil {
			t.Error("a rule can go, and nothing is found")
		}
		return
	}
	for _, n := range necessary {
		switched = n.rule
		f, _ := searchFor(n.model, n.bounds, 20e6)
		switched = 0
		t.Log(line(n.name, n.bounds, &f))
		if f.violated == "" {
			t.Errorf("%s is off, and nothing is violated", n.name)
		}
	}
}
