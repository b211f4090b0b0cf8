package snapshot

import (
	"encoding/binary"

	"github.com/seed13d31b7f/berth/placement"
)

// RequestID names one request of a client, so that a retry is not carried out twice. Zero is none.
type RequestID [16]byte

// Result is the remembered answer to one request.
type Result struct {
	// Request is what was asked, and Body the hash of its contents: an identifier used again for something else
	// is a mistake that must not get the old answer.
	Request RequestID
	Body    uint64
	// Index is the log index at which it was carried out.
	Index uint64
	// Verdict and Entry are what was answered. Incarnation is what a Join made.
	Verdict     placement.Verdict
	Entry       placement.Entry
	Incarnation placement.Incarnation
	// Session is what an OpenSession made. Token is what an AcquireLock was given, and Queued says that it waits.
	Session placement.SessionID
	Token   placement.Epoch
	Queued  bool
}

const resultChunk = 256

// results is an immutable queue of results in the order of the log: full chunks, and a tail that views share and see
// to different lengths.
type results struct {
	full      [][]Result
	tail      []Result
	count     int
	digest    uint64 // sum of the digests of all of them
	forgotten uint64 // log index of the newest result that was dropped
}

func (r *Result) digest() uint64 {
	x := fold(binary.LittleEndian.Uint64(r.Request[:]), binary.LittleEndian.Uint64(r.Request[8:]))
	x = fold(fold(x, r.Body), r.Index)
	x = fold(x, uint64(r.Verdict)|uint64(r.Entry.Phase)<<8|uint64(r.Entry.Attempt)<<16|uint64(r.Entry.Reason)<<24)
	x = fold(fold(x, uint64(r.Entry.Owner)), uint64(r.Entry.Epoch))
	x = fold(fold(x, r.Entry.Removed), uint64(r.Incarnation))
	if r.Entry.Draining {
		x++
	}
	if r.Session != 0 || r.Token != 0 {
		x = fold(fold(x, uint64(r.Session)), uint64(r.Token))
	}
	if r.Queued {
		x++
	}
	return x
}

// add appends a result and returns where it stands, for as long as it is remembered.
func (q *results) add(r Result) *Result {
	if len(q.tail) == cap(q.tail) {
		if q.tail != nil {
			q.full = append(q.full, q.tail)
		}
		q.tail = make([]Result, 0, resultChunk)
	}
	q.tail = append(q.tail, r)
	q.count++
	q.digest += r.digest()
	return &q.tail[len(q.tail)-1]
}

// dropOldest takes the oldest chunk away and returns it.
func (q *results) dropOldest() []Result {
	old := q.full[0]
	q.full = q.full[1:]
	q.count -= len(old)
	for i := range old {
		q.digest -= old[i].digest()
	}
	q.forgotten = old[len(old)-1].Index
	return old
}

// all calls f with every result in the order of the log.
func (q *results) all(f func(*Result)) {
	for _, c := range q.full {
		for i := range c {
			f(&c[i])
		}
	}
	for i := range q.tail {
		f(&q.tail[i])
	}
}

// ForgottenIndex is the log index of the newest result of a request that is no longer remembered; zero when none was
// dropped. Whether a request was carried out at or below it cannot be told any more.
func (v *View) ForgottenIndex() uint64 { return v.results.forgotten }
