package snapshot

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/seed13d31b7f/berth/placement"
)

var churnUpdates = flag.Int("churn", 1_000_000, "how many updates BenchmarkChurn makes")

// churn is an index in which identities come and go at the rate at which they change, as in weeks of use: its live ones
// are those from oldest to next.
type churn struct {
	e            *Editor
	index        uint64
	oldest, next uint64
	updates      int
	sum          uint64
	remember     bool // the answers
}

func newChurn(tb testing.TB, n int) *churn {
	e := filledEditor(tb, n, uuidIdentity)
	return &churn{e: e, index: e.View().Index, next: uint64(n)}
}

// batch makes a thousand updates and publishes: half of them change an identity, a quarter removes the oldest one, and a
// quarter places a new one. Removals are complete ten batches later, and garbage is collected as the state machine does it.
func (c *churn) batch() {
	const n = 1000
	e := c.e
	c.index++
	e.SetPosition(c.index, 1)
	e.SetBarrier(c.index - 10)
	for i := range n {
		c.sum = fold(c.sum, uint64(i))
		entry := placement.Entry{Phase: placement.Settled, Owner: placement.Incarnation(c.sum%16 + 1), Epoch: placement.MakeEpoch(0, c.index, i), Reason: 1}
		switch i % 4 {
		case 0:
			e.Seek(uuidIdentity(c.oldest))
			entry = placement.Entry{Phase: placement.Tombstone, Removed: c.index}
			c.oldest++
		case 1:
			e.Seek(uuidIdentity(c.next))
			c.next++
		default:
			old := e.Seek(uuidIdentity(c.oldest + c.sum%(c.next-c.oldest)))
			entry.Owner, entry.Epoch, entry.Draining = old.Owner, old.Epoch, !old.Draining
		}
		e.Put(entry)
		if c.remember {
			r := Result{Index: c.index, Verdict: placement.Done, Entry: entry}
			uuid{c.sum, c.index}.put(r.Request[:])
			e.Remember(r)
		}
	}
	e.Collect(4 + 2*n)
	e.Publish()
	c.updates += n
}

func TestEditor_Churn_MemoryStaysBounded(t *testing.T) {
	const live, updates = 30_000, 300_000
	alive := func() float64 {
		n, _ := heap()
		return float64(n)
	}
	before := alive()
	c := newChurn(t, live)
	for c.updates < 20_000 { // until there are removals that are not complete
		c.batch()
	}
	fresh := alive() - before
	for c.updates < updates {
		c.batch()
	}
	churned := alive() - before
	if churned > 1.2*fresh {
		t.Errorf("%d identities take %.0f bytes after %d updates, %.0f before", live, churned, updates, fresh)
	}
	if settled, _ := c.e.View().Count(); settled != live {
		t.Errorf("%d identities are alive, want %d", settled, live)
	}
	if got, want := c.e.View().Digest(), c.e.View().RecomputeDigest(); got != want {
		t.Errorf("the digest is %v, computed anew it is %v", got, want)
	}
	runtime.KeepAlive(c)
}

// BenchmarkChurn is what many updates do to the memory of the process: -churn of them over -identities that are alive.
func BenchmarkChurn(b *testing.B) {
	for b.Loop() {
		c := newChurn(b, *identities)
		c.remember = true
		for c.updates < 100_000 { // until as many results are remembered as ever will be
			c.batch()
		}
		fresh := resident(b)
		most := fresh
		for c.updates < *churnUpdates {
			c.batch()
			if c.updates%100_000 == 0 {
				most = max(most, resident(b))
			}
		}
		last := resident(b)
		alive, _ := heap()
		b.ReportMetric(float64(alive)/(1<<20), "MiB-alive")
		b.ReportMetric(fresh/(1<<20), "MiB-fresh")
		b.ReportMetric(most/(1<<20), "MiB-most")
		b.ReportMetric(last/(1<<20), "MiB-last")
		b.ReportMetric(most/fresh, "most/fresh")
		runtime.KeepAlive(c)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(*churnUpdates+*identities), "ns/update")
	b.ReportMetric(0, "ns/op")
}

// resident is the memory that the process has of the machine, in bytes.
func resident(b *testing.B) float64 {
	stat, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		var m runtime.MemStats // where there is no /proc: what the Go runtime has not given back
		runtime.ReadMemStats(&m)
		return float64(m.Sys - m.HeapReleased)
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(stat))[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * float64(os.Getpagesize())
}
