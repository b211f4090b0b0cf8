package snapshot

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

const (
	hotIdentities = 10_000
	perRound      = 10_000
)

// cold draws requests for identities all over the index: most of what they touch is in no cache.
func cold(round uint64) requests { return drawn(perRound, 1000+round) }

// hot returns requests for few identities, in another order each round.
func hot(few requests) func(round uint64) requests {
	return func(round uint64) requests {
		var r requests
		for i := range uint64(perRound) {
			j := fold(i, round) % uint64(len(few.ids))
			r.ids, r.texts = append(r.ids, few.ids[j]), append(r.texts, few.texts[j])
		}
		return r
	}
}

var sink atomic.Uint64

func lookupEach(v *View) func(requests) {
	return func(r requests) {
		var sum placement.Epoch
		for _, id := range r.ids {
			e, _ := v.Lookup(id)
			sum += e.Epoch
		}
		sink.Add(uint64(sum))
	}
}

// lookupInTurn is lookupEach where which look-up comes next follows from the answer before, as for a caller who does
// something with it: no look-up begins while another one waits for memory.
func lookupInTurn(v *View) func(requests) {
	return func(r requests) {
		for i := uint64(0); i < uint64(len(r.ids)); i++ {
			e, _ := v.Lookup(r.ids[i])
			i += uint64(e.Epoch) >> 63 // zero
		}
	}
}

func getInTurn(get func(string) (peerEntry, bool)) func(requests) {
	return func(r requests) {
		for i := uint64(0); i < uint64(len(r.texts)); i++ {
			e, _ := get(r.texts[i])
			i += e.epoch >> 63 // zero
		}
	}
}

func lookupBatches(v *View) func(requests) {
	return func(r requests) {
		var sum placement.Epoch
		var batch [64]Placement
		for ids := r.ids; len(ids) > 0; {
			n := min(len(ids), len(batch))
			for i, id := range ids[:n] {
				batch[i].Identity = id
			}
			v.LookupBatch(batch[:n])
			for i := range batch[:n] {
				sum += batch[i].Entry.Epoch
			}
			ids = ids[n:]
		}
		sink.Add(uint64(sum))
	}
}

func getEach(get func(string) (peerEntry, bool)) func(requests) {
	return func(r requests) {
		var sum uint64
		for _, text := range r.texts {
			e, _ := get(text)
			sum += e.epoch
		}
		sink.Add(sum)
	}
}

// BenchmarkLookup is a look-up on one core: of few identities again and again beside a map without a lock, and of identities
// all over the index beside a map with one.
func BenchmarkLookup(b *testing.B) {
	v, m := benchEditor().Publish(), benchMap()
	plain := func(r requests) {
		var sum uint64
		for _, text := range r.texts {
			sum += m.m[text].epoch
		}
		sink.Add(sum)
	}
	for _, n := range []int{1000, hotIdentities} {
		b.Run(fmt.Sprintf("hot=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			versus(b, true, hot(drawn(n, 7)), contender{"view", lookupEach(v)}, contender{"map", plain})
		})
	}
	b.Run("cold", func(b *testing.B) {
		versus(b, false, cold, contender{"view", lookupEach(v)}, contender{"map+RWMutex", getEach(m.get)})
	})
	b.Run("cold-unlocked", func(b *testing.B) {
		versus(b, false, cold, contender{"view", lookupEach(v)}, contender{"map", plain})
	})
	b.Run("cold-in-turn", func(b *testing.B) {
		versus(b, false, cold, contender{"view", lookupInTurn(v)}, contender{"map+RWMutex", getInTurn(m.get)})
	})
	b.Run("hot=10000-64", func(b *testing.B) {
		versus(b, true, hot(drawn(hotIdentities, 7)), contender{"view", lookupBatches(v)}, contender{"map", plain})
	})
	b.Run("cold-64", func(b *testing.B) {
		b.ReportAllocs()
		versus(b, false, cold, contender{"view", lookupBatches(v)}, contender{"map+RWMutex", getEach(m.get)})
	})
}

// BenchmarkLookupByIdentity is the same beside a map that is asked as a view is: by kind and key.
func BenchmarkLookupByIdentity(b *testing.B) {
	v, m := benchEditor().Publish(), map[placement.Identity]peerEntry{}
	for i := range uint64(*identities) {
		m[uuidIdentity(i)] = peerEntry{epoch: i + 1, member: uint32(i % 16), phase: 2}
	}
	get := func(r requests) {
		var sum uint64
		for _, id := range r.ids {
			sum += m[id].epoch
		}
		sink.Add(sum)
	}
	for _, n := range []int{1000, hotIdentities} {
		b.Run(fmt.Sprintf("hot=%d", n), func(b *testing.B) {
			versus(b, true, hot(drawn(n, 7)), contender{"view", lookupEach(v)}, contender{"map", get})
		})
	}
	b.Run("cold", func(b *testing.B) {
		versus(b, false, cold, contender{"view", lookupEach(v)}, contender{"map", get})
	})
}

// BenchmarkLookupBesideWriter is a look-up all over the index by each of two readers, while a writer makes a hundred updates
// every millisecond.
func BenchmarkLookupBesideWriter(b *testing.B) {
	e, shards := benchEditor(), benchShards()
	var current atomic.Pointer[View]
	current.Store(e.Publish())
	shardOf := func(key string) (peerEntry, bool) { return shards.shard(key).get(key) }
	ours := func(r requests) {
		var sum placement.Epoch
		for _, id := range r.ids {
			entry, _ := current.Load().Lookup(id)
			sum += entry.Epoch
		}
		sink.Add(uint64(sum))
	}
	var updates, rounds [2]float64
	beside := func(side int, read func(requests), write func(i uint64, r requests)) func(requests) {
		return func(r requests) {
			stop := make(chan struct{})
			var writer, readers sync.WaitGroup
			began := time.Now()
			n := 0
			writer.Go(func() {
				tick := time.NewTicker(time.Millisecond)
				defer tick.Stop()
				for round := uint64(0); ; round++ {
					select {
					case <-stop:
						return
					case <-tick.C:
						// A late tick makes up for those that were lost, up to a second's worth.
						for due := min(int(time.Since(began)/time.Millisecond)*100, n+100_000); n < due; n += 100 {
							write(round, requests{r.ids[n%(9*perRound):][:100], r.texts[n%(9*perRound):][:100]})
						}
					}
				}
			})
			for range 2 {
				readers.Go(func() { read(r) })
			}
			readers.Wait()
			close(stop)
			writer.Wait()
			updates[side] += float64(n) / time.Since(began).Seconds()
			rounds[side]++
		}
	}
	versus(b, false, func(round uint64) requests { return drawn(10*perRound, 5000+round) },
		contender{"view", beside(0, ours, func(_ uint64, r requests) {
			for _, id := range r.ids {
				entry := e.Seek(id)
				entry.Draining = !entry.Draining
				e.Put(entry)
			}
			current.Store(e.Publish())
		})},
		contender{"sharded", beside(1, getEach(shardOf), func(round uint64, r requests) {
			for _, text := range r.texts {
				shards.shard(text).put(text, peerEntry{epoch: round, phase: 2})
			}
		})},
	)
	b.ReportMetric(updates[0]/rounds[0], "view-updates/s")
	b.ReportMetric(updates[1]/rounds[1], "sharded-updates/s")
}
