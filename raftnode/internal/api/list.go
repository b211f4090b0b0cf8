package api

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

const (
	pageDefault = 50
	pageMax     = 1000

	// pinsMax is how many views are kept for lists that are being read, and pinTime for how long after their last page.
	pinsMax = 16
	pinTime = time.Minute
)

// List returns a page of the placements as of the view of the list's first page.
func (s *Server) List(ctx context.Context, req *apiv1.ListRequest) (*apiv1.ListResponse, error) {
	size := int(req.PageSize)
	if size == 0 {
		size = pageDefault
	}
	if size > pageMax {
		return nil, invalid("page size %d: at most %d is allowed", size, pageMax)
	}
	if req.Phase < apiv1.Placement_UNSPECIFIED || req.Phase > apiv1.Placement_TOMBSTONE {
		return nil, invalid("phase %d: there are PENDING, SETTLED and TOMBSTONE", req.Phase)
	}
	if holder := tokenHolder(req.PageToken); holder != "" && holder != s.backend.Self().Name {
		return s.listElsewhere(ctx, holder, req)
	}
	cursor, err := s.openList(ctx, req)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListResponse{Read: s.proof(ctx, cursor.view)}
	want := matcher(req)
	at := cursor.at
	next, stop := iter.Pull(cursor.view.PlacementsFrom(cursor.at))
	defer stop()
	for {
		p, ok := next()
		if !ok {
			s.pins.drop(cursor.pin)
			return resp, nil
		}
		if len(resp.Placements) == size {
			resp.NextPageToken = s.pins.keep(s.backend.Self().Name, cursor.pin, cursor.view, at)
			return resp, nil
		}
		at = p.Next
		if want(&p.Placement) {
			resp.Placements = append(resp.Placements, placementMessage(p.Identity, p.Entry, p.Owner))
		}
	}
}

func matcher(req *apiv1.ListRequest) func(*snapshot.Placement) bool {
	phase := placement.Phase(req.Phase - apiv1.Placement_ABSENT)
	return func(p *snapshot.Placement) bool {
		return (req.Kind == "" || p.Identity.Kind == req.Kind) &&
			(req.Member == "" || p.Owner != nil && string(p.Owner.ID) == req.Member) &&
			(req.Phase == apiv1.Placement_UNSPECIFIED || p.Entry.Phase == phase)
	}
}

// cursor is where a list goes on.
type cursor struct {
	pin  uint64
	view *snapshot.View
	at   snapshot.Cursor
}

func (s *Server) openList(ctx context.Context, req *apiv1.ListRequest) (cursor, error) {
	if req.PageToken == "" {
		v, err := s.backend.ReadView(ctx)
		if err != nil {
			return cursor{}, s.readError(ctx, err)
		}
		return cursor{view: v}, nil
	}
	c, err := s.pins.find(req.PageToken)
	if err != nil {
		return cursor{}, err
	}
	return c, nil
}

// listElsewhere has the server answer that keeps the view of the list.
func (s *Server) listElsewhere(ctx context.Context, holder string, req *apiv1.ListRequest) (*apiv1.ListResponse, error) {
	gone := func(why string) error {
		return fail(apiv1.ReasonIndexCompacted, map[string]string{"server": holder}, "the list is kept by %s, which %s; begin again", holder, why)
	}
	if forwardedBy(ctx) != "" {
		return nil, gone("is not this server")
	}
	conn, err := s.backend.Peer(holder)
	if err != nil {
		return nil, gone("cannot be reached: " + err.Error())
	}
	resp, err := s.passOn(ctx, conn, apiv1.Placements_List_FullMethodName, req)
	if err != nil {
		if r, _, _ := apiv1.ReasonOf(err); r == "" && ctx.Err() == nil {
			return nil, gone("does not answer: " + status.Convert(err).Message())
		}
		return nil, err
	}
	return resp.(*apiv1.ListResponse), nil
}

// pins keeps the views of lists that are being read, so that all their pages show one moment.
type pins struct {
	mu   sync.Mutex
	next uint64
	list map[uint64]*pin
}

type pin struct {
	view *snapshot.View
	used time.Time
}

// A page token is the pin's number, the index of its view and where the list goes on, eight bytes each, and the name of
// the server that keeps the pin: any server passes the next page's request on to it.
const tokenHead = 24

// tokenHolder is the server that a page token names; empty when it names none.
func tokenHolder(token string) string {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) <= tokenHead || placement.MemberID(b[tokenHead:]).Validate() != nil { // the rules of servers' names are those of members'
		return ""
	}
	return string(b[tokenHead:])
}

// keep pins a view, or goes on with a pin, and returns the token of the next page.
func (p *pins) keep(server string, number uint64, v *snapshot.View, at snapshot.Cursor) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.list == nil {
		p.list = map[uint64]*pin{}
		p.next = rand.Uint64() // a token of the process before this one names none of ours
	}
	p.sweepLocked()
	if p.list[number] == nil {
		p.next++
		number = p.next
		p.list[number] = &pin{view: v}
	}
	p.list[number].used = time.Now()
	b := make([]byte, tokenHead, tokenHead+len(server))
	binary.BigEndian.PutUint64(b[0:], number)
	binary.BigEndian.PutUint64(b[8:], v.Index)
	binary.BigEndian.PutUint64(b[16:], uint64(at))
	return base64.RawURLEncoding.EncodeToString(append(b, server...))
}

// sweepLocked lets go of views that nobody came back for, and of the oldest when there are too many.
func (p *pins) sweepLocked() {
	for len(p.list) > 0 {
		oldest := uint64(0)
		for n, x := range p.list {
			if oldest == 0 || x.used.Before(p.list[oldest].used) {
				oldest = n
			}
		}
		if len(p.list) < pinsMax && time.Since(p.list[oldest].used) < pinTime {
			return
		}
		delete(p.list, oldest)
	}
}

func (p *pins) drop(number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.list, number)
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
	if x == nil || x.view.Index != index {
		return cursor{}, fail(apiv1.ReasonIndexCompacted, map[string]string{"index": fmt.Sprint(index)}, "the list as of index %d is no longer kept on this server; begin again", index)
	}
	x.used = time.Now()
	return cursor{pin: number, view: x.view, at: snapshot.Cursor(binary.BigEndian.Uint64(b[16:]))}, nil
}
