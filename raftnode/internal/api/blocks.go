package api

import (
	"context"
	"encoding/base64"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// blockLastsMax is the longest time that a block can be given: a hundred years.
const blockLastsMax = 100 * 365 * 24 * time.Hour

// timeOf is a moment of the replicated clock.
func timeOf(ms uint64) time.Time { return time.UnixMilli(int64(min(ms, 1<<53))).UTC() }

func blockMessage(b *snapshot.Block) *apiv1.BlockEntry {
	out := &apiv1.BlockEntry{
		Member: string(b.Member), Kind: b.Identity.Kind, Key: b.Identity.Key, Reason: b.Reason, By: b.By, Since: timestamppb.New(timeOf(b.Since)),
	}
	if b.Until != 0 {
		out.Until = timestamppb.New(timeOf(b.Until))
	}
	return out
}

// ListBlocks returns a page of the block list. The token of a page is the last subject of the one before, so a list goes
// on anywhere and keeps nothing.
func (s *Server) ListBlocks(ctx context.Context, req *apiv1.ListBlocksRequest) (*apiv1.ListBlocksResponse, error) {
	size := int(req.PageSize)
	if size == 0 {
		size = pageMax
	}
	if size > pageMax {
		return nil, invalid("page size %d: at most %d is allowed", size, pageMax)
	}
	after, err := base64.RawURLEncoding.DecodeString(req.PageToken)
	if err != nil {
		return nil, invalid("page token: it is none of a list's")
	}
	v, err := s.readView(ctx)
	if err != nil {
		return nil, s.readError(ctx, err)
	}
	resp := &apiv1.ListBlocksResponse{Read: s.proof(ctx, v)}
	last := ""
	for b := range v.BlocksAfter(string(after)) {
		if len(resp.Blocks) == size {
			resp.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte(last))
			break
		}
		resp.Blocks, last = append(resp.Blocks, blockMessage(&b)), b.Key()
	}
	return resp, nil
}

// Block adds to the block list.
func (s *Server) Block(ctx context.Context, req *apiv1.BlockRequest) (*apiv1.BlockResponse, error) {
	body := &fsm.Block{Subject: subjectOf(req), Reason: req.Reason, By: req.By}
	if req.Lasts != nil {
		lasts := req.Lasts.AsDuration()
		if lasts < time.Millisecond || lasts > blockLastsMax {
			return nil, invalid("lasts %v: 1ms to %v is allowed", lasts, blockLastsMax)
		}
		body.Lasts = uint64(lasts.Milliseconds())
	}
	command, err := requestOf(req.Retry)
	if err != nil {
		return nil, err
	}
	command.Body = body
	t, r, err := s.changeBlocks(ctx, command)
	if err != nil {
		return nil, err
	}
	v := t.group.View()
	resp := &apiv1.BlockResponse{Changed: r.Verdict == placement.Done, Read: s.proof(ctx, v)}
	if b, ok := v.Block(body.Subject); ok {
		resp.Block = blockMessage(&b)
	}
	if r.Entry.Owner != 0 {
		resp.Placement = placementMessage(body.Identity, r.Entry, r.Owner)
	}
	return resp, nil
}

// Unblock takes from the block list. That there is nothing to take is no error.
func (s *Server) Unblock(ctx context.Context, req *apiv1.UnblockRequest) (*apiv1.UnblockResponse, error) {
	command, err := requestOf(req.Retry)
	if err != nil {
		return nil, err
	}
	command.Body = &fsm.Unblock{Subject: subjectOf(req)}
	t, r, err := s.changeBlocks(ctx, command)
	if err != nil {
		return nil, err
	}
	return &apiv1.UnblockResponse{Changed: r.Verdict == placement.Done, Read: s.proof(ctx, t.group.View())}, nil
}

// subjectOf reads what a request is about.
func subjectOf(req interface {
	GetMember() string
	GetKind() string
	GetKey() string
}) snapshot.Subject {
	return snapshot.Subject{Member: placement.MemberID(req.GetMember()), Identity: placement.Identity{Kind: req.GetKind(), Key: req.GetKey()}}
}

// changeBlocks proposes a change of the block list.
func (s *Server) changeBlocks(ctx context.Context, command fsm.Command) (tenured, fsm.Result, error) {
	t, err := s.tenure()
	if err != nil {
		return t, fsm.Result{}, err
	}
	encoded, err := fsm.Encode(command)
	if err != nil {
		return t, fsm.Result{}, invalid("%v", err)
	}
	r, err := t.group.Propose(ctx, encoded)
	if err != nil {
		return t, r, outcomeError(err)
	}
	if r.Verdict == placement.NotBlocked {
		return t, r, nil
	}
	return t, r, verdictError(placement.Identity{}, &r)
}
