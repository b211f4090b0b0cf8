package main

import (
	"context"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// history shows what became of an identity, the newest first.
func (l *looking) history(ctx context.Context, id placement.Identity, limit uint32) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	resp, err := l.api.History(ctx, &apiv1.HistoryRequest{Kind: id.Kind, Key: id.Key, Limit: limit})
	if err != nil {
		return err
	}
	if err := output.List(&l.printer, resp, resp.Events, func(r *output.Rows) { historyTable(r, resp.Events) }); err != nil {
		return err
	}
	if resp.More {
		l.say("there are older ones: --limit %d shows more than these %d", min(historyMax, 2*max(1, limit)), len(resp.Events))
	}
	if resp.AfterIndex > 0 {
		l.say("history up to index %s is not kept by %s", humanize.Comma(int64(resp.AfterIndex)), resp.Read.GetServedBy())
	}
	return nil
}

// historyMax is how many events a server shows at most.
const historyMax = 1000

func historyTable(r *output.Rows, events []*apiv1.PlacementEvent) {
	r.Row("INDEX", "TIME", "EVENT", "MEMBER", "EPOCH", "CAUSE")
	for i := len(events) - 1; i >= 0; i-- {
		e := events[i]
		r.Row(e.Index, timeText(e.Time), strings.ToLower(e.Type.String()), e.Member, e.Epoch, causeText(e))
	}
}

// causeText says in words what made an event happen.
func causeText(e *apiv1.PlacementEvent) string {
	text := e.Cause
	switch {
	case e.Type == apiv1.PlacementEvent_REMOVED && e.Cause == "expire":
		text = "member " + e.Member + " expired"
	case e.Type == apiv1.PlacementEvent_REMOVED && e.Cause == "leave":
		text = "member " + e.Member + " left"
	case e.Type == apiv1.PlacementEvent_PLACED && e.Cause == "fail":
		text = "the candidate before failed"
	case e.Type == apiv1.PlacementEvent_FAILED, e.Failure != "":
		text = e.Failure
	case e.Type == apiv1.PlacementEvent_PLACED && e.Reason == "moved":
		text = "moved: " + e.Cause
	}
	if e.RequestId != "" {
		text += " (request " + e.RequestId + ")"
	}
	return text
}

// timeText is a moment in local time: of today without the date.
func timeText(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	at := t.AsTime().Local()
	if at.Format(time.DateOnly) == time.Now().Format(time.DateOnly) {
		return at.Format(time.TimeOnly)
	}
	return at.Format(time.DateTime)
}
