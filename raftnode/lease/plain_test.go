package lease

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// plain is a tenure's table as the rules say it, without anything remembered.
type plain struct {
	barrier uint64
	records map[uint64]Record
}

func (p *plain) live(now Instant) (live []Record) {
	for _, r := range p.records {
		if now < r.Until {
			live = append(live, r)
		}
	}
	return live
}

func (p *plain) grant(holder uint64, t0 Instant, index uint64, now Instant) (floor uint64) {
	until := t0.Add(Stretch(readLease))
	r, ok := p.records[holder]
	if !ok || now >= r.Until {
		r = Record{Holder: holder, Low: max(index, p.barrier)}
	}
	r.Until = max(r.Until, until)
	p.records[holder] = r
	return r.Low
}

func (p *plain) ack(holder, index uint64, now Instant) {
	if r, ok := p.records[holder]; ok && now < r.Until {
		r.Low = max(r.Low, index)
		p.records[holder] = r
	}
}

func (p *plain) move(now Instant, index uint64) uint64 {
	for _, r := range p.live(now) {
		index = min(index, r.Low)
	}
	p.barrier = max(p.barrier, index)
	return p.barrier
}

// What a tenure remembers of its table must not show: whatever is granted, acknowledged and lapses, in any order, it is as if
// the table were looked at each time.
func TestTenure_AgreesWithThePlainTable(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		ten, p := leading(), plain{barrier: 7, records: map[uint64]Record{}}
		now, index := Instant(0), uint64(10)
		for range 200 {
			holder := random.Uint64N(5) + 1
			ack := index - random.Uint64N(min(index, 8))
			switch random.IntN(8) {
			case 0, 1:
				t0 := now - Instant(random.Int64N(int64(7*time.Second)))
				old := index - random.Uint64N(3)
				g, refusal := ten.Grant(Request{Holder: holder, Index: ack}, t0, old, now)
				p.ack(holder, ack, now)
				if late := now >= t0.Add(Stretch(readLease)); late != (refusal == Late) {
					t.Fatalf("at %d a pulse of %d: %v", now, t0, refusal)
				} else if !late {
					if floor := p.grant(holder, t0, old, now); g.Floor != floor {
						t.Fatalf("the floor is %d, want %d", g.Floor, floor)
					}
				}
			case 2, 3:
				ten.Ack(holder, ack, now)
				p.ack(holder, ack, now)
			case 4:
				now += Instant(random.Int64N(int64(3 * time.Second)))
			case 5:
				index += random.Uint64N(4)
			default:
				if got, want := ten.Barrier(now, index, 3), p.move(now, index); got != want {
					t.Fatalf("the barrier is %d, want %d", got, want)
				}
			}
			live := p.live(now)
			slices.SortFunc(live, func(a, b Record) int { return int(a.Holder) - int(b.Holder) })
			if got := ten.Holders(now); !slices.Equal(got, live) {
				t.Fatalf("the holders are %v, want %v", got, live)
			}
			lowest := index
			for _, r := range live {
				lowest = min(lowest, r.Low)
			}
			if held, ok := ten.HeldBy(index, now); ok != (lowest < index) || ok && held.Low != lowest {
				t.Fatalf("%v holds back, %v; the lowest is %d", held, ok, lowest)
			}
		}
	}
}
