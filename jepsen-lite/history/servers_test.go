package history

import (
	"slices"
	"testing"
)

func TestFinalServers_AddedAndRemoved_ThoseOfTheEnd(t *testing.T) {
	process := func(at int64, name, kind, what string) Event {
		return Event{At: at, Process: &Process{Name: name, Kind: kind, What: what}}
	}
	h, err := FromEvents([]Event{
		{Run: &Run{Format: Format, Scenario: "test", Servers: []string{"s1", "s2"}}},
		process(1, "s1", "server", ProcessStart), process(1, "s2", "server", ProcessStart), process(1, "m1", "member", ProcessStart),
		process(2, "s3", "server", ProcessStart), process(3, "s1", "server", ProcessRemoved), process(4, "s1", "server", ProcessExit),
		process(5, "s2", "server", ProcessKill),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := h.FinalServers(); !slices.Equal(got, []string{"s2", "s3"}) {
		t.Errorf("got %v", got)
	}
}
