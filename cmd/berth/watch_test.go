package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// teller is a server that tells one event to whoever wants its type.
type teller struct {
	apiv1.UnimplementedPlacementsServer
	event *apiv1.Event
}

func (s *teller) Watch(req *apiv1.WatchRequest, stream grpc.ServerStreamingServer[apiv1.WatchResponse]) error {
	m := &apiv1.WatchResponse{Mark: &apiv1.WatchMark{Index: s.event.Index, ServedBy: "s1"}}
	if len(req.Types) == 1 && req.Types[0] == s.event.Type {
		m.Events = []*apiv1.Event{s.event}
	}
	if err := stream.Send(m); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// A retry that is held back is asked for by its name, and shown with why, how often and until when.
func TestWatch_RetryThrottled_IsShownWithWhyAndUntilWhen(t *testing.T) {
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	apiv1.RegisterPlacementsServer(s, &teller{event: &apiv1.Event{
		Index: 77, Time: timestamppb.New(begin), Type: apiv1.Event_RETRY_THROTTLED, Kind: "cart", Key: "1", Member: "m1", Incarnation: 4, Epoch: 9, Cause: "release",
		Reason: "crash 4 in a row on m1: crashed: nil map", Failure: "crashed: nil map", Crashes: 4, Until: timestamppb.New(begin.Add(2 * time.Second)),
	}})
	go func() { _ = s.Serve(l) }() // ends with Stop
	defer s.Stop()
	for format, want := range map[string]string{
		"table": "      77 " + begin.Local().Format(time.DateTime) + " retry-throttled cart/1 m1 9 release: crash 4 in a row on m1: crashed: nil map, until " +
			begin.Add(2*time.Second).Local().Format(time.DateTime),
		"jsonl": `{"index":"77","time":"2026-03-01T12:00:00Z","type":"RETRY_THROTTLED","kind":"cart","key":"1","member":"m1","incarnation":"4","epoch":"9",` +
			`"cause":"release","reason":"crash 4 in a row on m1: crashed: nil map","failure":"crashed: nil map","crashes":4,"until":"2026-03-01T12:00:02Z"}`,
	} {
		var out, said bytes.Buffer
		a := &app{in: strings.NewReader(""), out: &out, err: &said}
		if status := a.run(t.Context(), []string{"watch", "--server", l.Addr().String(), "--type", "retry-throttled", "--count", "1", "-o", format}); status != 0 {
			t.Fatalf("exit status %d: %s", status, said.String())
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if got := lines[len(lines)-1]; strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
			t.Errorf("%s: %q, want %q", format, got, want)
		}
	}
}
