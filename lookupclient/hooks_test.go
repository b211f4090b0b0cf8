package lookupclient_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// A program is told what its client does, and warned of what does not work: once at first, and then every ten seconds.
func TestClient_Hooks_AreToldAndWarningsAreFew(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		w.member("m", nil)
		var mu sync.Mutex
		paths, retries, hedges := map[string]int{}, map[apiv1.Reason]int{}, 0
		log := &lockedBuffer{}
		c := w.caching("client", func(c *lookupclient.Config) {
			c.Hooks.Lookup = func(p lookupclient.Placement, err error, took time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case took < 0 || took > time.Minute:
					t.Errorf("a look-up took %v", took)
				case err != nil:
					paths["failed"]++
				case p.Cached:
					paths["cache"]++
				default:
					paths[map[lookupclient.Level]string{lookupclient.Leased: "lease", lookupclient.Leader: "leader", lookupclient.Stale: "stale"}[p.Level]]++
				}
			}
			c.Hooks.Retry = func(why apiv1.Reason) { mu.Lock(); defer mu.Unlock(); retries[why]++ }
			c.Hooks.Hedge = func() { mu.Lock(); defer mu.Unlock(); hedges++ }
			c.Logger = slog.New(slog.NewTextHandler(log, nil))
		})
		ctx := context.Background()
		if _, _, err := c.Place(ctx, cart(1)); err != nil {
			t.Fatal(err)
		}
		lookup(t, c, cart(1))
		time.Sleep(2 * time.Second) // every server has applied it
		until(t, "a server answers under its lease", func() bool {
			p, err := c.LookupAt(ctx, cart(1), lookupclient.Read{})
			return err == nil && p.Level == lookupclient.Leased
		})
		for _, level := range []lookupclient.Level{lookupclient.Leader, lookupclient.Stale} {
			if _, err := c.LookupAt(ctx, cart(1), lookupclient.Read{Level: level}); err != nil {
				t.Fatal(err)
			}
		}
		for _, path := range []string{"failed", "cache", "lease", "leader", "stale"} {
			if paths[path] == 0 {
				t.Errorf("look-ups that were told of: %v", paths)
			}
		}
		if paths["failed"] != 1 || paths["cache"] != 1 || paths["stale"] != 1 {
			t.Errorf("look-ups that were told of: %v", paths)
		}
		if log.String() != "" || retries[apiv1.ReasonUnreachable] > 0 || hedges > 0 {
			t.Errorf("nothing is wrong: %s, %v, %d", log.String(), retries, hedges)
		}
		w.isolate("client", true)
		short, cancel := context.WithTimeout(ctx, 35*time.Second)
		defer cancel()
		_, err := c.LookupAt(short, cart(1), lookupclient.Read{})
		mu.Lock()
		defer mu.Unlock()
		lines := strings.Count(log.String(), "\n")
		if err == nil || hedges == 0 || retries[apiv1.ReasonUnreachable] < 10 || lines < 2 || lines > 4 || !strings.Contains(log.String(), "more=0") {
			t.Errorf("cut off: %v; asked twice %d times, made again %v, warned %d times:\n%s", err, hedges, retries, lines, log.String())
		}
	})
}

// Every identity that was looked up or placed is told of, one by one, with its outcome; and every call, with how often it was made.
func TestClient_Hooks_CountWhatIsResolved(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		w.member("m", nil)
		var mu sync.Mutex
		counts := map[string]int{}
		count := func(what string) { mu.Lock(); defer mu.Unlock(); counts[what]++ }
		var calls []lookupclient.Call
		c := w.clientWith("client", func(c *lookupclient.Config) {
			c.Timeout = 2 * time.Second
			c.Hooks.Lookup = func(p lookupclient.Placement, err error, took time.Duration) {
				count(fmt.Sprintf("lookup %s %s", p.Identity.Key, reasonOf(err)))
			}
			c.Hooks.Place = func(p lookupclient.Placement, created bool, err error, took time.Duration) {
				count(fmt.Sprintf("place %s %t %s", p.Identity.Key, created, reasonOf(err)))
			}
			c.Hooks.Call = func(x lookupclient.Call) { mu.Lock(); defer mu.Unlock(); calls = append(calls, x) }
		})
		ctx := context.Background()
		room := placement.Identity{Kind: "room", Key: "1"}
		_, _, _ = c.Place(ctx, cart(1))
		_, _, _ = c.Place(ctx, cart(1))
		_, _, _ = c.Place(ctx, room)
		_, _ = c.PlaceAll(ctx, []placement.Identity{cart(1), cart(2), room})
		_, _ = c.Lookup(ctx, cart(1))
		_, _ = c.Lookup(ctx, cart(9))
		_, _ = c.LookupAt(ctx, cart(2), lookupclient.Read{})
		_, _ = c.LookupAll(ctx, []placement.Identity{cart(1), cart(2), cart(9)})
		want := map[string]int{
			"place 1 true ": 1, "place 1 false ": 2, "place  false NO_ELIGIBLE_MEMBER": 2, "place 2 true ": 1,
			"lookup 1 ": 2, "lookup 2 ": 2, "lookup  NOT_PLACED": 2,
		}
		if !maps.Equal(counts, want) {
			t.Errorf("told of %v, want %v", counts, want)
		}
		methods := map[string]int{}
		for _, x := range calls {
			methods[x.Method]++
			if x.Attempts != 1 || x.Took < 0 || x.Took > time.Second {
				t.Errorf("%+v", x)
			}
		}
		if methods[apiv1.Placements_Place_FullMethodName] != 3 || methods[apiv1.Placements_Lookup_FullMethodName] != 3 || methods[apiv1.Placements_BatchPlace_FullMethodName] != 1 || methods[apiv1.Placements_BatchLookup_FullMethodName] != 1 {
			t.Errorf("calls: %v", methods)
		}
		clear(counts)
		calls = nil
		w.isolate("client", true)
		_, _ = c.LookupAll(ctx, carts(3))
		_, _ = c.PlaceAll(ctx, carts(2))
		if counts["lookup  UNREACHABLE"] != 3 || counts["place  false OUTCOME_UNKNOWN"]+counts["place  false UNREACHABLE"] != 2 || len(counts) != 2 {
			t.Errorf("cut off: told of %v", counts)
		}
		if len(calls) != 2 || calls[0].Err == nil || calls[0].Took < 2*time.Second || calls[0].Attempts < 1 {
			t.Errorf("cut off: %+v", calls)
		}
	})
}

func reasonOf(err error) apiv1.Reason {
	var e *lookupclient.Error
	errors.As(err, &e)
	if e == nil {
		return ""
	}
	return e.Reason
}

// A member that finds no session says so at once, and then now and then.
func TestMember_NoSession_WarningsAreFew(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		log := &lockedBuffer{}
		c := w.clientWith("m", func(c *lookupclient.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
		m, err := c.Join(context.Background(), lookupclient.MemberConfig{
			Name: "m", Address: "m:1", Kinds: map[string]lookupclient.Kind{"cart": {}}, Now: memberNow,
		})
		if err != nil {
			t.Fatal(err)
		}
		w.members = append(w.members, m)
		if s := log.String(); s != "" {
			t.Errorf("nothing is wrong: %s", s)
		}
		w.isolate("m", true)
		time.Sleep(95 * time.Second)
		lines := strings.Count(log.String(), "a member has no session")
		if lines < 5 || lines > 10 || !strings.Contains(log.String(), "more=0") {
			t.Errorf("cut off for 95s: %d warnings:\n%s", lines, log.String())
		}
		w.isolate("m", false)
	})
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
