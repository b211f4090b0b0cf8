package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
)

// Members and identities are on the block list for a while, over a change of the leader: watchers are told, and everything goes on afterwards.
func TestRun_MembersAndIdentitiesAreBlocked_WatchersAreTold(t *testing.T) {
	p := PlanOf(1) // for its clocks
	p.Servers, p.Spares, p.Members, p.Length = 3, 0, 2, 20*time.Second
	p.Faults = []Fault{
		{Kind: Block, At: 4 * time.Second, For: 3 * time.Second, Hosts: []string{"m1"}},
		{Kind: BlockIdentity, At: 5 * time.Second, For: 6 * time.Second},
		{Kind: Kill, At: 6 * time.Second, For: time.Second, Hosts: []string{leaderNow}},
		{Kind: Block, At: 12 * time.Second, For: 3 * time.Second, Hosts: []string{"m2"}},
	}
	out := Run(t, p)
	for _, f := range out.Found {
		t.Error(f)
	}
	told := func(kind, subject string) bool {
		return slices.ContainsFunc(out.History.Watches, func(x history.Timed[history.Watch]) bool {
			return x.V.Type == kind && (x.V.Member == subject || subject == "" && x.V.Identity != "")
		})
	}
	for _, subject := range []string{"m1", "m2", ""} {
		if !told(replay.BlockAdded, subject) || !told(replay.BlockRemoved, subject) {
			t.Errorf("no watcher was told that %q was on the block list and is not any more", subject)
		}
	}
	if placed := slices.ContainsFunc(out.History.Holds, func(h history.Timed[history.Hold]) bool {
		return h.V.Member == "m1" && h.V.From > int64(8*time.Second)
	}); !placed {
		t.Error("m1 was given nothing any more")
	}
}
