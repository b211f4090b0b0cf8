package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// Servers are replaced while there is work, two at a time: those that take their place have everything, and answer.
func TestRun_ServersAreReplaced_OthersTakeTheirPlace(t *testing.T) {
	p := PlanOf(1) // for its clocks
	p.Servers, p.Length, p.SnapshotEntries, p.Patient = 3, 25*time.Second, 100, "s3"
	for _, s := range []string{"s1", "s2", "s3", "s4", "s5", "locker-s1", "locker-s2", "locker-s3"} {
		p.Rates[s] = p.Rates["s1"]
	}
	p.Spares, p.Faults = 2, []Fault{
		{Kind: Replace, At: 5 * time.Second, For: 15 * time.Second, Hosts: []string{"s1"}},
		{Kind: Replace, At: 5500 * time.Millisecond, For: 15 * time.Second, Hosts: []string{"s2"}},
		{Kind: Kill, At: 22 * time.Second, For: time.Second, Hosts: []string{leaderNow}},
	}
	out := Run(t, p)
	for _, f := range out.Found {
		t.Error(f)
	}
	final := out.History.FinalServers()
	if !slices.Equal(final, []string{"s3", "s4", "s5"}) {
		t.Errorf("the servers in the end are %v", final)
	}
	for _, s := range final {
		if !slices.ContainsFunc(out.History.Digests, func(d history.Timed[history.Digest]) bool { return d.V.Server == s && d.V.Final }) {
			t.Errorf("nobody knows the digest of %s in the end", s)
		}
	}
	if !slices.ContainsFunc(out.History.Ops, func(op history.Op) bool { return op.Client == "reader-s5" && op.Outcome == history.OutcomeOK }) {
		t.Error("s5 has answered nobody who asks it alone")
	}
}
