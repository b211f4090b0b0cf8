package api

import (
	"fmt"
	"slices"
	"testing"

	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Those that vote come first, nobody is told of one that has not said where it is or takes no part, and there are few.
func TestServersMessage_VotersFirst_AtMostSoMany(t *testing.T) {
	e := snapshot.NewEditor(snapshot.Empty())
	var servers []group.Server
	for i := range 30 {
		name := fmt.Sprintf("s%02d", i)
		address := name + ":7420"
		if i == 3 {
			address = ""
		}
		if err := e.PutServer(snapshot.Server{Name: name, Incarnation: name, RaftAddress: name + ":7421", GRPCAddress: address}); err != nil {
			t.Fatal(err)
		}
		if i != 5 {
			servers = append(servers, group.Server{Name: name, Voter: i%10 == 3 || i == 29 || i == 5})
		}
	}
	slices.Reverse(servers)
	m := serversMessage(append(servers, group.Server{Name: "unknown", Voter: true}), e.Publish())
	want := []string{"s13:7420", "s23:7420", "s29:7420", "s00:7420", "s01:7420", "s02:7420", "s04:7420"}
	if len(m.Addresses) != toldMax || !slices.Equal(m.Addresses[:len(want)], want) {
		t.Errorf("told of %d servers: %v, want first %v", len(m.Addresses), m.Addresses, want)
	}
}
