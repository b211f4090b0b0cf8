package lookupclient_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/placement"
)

// placed is one placement of an identity that one writer places and removes: when each was begun, and when it was known to be done;
// zero before. Without its first two it is nothing yet.
type placed struct {
	epoch                     placement.Epoch
	placing, is, removing, no time.Time
}

// Look-ups are asked of two servers nearly always, on links whose delays change, while one server after the other is cut off: each answer
// was so at a moment between the call and the answer.
func TestClient_Hedge_Turmoil_LookUpsAreLinearizable(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		w.member("m", nil)
		writer := w.client("writer")
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		var mu sync.Mutex
		var history []*placed
		over := make(chan struct{})
		var tasks sync.WaitGroup
		tasks.Go(func() {
			for x := (*placed)(nil); ; {
				select {
				case <-over:
					return
				case <-time.After(30 * time.Millisecond):
				}
				x = &placed{placing: time.Now()}
				mu.Lock()
				history = append(history, x)
				mu.Unlock()
				p, _, err := writer.Place(ctx, cart(1))
				if err != nil {
					t.Errorf("place: %v", err)
					return
				}
				mu.Lock()
				x.epoch, x.is = p.Epoch, time.Now()
				mu.Unlock()
				time.Sleep(30 * time.Millisecond)
				mu.Lock()
				x.removing = time.Now()
				mu.Unlock()
				if err := writer.Remove(ctx, cart(1), p.Epoch, nil); err != nil {
					t.Errorf("remove: %v", err)
					return
				}
				mu.Lock()
				x.no = time.Now()
				mu.Unlock()
			}
		})
		type answer struct {
			begin, end time.Time
			epoch      placement.Epoch // zero: nobody owns it
			by         string
		}
		readers := []string{"a", "b", "c", "d", "e", "f"}
		var answers []answer
		var hedges atomic.Int64
		for _, host := range readers {
			c := w.clientWith(host, func(c *lookupclient.Config) {
				c.HedgeAfter = time.Millisecond
				c.Hooks.Hedge = func() { hedges.Add(1) }
			})
			tasks.Go(func() {
				for {
					select {
					case <-over:
						return
					case <-time.After(time.Millisecond):
					}
					x := answer{begin: time.Now()}
					p, err := c.Lookup(ctx, cart(1))
					x.end, x.epoch, x.by = time.Now(), p.Epoch, p.ServedBy
					if err != nil && !errors.Is(err, lookupclient.ErrNotPlaced) {
						continue
					}
					mu.Lock()
					answers = append(answers, x)
					mu.Unlock()
				}
			})
		}
		rng := rand.New(rand.NewPCG(3, 3))
		for begin := time.Now(); time.Since(begin) < seconds(20, 6); {
			for _, s := range w.c.Servers {
				for _, host := range readers {
					w.c.Network.Delay(host, s.Host, time.Duration(rng.Int64N(int64(15*time.Millisecond))))
					w.c.Network.Delay(s.Host, host, time.Duration(rng.Int64N(int64(15*time.Millisecond))))
				}
			}
			cut := w.c.Servers[rng.IntN(3)]
			if cut.Isolate(true); rng.IntN(2) == 0 {
				cut.Isolate(false)
			}
			time.Sleep(time.Duration(rng.Int64N(int64(3 * time.Second))))
			cut.Isolate(false)
		}
		close(over)
		tasks.Wait()
		absent := 0
		for _, x := range answers {
			if x.epoch == 0 {
				absent++
			}
			for i, p := range history {
				switch {
				case x.epoch != 0 && p.epoch == x.epoch:
					if x.end.Before(p.placing) || !p.no.IsZero() && x.begin.After(p.no) {
						t.Errorf("%s answered epoch %d at %v to %v, which was there from %v to %v", x.by, x.epoch, x.begin, x.end, p.placing, p.no)
					}
				case !p.is.IsZero() && p.is.Before(x.begin) && (p.removing.IsZero() || p.removing.After(x.end)):
					t.Errorf("%s answered epoch %d at %v to %v, and placement %d, of epoch %d, was there all the time", x.by, x.epoch, x.begin, x.end, i, p.epoch)
				}
			}
		}
		t.Logf("%d placements, %d look-ups, %d of them found nobody, %d were asked for twice", len(history), len(answers), absent, hedges.Load())
		if least := underrace.Rounds(50, 5); len(history) < least || absent < least || len(answers)-absent < least || hedges.Load() < int64(least)/3 {
			t.Error("too little happened")
		}
	})
}
