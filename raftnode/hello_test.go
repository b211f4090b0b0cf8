package raftnode

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/port"
	"github.com/seed13d31b7f/berth/snapshot"
)

// A hello names every server that a state may have, and has to fit into a greeting.
func TestHello_OfAllServers_FitsAGreeting(t *testing.T) {
	h := hello{Cluster: strings.Repeat("c", 32), Servers: map[string]string{}}
	for i := range snapshot.ServersMax {
		name := fmt.Sprintf("%0*d", placement.MemberIDBytesMax, i)
		h.Servers[name] = ulid.Make().String()
		h.Removed = append(h.Removed, name)
	}
	b, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	if len(b)+4096 > port.GreetingBytesMax { // the rest of the greeting is small
		t.Errorf("a hello of %d bytes, a greeting has %d", len(b), port.GreetingBytesMax)
	}
}
