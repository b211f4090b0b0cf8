package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// What worked before has to be seen to work again, by an operation that began since.
func TestJournal_Since_NamesWhatHasNotWorked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		does := func(f history.F, takes time.Duration, end func(op uint64) history.Event) {
			op := j.Invoke(history.Call{Client: "c1", F: f, Identity: "room/1"})
			time.Sleep(takes)
			j.Record(end(op))
		}
		ok := func(op uint64) history.Event {
			return history.Event{OK: &history.Answer{Op: op, Phase: history.Absent}}
		}
		failed := func(op uint64) history.Event { return history.Event{Fail: &history.Answer{Op: op}} }
		want := func(moment int64, want ...history.F) {
			t.Helper()
			if got := j.since(moment); !slices.Equal(got, want) {
				t.Errorf("at %v: %v, want %v", time.Duration(j.now()), got, want)
			}
		}
		does(history.Lookup, time.Second, ok)
		does(history.Remove, time.Second, ok)
		does(history.Place, time.Second, failed) // which never worked
		healed := j.now()
		want(healed, history.Lookup, history.Remove)
		want(0)
		does(history.Lookup, time.Second, ok)
		does(history.Remove, time.Second, failed)
		want(healed, history.Remove)
		want(healed+1, history.Lookup, history.Remove) // it ended since, and did not begin
		does(history.Remove, 0, ok)
		want(healed)
	})
}

// What is so broken that it talks without end is ended, at the message behind the last that is allowed.
func TestJournal_MessagesWithoutEnd_AreEnded(t *testing.T) {
	j := newJournal()
	j.passes = passesMax - 1
	j.passed("s1", "s2", 10)
	defer func() {
		if why := recover(); why == nil || !strings.Contains(fmt.Sprint(why), "they still talk") {
			t.Errorf("after one message more than %d: %v", passesMax, why)
		}
	}()
	j.passed("s1", "s2", 10)
}
