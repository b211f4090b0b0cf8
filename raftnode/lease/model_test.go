package lease

import (
	"flag"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

var whole = flag.Bool("model", false, "search as far as the tables in DESIGN.md say: 20 minutes, 6 GB")

// run is one search: of the reads or of the members, and how far.
type run struct {
	model, bounds string
	reached       []string // what has to have come about
}

// bounds of a run, from words like "terms=2 holders=1 self".
func bounds(words string) map[string]uint8 {
	b := map[string]uint8{"terms": 2, "places": 2, "removes": 1, "d": 2}
	for _, w := range strings.Fields(words) {
		name, value, ok := strings.Cut(w, "=")
		n := uint8(1)
		if ok {
			if _, err := fmt.Sscan(value, &n); err != nil {
				panic(w)
			}
		}
		b[name] = n
	}
	return b
}

func readsOf(words string) *reads {
	b := bounds(words)
	return &reads{readBounds: readBounds{
		terms: b["terms"], places: b["places"], removes: b["removes"], batches: b["batches"], restart: b["restart"] > 0, holders: b["holders"],
		d: b["d"], drift: b["drift"], lowerD: b["lower"] > 0, self: b["self"] > 0, checkFirst: b["check"] > 0, loadFirst: b["load"] > 0,
		oldIndex: b["old"] > 0, late: b["late"] > 0, merged: b["merged"] > 0,
	}}
}

func membersOf(words string) *hosts {
	b := bounds(words)
	return &hosts{memberBounds: memberBounds{
		terms: b["terms"], places: b["places"], joins: b["joins"], ttl: b["d"], drift: b["drift"], lowerT: b["lower"] > 0,
		sessions: b["sessions"] > 0, members: max(1, b["members"]), late: b["late"] > 0, merged: b["merged"] > 0, leaders: min(servers, int(b["terms"])),
	}}
}

// searchFor runs a search.
func searchFor(model, words string, most uint64) (f found, told string) {
	if model == "members" {
		return searched[memberState](membersOf(words), most)
	}
	return searched[readState](readsOf(words), most)
}

func searched[S comparable](m model[S], most uint64) (f found, told string) {
	if f = search(m, most); f.violated != "" {
		told = story(m, &f)
	}
	return f, told
}

// line is a search as a line of the tables.
func line(name, words string, f *found) string {
	verdict := "none found, all states seen"
	if !f.all {
		verdict = "none found, and more to see"
	}
	if f.violated != "" {
		verdict = fmt.Sprintf("violated in %d steps: %s", len(f.trace), f.violated)
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	return fmt.Sprintf("| %s | %s | %d | %d | %d | %.1f s | %.1f GB | %s |", name, words, f.states, f.steps, f.depth, f.took.Seconds(), float64(mem.Sys)/(1<<30), verdict)
}

// Runs that are not merged check, within smaller bounds, that merging hides nothing.
var shortRuns = []run{
	{"reads", "terms=1 holders=1 drift=1", []string{reachServes, reachSecond, reachLags, reachByAck}},
	{"reads", "terms=2 holders=1 d=1 self merged places=1", []string{reachChange, reachLags, reachDeposedOf, reachOwn, reachByAck, reachHeldBack}},
	{"members", "terms=1 drift=1 joins=1 d=1", []string{reachHolds, reachHoldsExpiry}},
	{"members", "terms=2 drift=1 merged d=1", []string{reachHolds, reachHoldsChange}},
	{"members", "terms=2 drift=1 merged d=1 sessions", []string{reachHolds, reachHoldsChange}},
}

var wholeRuns = []run{
	{"reads", "terms=1 holders=1 drift=1 self", []string{reachSecond, reachLags, reachByAck}},
	{"reads", "terms=1 holders=1 drift=1 self old", []string{reachSecond, reachLags, reachByAck}},
	{"reads", "terms=2 holders=1 drift=1 self merged lower", []string{reachChange, reachSecond, reachLags, reachOwn}},
	{"reads", "terms=2 holders=1 drift=1 self merged old d=1", []string{reachChange, reachSecond, reachLags, reachOwn}},
	{"reads", "terms=2 holders=1 drift=1 self merged d=1 check", []string{reachChange, reachSecond, reachLags, reachOwn}},
	{"reads", "terms=2 holders=1 drift=1 self merged d=1 load", []string{reachChange, reachSecond, reachLags, reachOwn}},
	{"reads", "terms=1 holders=2 drift=1 self merged restart d=1", []string{reachSecond, reachLags, reachByAck, reachFormer}},
	{"reads", "terms=2 holders=1 self merged restart d=1 places=1", []string{reachChange, reachLags, reachOwn, reachFormer}},
	{"reads", "terms=3 holders=1 self merged d=1 late places=1", []string{reachChange, reachLags, reachOwn, reachDeposedOf}},
	{"reads", "terms=2 holders=1 self merged late d=1", []string{reachChange, reachSecond, reachLags, reachOwn, reachDeposedOf}},
	{"reads", "terms=2 holders=2 self merged late d=1 places=1", []string{reachChange, reachLags, reachOwn, reachDeposedOf}},
	{"reads", "terms=2 holders=2 merged late d=1 places=1", []string{reachChange, reachLags, reachDeposedOf}},
	{"reads", "terms=2 holders=1 merged d=1 removes=2 batches=1", []string{reachChange, reachSecond, reachLags, reachHeldBack}},
	{"reads", "terms=1 holders=1 drift=1 restart d=1", []string{reachSecond, reachLags, reachByAck, reachFormer}},
	{"reads", "terms=2 holders=1 d=1 places=1", []string{reachChange, reachLags, reachDeposedOf, reachByAck, reachHeldBack}},
	{"reads", "terms=1 holders=2 d=1", []string{reachSecond, reachLags, reachByAck}},
	{"members", "terms=1 drift=1 joins=1 places=3", []string{reachHolds, reachHoldsExpiry}},
	{"members", "terms=2 drift=1 joins=1 merged places=3", []string{reachHoldsChange, reachHoldsExpiry}},
	{"members", "terms=1 drift=1 joins=1 places=3 sessions", []string{reachHolds, reachHoldsExpiry}},
	{"members", "terms=2 drift=1 joins=1 merged places=3 sessions", []string{reachHoldsChange, reachHoldsExpiry}},
	{"members", "terms=2 drift=1 joins=1 merged lower", []string{reachHoldsChange, reachHoldsExpiry}},
	{"members", "terms=3 drift=1 merged d=1", []string{reachHoldsChange}},
	{"members", "terms=3 merged late d=1", []string{reachHoldsChange}},
	{"members", "terms=2 members=2 merged d=1", []string{reachHoldsChange, reachHoldsExpiry, reachRemembers}},
	{"members", "terms=2 d=1 places=1", []string{reachHoldsChange, reachOldExpire}},
}

// mostStates bounds a search, so that it needs less than 8 GB.
const mostStates = 100e6

func TestModel_AllRules_NothingIsViolated(t *testing.T) {
	runs := shortRuns
	if *whole {
		debug.SetMemoryLimit(7 << 30)
		runs = wholeRuns
	}
	for _, r := range runs {
		t.Run(r.model+" "+r.bounds, func(t *testing.T) {
			f, told := searchFor(r.model, r.bounds, mostStates)
			t.Log(line(r.model, r.bounds, &f))
			for _, name := range slices.Sorted(maps.Keys(f.reached)) {
				t.Logf("%11d states: %s", f.reached[name], name)
			}
			if told != "" {
				t.Error(told)
			}
			for _, name := range r.reached {
				if f.reached[name] == 0 {
					t.Errorf("not reached, so the search means little: %s", name)
				}
			}
		})
	}
}
