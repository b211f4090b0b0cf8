package api

import (
	"context"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/events"
	"github.com/seed13d31b7f/berth/snapshot"
)

const (
	historyDefault = 50
	historyMax     = 1000
)

// History returns what this server remembers of an identity, up to a view that has everything that was acknowledged before
// the call.
func (s *Server) History(ctx context.Context, req *apiv1.HistoryRequest) (*apiv1.HistoryResponse, error) {
	id, err := identityOf(req.Kind, req.Key)
	if err != nil {
		return nil, err
	}
	limit := int(req.Limit)
	if limit == 0 {
		limit = historyDefault
	}
	if limit > historyMax {
		return nil, invalid("limit %d: at most %d is allowed", limit, historyMax)
	}
	v, err := s.readView(ctx)
	if err != nil {
		return nil, s.readError(ctx, err)
	}
	g, err := s.group()
	if err != nil {
		return nil, err
	}
	h := g.Events().History(id, limit, v.Index)
	resp := &apiv1.HistoryResponse{AfterIndex: h.After, More: h.More, Read: s.proof(ctx, v)}
	for i := range h.Events {
		resp.Events = append(resp.Events, eventMessage(&h.Events[i]))
	}
	return resp, nil
}

func eventMessage(e *events.Event) *apiv1.PlacementEvent {
	out := &apiv1.PlacementEvent{
		Index: e.Index, Time: timeMessage(e.Time), Type: eventType(e.Type), Kind: e.Identity.Kind, Key: e.Identity.Key,
		Member: string(e.Member), Incarnation: uint64(e.Incarnation), Epoch: uint64(e.Epoch), Cause: e.Cause.String(),
	}
	if e.Request != (snapshot.RequestID{}) {
		out.RequestId = ulid.ULID(e.Request).String()
	}
	switch e.Type {
	case events.Placed:
		out.Reason = e.Reason.String()
	case events.Failed:
		out.Failure = e.Failure.String()
	case events.Removed:
		if e.Failure != (placement.Failure{}) {
			out.Failure = e.Failure.String()
		}
	}
	return out
}

// timeMessage is the replicated clock in a message; nil when it is not known.
func timeMessage(ms uint64) *timestamppb.Timestamp {
	if ms == 0 {
		return nil
	}
	return timestamppb.New(time.UnixMilli(int64(min(ms, 1<<53))))
}

func eventType(t events.Type) apiv1.PlacementEvent_Type {
	switch t {
	case events.Placed:
		return apiv1.PlacementEvent_PLACED
	case events.Settled:
		return apiv1.PlacementEvent_SETTLED
	case events.Failed:
		return apiv1.PlacementEvent_FAILED
	case events.Stopping:
		return apiv1.PlacementEvent_STOPPING
	case events.Removed:
		return apiv1.PlacementEvent_REMOVED
	}
	return apiv1.PlacementEvent_UNSPECIFIED
}
