package lookupclient_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// The promises of a stream of events, and what is looked at for each:
//
//   - filter: only what is wanted comes;
//   - ordered: log indexes never go back, and none is behind a mark that came before;
//   - unique: nothing comes twice;
//   - atomic: an update has all of its log indexes that is wanted, or nothing of them;
//   - bookmarkable: every update that is not partial has a position, and positions never go back;
//   - resumable: what comes behind a position is what follows it, whoever tells it;
//   - reliable: nothing that is wanted is missing up to the last position.
//
// reference is everything that happened from the first index on.

// observed is what somebody who watches was told.
type observed struct {
	config  lookupclient.WatchConfig
	updates []lookupclient.Update
}

// wanted says whether an event is wanted, by other code than that of the servers.
func wanted(c *lookupclient.WatchConfig, e *apiv1.Event) bool {
	return (c.Kind == "" || e.Kind == c.Kind) && (c.Prefix == "" || strings.HasPrefix(e.Key, c.Prefix)) &&
		(c.Member == "" || e.Member == string(c.Member)) && (len(c.Types) == 0 || slices.Contains(c.Types, e.Type))
}

// eventKey is what tells an event from others.
func eventKey(e *apiv1.Event) string {
	return fmt.Sprintf("%d %v %s/%s %s %d %s %d %s%s", e.Index, e.Type, e.Kind, e.Key, e.Member, e.Epoch, e.Lock, e.Session, e.Server, e.RequestId)
}

// sorted are events in the order of their indexes; the order within one that servers may tell differently, that of what a member
// owned when it ended, is made one.
func sorted(events []*apiv1.Event) []*apiv1.Event {
	out := slices.Clone(events)
	slices.SortStableFunc(out, func(a, b *apiv1.Event) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), strings.Compare(eventKey(a), eventKey(b)))
	})
	return out
}

// violations says which promises were broken, one line for each way.
func (o *observed) violations(reference []*apiv1.Event) (list []string) {
	broken := map[string]bool{}
	report := func(promise, format string, args ...any) {
		if !broken[promise] {
			broken[promise] = true
			list = append(list, promise+": "+fmt.Sprintf(format, args...))
		}
	}
	seen := map[string]bool{}
	var at *lookupclient.Position // where what is to come begins; nil while that is not known
	if o.config.Since != nil {
		at = o.config.Since
	}
	for n, u := range o.updates {
		if u.Reset != 0 || len(u.Records) > 0 {
			at = nil // what is to come begins at the next position
		}
		last := uint64(0)
		for _, e := range u.Events {
			if !wanted(&o.config, e) {
				report("filter", "update %d has %s", n, eventKey(e))
			}
			if e.Index < last || at != nil && e.Index <= at.Index || e.Index > u.Position.Index {
				report("ordered", "update %d, behind %v and up to %v, has %s behind %d", n, at, u.Position, eventKey(e), last)
			}
			last = e.Index
			if key := eventKey(e); seen[key] {
				report("unique", "update %d has %s again", n, key)
			} else {
				seen[key] = true
			}
		}
		if u.Partial {
			continue
		}
		if u.Position.Index == 0 && n > 0 || u.ServedBy == "" || at != nil && u.Position.Index < at.Index {
			report("bookmarkable", "update %d, behind %v, has the position %v", n, at, u.Position)
		}
		if at != nil {
			o.between(reference, n, at.Index, report)
		} else if len(u.Events) > 0 {
			report("resumable", "update %d has %d events behind no position", n, len(u.Events))
		}
		at = &o.updates[n].Position
	}
	if at == nil {
		report("reliable", "there is no position")
	}
	return list
}

// between compares what one update tells with what happened behind an index and up to its position.
func (o *observed) between(reference []*apiv1.Event, n int, after uint64, report func(promise, format string, args ...any)) {
	u := &o.updates[n]
	var want []*apiv1.Event
	for _, e := range reference {
		if e.Index > after && e.Index <= u.Position.Index && wanted(&o.config, e) {
			want = append(want, e)
		}
	}
	got := sorted(u.Events)
	if slices.EqualFunc(got, sorted(want), func(a, b *apiv1.Event) bool { return proto.Equal(a, b) }) {
		return
	}
	indexes := map[uint64]int{}
	for _, e := range want {
		indexes[e.Index]++
	}
	for _, e := range got {
		indexes[e.Index]--
	}
	for index, missing := range indexes {
		told := slices.ContainsFunc(got, func(e *apiv1.Event) bool { return e.Index == index })
		switch {
		case missing > 0 && told:
			report("atomic", "update %d has %d events of index %d too few", n, missing, index)
		case missing > 0:
			report("reliable", "update %d, behind %d and up to %d, has nothing of index %d", n, after, u.Position.Index, index)
		}
	}
	report("resumable", "update %d, behind %d and up to %d, tells %d events, and %d happened, or others", n, after, u.Position.Index, len(got), len(want))
}

