package api

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// pinsMax is how many views are kept for lists that are being read, and pinTime for how long after their last page. A view
// that is kept holds the memory of what was changed since: not more of them, and not longer.
//
// pinLast is how long it is kept after the last page: as long as a client may ask for that page again, whose answer was lost.
const (
	pinsMax = 16
	pinTime = time.Minute
	pinLast = 10 * time.Second
)

// pins keeps the views of lists that are being read, so that all their pages show one moment.
type pins struct {
	mu    sync.Mutex
	next  uint64
	list  map[uint64]*pin
	timer *time.Timer // runs while there is a pin
}

type pin struct {
	view *snapshot.View
	used time.Time
}

// A page token is the pin's number, the index of its view and where the list goes on, eight bytes each, four bytes that tell
// the list's filters from others, and the name of the server that keeps the pin: any server passes the request for the next
// page on to it.
const tokenHead = 28

// tokenHolder is the server that a page token names; empty when it names none.
func tokenHolder(token string) string {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) <= tokenHead || placement.MemberID(b[tokenHead:]).Validate() != nil { // the rules of servers' names are those of members'
		return ""
	}
	return string(b[tokenHead:])
}

// keep pins the view of a list, or goes on with its pin, and returns the token of the next page.
func (p *pins) keep(server string, c cursor) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.list == nil {
		p.list = map[uint64]*pin{}
		p.next = rand.Uint64() // a token of the process before this one names none of ours
	}
	if p.list[c.pin] == nil {
		p.sweepLocked(pinsMax - 1)
		p.next++
		c.pin = p.next
		p.list[c.pin] = &pin{view: c.view}
	}
	p.list[c.pin].used = time.Now()
	if p.timer == nil {
		p.timer = time.AfterFunc(pinTime, p.letGo)
	}
	b := make([]byte, tokenHead, tokenHead+len(server))
	binary.BigEndian.PutUint64(b[0:], c.pin)
	binary.BigEndian.PutUint64(b[8:], c.view.Index)
	binary.BigEndian.PutUint64(b[16:], uint64(c.at))
	binary.BigEndian.PutUint32(b[24:], c.filter)
	return base64.RawURLEncoding.EncodeToString(append(b, server...))
}

// sweepLocked lets go of views that nobody came back for, and of the oldest when there are more than so many.
func (p *pins) sweepLocked(most int) {
	for len(p.list) > 0 {
		oldest := uint64(0)
		for n, x := range p.list {
			if oldest == 0 || x.used.Before(p.list[oldest].used) {
				oldest = n
			}
		}
		if len(p.list) <= most && time.Since(p.list[oldest].used) < pinTime {
			return
		}
		delete(p.list, oldest)
	}
}

// letGo lets go of what nobody came back for, also when no other list begins.
func (p *pins) letGo() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweepLocked(pinsMax)
	if p.timer = nil; len(p.list) > 0 {
		p.timer = time.AfterFunc(pinTime, p.letGo)
	}
}

// close lets go of everything.
func (p *pins) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.list)
	if p.timer != nil {
		p.timer.Stop()
	}
}

// finished says that the last page of a list was given.
func (p *pins) finished(number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x := p.list[number]; x != nil {
		x.used = time.Now().Add(pinLast - pinTime)
	}
}

func (p *pins) find(token string) (cursor, error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < tokenHead || len(b) > tokenHead && tokenHolder(token) == "" {
		return cursor{}, invalid("page token: it is none of a list's")
	}
	number, index := binary.BigEndian.Uint64(b[0:]), binary.BigEndian.Uint64(b[8:])
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.list[number]
	if x == nil || x.view.Index != index || time.Since(x.used) > pinTime {
		return cursor{}, fail(apiv1.ReasonIndexCompacted, map[string]string{"index": fmt.Sprint(index), "server": tokenHolder(token)}, "the list as of index %d is no longer kept on this server; begin again", index)
	}
	x.used = time.Now()
	return cursor{pin: number, view: x.view, at: snapshot.Cursor(binary.BigEndian.Uint64(b[16:])), filter: binary.BigEndian.Uint32(b[24:])}, nil
}
