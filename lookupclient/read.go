package lookupclient

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// Level is what a look-up promises.
type Level uint8

const (
	// Leased is linearizable, and the default: a server with a read lease answers what is settled by itself, and asks the
	// leader about everything else.
	Leased Level = iota
	// Leader is linearizable: the leader proves itself after the request arrived.
	Leader
	// Stale is what the asked server has, however old, within the bounds of the Read.
	Stale
)

var levels = [...]apiv1.Level_Name{apiv1.Level_LEASED, apiv1.Level_LEADER, apiv1.Level_STALE}

// Read says what a look-up may be answered from. The zero value is what Lookup does.
type Read struct {
	Level Level
	// MaxStaleness, of Stale alone, refuses answers from a state that may be older. Zero: any age.
	MaxStaleness time.Duration
	// MinIndex wants a state that has this log index: that of an answer seen before, say, so that nobody goes back in time.
	// A server waits 300 ms for it, and then others are asked, as long as the context allows. Zero: any.
	MinIndex uint64
}

// LookupAt returns the settled placement of an identity, as of a state that the Read allows. It always asks a server. It fails as Lookup does, with
// ErrUnavailable also when no state is as new as the Read asks for, and with ErrInvalid for a Read that breaks a rule.
func (c *Client) LookupAt(ctx context.Context, id placement.Identity, r Read) (Placement, error) {
	req := &apiv1.LookupRequest{Kind: id.Kind, Key: id.Key, MinIndex: r.MinIndex, Level: -1}
	if int(r.Level) < len(levels) {
		req.Level = levels[r.Level]
	}
	if r.MaxStaleness != 0 {
		req.MaxStaleness = durationpb.New(r.MaxStaleness)
	}
	begin := time.Now()
	p, err := c.ask(ctx, req)
	if h := c.conn.config.Hooks.Lookup; h != nil {
		h(p, err, time.Since(begin))
	}
	return p, err
}
