package lease

import (
	"cmp"
	"slices"
	"time"
)

// HoldersMax is how many processes may have a read lease of one tenure. A server that restarts again and again has one
// record for each of its lives until they lapse, so it is far more than there are servers.
const HoldersMax = 1024

// Record is what a tenure knows of one holder (S4).
type Record struct {
	// Holder is the incarnation of the holder's process, Name its server's.
	Holder uint64
	Name   string
	// Low is not above any state that the holder may still serve.
	Low uint64
	// Until is when the lease has ended at the holder, at the latest possible, by this server's clock.
	Until Instant
}

// holders is the table of a tenure's read leases. The zero value is empty.
type holders struct {
	records map[uint64]*Record
	// Of the records: not above the least Low, and not after the first Until. They are exact after a scan.
	low   uint64
	first Instant
	dirty bool // low may be too low: a record that it came from has changed
}

const (
	everything = ^uint64(0)         // the least Low of nobody
	never      = Instant(1<<63 - 1) // the first Until of nobody
)

// live is the record of a holder whose lease may last; nil when there is none.
func (h *holders) live(holder uint64, now Instant) *Record {
	if r := h.records[holder]; r != nil && now < r.Until {
		return r
	}
	return nil
}

// record notes a lease and returns the Low of its record. A live record keeps its Low, whatever is granted: the grant may
// never arrive (S5). It says no when the table is full.
func (h *holders) record(r Record, now Instant) (low uint64, ok bool) {
	if old := h.live(r.Holder, now); old != nil {
		old.Until = max(old.Until, r.Until) // pulses overlap, so their instants may come out of order
		return old.Low, true
	}
	if len(h.records) >= HoldersMax {
		h.scan(now)
	}
	if len(h.records) >= HoldersMax {
		return 0, false
	}
	if h.records == nil {
		h.records, h.low, h.first = map[uint64]*Record{}, everything, never
	}
	h.records[r.Holder] = &r
	h.low, h.first = min(h.low, r.Low), min(h.first, r.Until)
	return r.Low, true
}

// ack raises the Low of a live record.
func (h *holders) ack(holder, index uint64, now Instant) {
	if r := h.live(holder, now); r != nil && index > r.Low {
		h.dirty = h.dirty || r.Low == h.low
		r.Low = index
	}
}

// lowest is the least Low of the records that are live.
func (h *holders) lowest(now Instant) uint64 {
	if len(h.records) == 0 {
		return everything
	}
	if h.dirty || now >= h.first {
		h.scan(now)
	}
	return h.low
}

// scan drops what has lapsed and looks at the rest.
func (h *holders) scan(now Instant) {
	h.low, h.first, h.dirty = everything, never, false
	for holder, r := range h.records {
		if now >= r.Until {
			delete(h.records, holder)
			continue
		}
		h.low, h.first = min(h.low, r.Low), min(h.first, r.Until)
	}
}

func (h *holders) list(now Instant) []Record {
	var out []Record
	for _, r := range h.records {
		if now < r.Until {
			out = append(out, *r)
		}
	}
	slices.SortFunc(out, func(a, b Record) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Holder, b.Holder)) })
	return out
}

func (h *holders) heldBy(index uint64, now Instant) (held Record, ok bool) {
	if h.lowest(now) >= index {
		return Record{}, false
	}
	list := h.list(now)
	return slices.MinFunc(list, func(a, b Record) int { return cmp.Or(cmp.Compare(a.Low, b.Low), cmp.Compare(b.Until, a.Until)) }), true
}

// back moves every instant back.
func (h *holders) back(by time.Duration) {
	for _, r := range h.records {
		r.Until = r.Until.Add(-by)
	}
	if h.first != never {
		h.first = h.first.Add(-by)
	}
}
