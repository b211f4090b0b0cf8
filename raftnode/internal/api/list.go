package api

import (
	"context"

	"github.com/zeebo/xxh3"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

const (
	pageDefault = 50
	pageMax     = 1000
	// listScanMax is how many records one call looks at: some 4 ms. Not more, since a filter that wants nothing would hold
	// a processor for as long as the index is large; not less, since each call has its own price.
	listScanMax = 100_000
)

// List returns a page of the placements as of the view of the list's first page.
func (s *Server) List(ctx context.Context, req *apiv1.ListRequest) (*apiv1.ListResponse, error) {
	size, filter, err := listOf(req)
	if err != nil {
		return nil, err
	}
	if holder := tokenHolder(req.PageToken); holder != "" && holder != s.backend.Self().Name {
		return s.listElsewhere(ctx, holder, req)
	}
	c, err := s.openList(ctx, req, filterHash(&filter))
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListResponse{Read: s.proof(ctx, c.view)}
	if g := s.backend.Group(); g != nil && req.Unsettled {
		resp.Hold = holdMessage(g, g.View())
	}
	next, whole := c.view.Scan(filter, c.at, listScanMax, func(p snapshot.Placement) bool {
		if len(resp.Placements) == size {
			return false
		}
		m := placementMessage(p.Identity, p.Entry, p.Owner)
		if req.Unsettled {
			m.Since = since(c.view, p.Entry)
		}
		resp.Placements = append(resp.Placements, m)
		return true
	})
	if whole {
		s.pins.finished(c.pin)
		return resp, nil
	}
	if req.CountMore {
		_, counted := c.view.Scan(filter, next, listScanMax, func(snapshot.Placement) bool {
			resp.More++
			return true
		})
		resp.MoreAtLeast = !counted
	}
	c.at = next
	resp.NextPageToken = s.pins.keep(s.backend.Self().Name, c)
	return resp, nil
}

// since is when an owner was chosen, or a placement removed; nil when that is not known.
func since(v *snapshot.View, e placement.Entry) *timestamppb.Timestamp {
	index := e.Removed
	if e.Phase != placement.Tombstone {
		var ok bool
		if index, ok = v.Cluster.IndexOf(e.Epoch); !ok {
			return nil
		}
	}
	_, to := v.When(index)
	return timeMessage(to)
}

// listOf reads what a request wants.
func listOf(req *apiv1.ListRequest) (size int, f snapshot.Filter, err error) {
	size = int(req.PageSize)
	if size == 0 {
		size = pageDefault
	}
	if size > pageMax {
		return 0, f, invalid("page size %d: at most %d is allowed", size, pageMax)
	}
	if req.Phase < apiv1.Placement_UNSPECIFIED || req.Phase > apiv1.Placement_TOMBSTONE || req.Phase == apiv1.Placement_ABSENT {
		return 0, f, invalid("phase %d: there are PENDING, SETTLED and TOMBSTONE", req.Phase)
	}
	if len(req.Prefix) > placement.KeyBytesMax {
		return 0, f, invalid("the prefix has %d bytes, and a key at most %d", len(req.Prefix), placement.KeyBytesMax)
	}
	f = snapshot.Filter{Kind: req.Kind, Prefix: req.Prefix, Member: placement.MemberID(req.Member), Unsettled: req.Unsettled}
	if req.Phase != apiv1.Placement_UNSPECIFIED {
		f.Phase = placement.Phase(req.Phase - apiv1.Placement_ABSENT)
	}
	return size, f, nil
}

// filterHash tells the filters of lists apart.
func filterHash(f *snapshot.Filter) uint32 {
	h := xxh3.New()
	for _, text := range []string{f.Kind, f.Prefix, string(f.Member)} {
		_, _ = h.WriteString(text + "\x00") // a hash takes everything; no name has such a byte
	}
	flags := []byte{byte(f.Phase), 0}
	if f.Unsettled {
		flags[1] = 1
	}
	_, _ = h.Write(flags)
	return uint32(h.Sum64())
}

// cursor is where a list goes on.
type cursor struct {
	pin    uint64
	view   *snapshot.View
	at     snapshot.Cursor
	filter uint32 // see filterHash
}

func (s *Server) openList(ctx context.Context, req *apiv1.ListRequest, filter uint32) (cursor, error) {
	if req.PageToken == "" {
		v, err := s.readView(ctx)
		if err != nil {
			return cursor{}, s.readError(ctx, err)
		}
		return cursor{view: v, filter: filter}, nil
	}
	c, err := s.pins.find(req.PageToken)
	if err != nil {
		return cursor{}, err
	}
	if c.filter != filter {
		return cursor{}, invalid("page token: it is that of a list with other filters")
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
	resp, err := s.passOn(ctx, holder, conn, apiv1.Placements_List_FullMethodName, req)
	if err != nil {
		if r, _, _ := apiv1.ReasonOf(err); r == "" && ctx.Err() == nil {
			return nil, gone("does not answer: " + status.Convert(err).Message())
		}
		return nil, err
	}
	return resp.(*apiv1.ListResponse), nil
}