// check reports every promise that was broken.
func (o *observed) check(t *testing.T, who string, reference []*apiv1.Event) {
	t.Helper()
	for _, v := range o.violations(reference) {
		t.Errorf("%s breaks %s", who, v)
	}
}

// told are all events that were told.
func (o *observed) told() (list []*apiv1.Event) {
	for _, u := range o.updates {
		list = append(list, u.Events...)
	}
	return list
}

// picture is the placements as somebody knows them who was told of them.
type picture map[placement.Identity]string

// take takes an update in, and says what cannot be.
func (p picture) take(u *lookupclient.Update) (faults []string) {
	if u.Reset != 0 {
		clear(p)
	}
	for _, r := range u.Records {
		if x := r.Placement; x != nil {
			p[placement.Identity{Kind: x.Kind, Key: x.Key}] = pictured(x)
		}
	}
	for _, e := range u.Events {
		id := placement.Identity{Kind: e.Kind, Key: e.Key}
		owner := fmt.Sprintf("%s %d", e.Member, e.Epoch)
		want, next := "", ""
		switch e.Type {
		case apiv1.Event_PLACED, apiv1.Event_MOVED:
			next = "pending " + owner
		case apiv1.Event_SETTLED:
			want, next = "pending "+owner, "settled "+owner
		case apiv1.Event_FAILED:
			want = "pending " + owner
		case apiv1.Event_STOPPING:
			want, next = "settled "+owner, "stopping "+owner
		case apiv1.Event_UNSETTLED:
			if want, next = "settled "+owner, "gone"; p[id] == "stopping "+owner {
				want = p[id]
			}
		case apiv1.Event_REMOVED:
			if want = "gone"; e.UnsettledIndex == 0 {
				want = "pending " + owner
			}
		default:
			continue
		}
		if p[id] != want {
			faults = append(faults, fmt.Sprintf("%v is %q, and then comes %s", id, p[id], eventKey(e)))
		}
		if p[id] = next; next == "" {
			delete(p, id)
		}
	}
	return faults
}

func pictured(x *apiv1.Placement) string {
	if x.Phase == apiv1.Placement_TOMBSTONE {
		return "gone"
	}
	word := strings.ToLower(x.Phase.String())
	if x.Draining {
		word = "stopping"
	}
	return fmt.Sprintf("%s %s %d", word, x.Member, x.Epoch)
}

// A history that is broken on purpose is told to be, with the promise that it breaks.
func TestWatchCheck_BrokenHistories_AreCaught(t *testing.T) {
	event := func(index uint64, key string) *apiv1.Event {
		return &apiv1.Event{Index: index, Type: apiv1.Event_PLACED, Kind: "cart", Key: key, Member: "m", Epoch: index, Time: timestamppb.New(timestamppb.Now().AsTime())}
	}
	a, b, c, d, other := event(3, "a"), event(3, "b"), event(5, "c"), event(9, "d"), event(6, "x")
	other.Kind = "room"
	reference := []*apiv1.Event{a, b, c, other, d}
	at := func(index uint64) lookupclient.Position { return lookupclient.Position{Index: index, Generation: 1} }
	up := func(index uint64, events ...*apiv1.Event) lookupclient.Update {
		return lookupclient.Update{Events: events, Position: at(index), ServedBy: "s1"}
	}
	zero := at(0)
	for _, tt := range []struct {
		name    string
		want    string
		updates []lookupclient.Update
	}{
		{"as it was", "", []lookupclient.Update{up(4, a, b), up(9, c, d), up(12)}},
		{"one that was not wanted", "filter", []lookupclient.Update{up(4, a, b), up(9, c, other, d)}},
		{"the wrong order", "ordered", []lookupclient.Update{up(9, a, b, d, c)}},
		{"behind a mark", "ordered", []lookupclient.Update{up(5, a, b), up(9, c, d)}},
		{"twice", "unique", []lookupclient.Update{up(5, a, b, c), up(9, c, d)}},
		{"torn apart", "atomic", []lookupclient.Update{up(3, a), up(9, b, c, d)}},
		{"no position", "bookmarkable", []lookupclient.Update{up(4, a, b), {Events: []*apiv1.Event{c}}, up(9, d)}},
		{"a position that goes back", "bookmarkable", []lookupclient.Update{up(9, a, b, c, d), up(4)}},
		{"others than there were", "resumable", []lookupclient.Update{up(4, a, b), up(9, c, event(9, "e"))}},
		{"a hole", "reliable", []lookupclient.Update{up(4, a, b), up(9, d)}},
		{"nothing", "reliable", nil},
	} {
		o := &observed{config: lookupclient.WatchConfig{Kind: "cart", Since: &zero}, updates: tt.updates}
		if tt.updates == nil {
			o.config.Since = nil
		}
		got := o.violations(reference)
		if (len(got) == 0) != (tt.want == "") || tt.want != "" && !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, tt.want+":") }) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
