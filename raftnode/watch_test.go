package raftnode_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// watch opens a stream of events at a server.
func watch(t *testing.T, c *raftnodetest.Cluster, s *raftnodetest.Server, req *apiv1.WatchRequest) grpc.ServerStreamingClient[apiv1.WatchResponse] {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	stream, err := apiv1.NewPlacementsClient(c.Dial("client", s)).Watch(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// next is what comes next but for what nobody wants to know.
func next(t *testing.T, stream grpc.ServerStreamingClient[apiv1.WatchResponse]) *apiv1.WatchResponse {
	t.Helper()
	m, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A server that began with a snapshot says so to who asks for what was before it, or gives a snapshot, and tells what follows.
func TestWatch_ServerBeganWithASnapshot_SaysSo(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for i := range 5 {
			if _, _, err := client.Place(ctx, placement.Identity{Kind: "file", Key: strconv.Itoa(i)}); err != nil {
				t.Fatal(err)
			}
		}
		s := c.Others(c.Leader(nil))[0]
		if err := s.Node.Group().TakeSnapshot(); err != nil {
			t.Fatal(err)
		}
		at := s.Node.Group().View().Index
		s.Stop()
		s.Start()
		ready(t, c, s)
		since := uint64(1)
		stream := watch(t, c, s, &apiv1.WatchRequest{Since: &since})
		_, err := stream.Recv()
		reason, data, _ := apiv1.ReasonOf(err)
		oldest, _ := strconv.ParseUint(data["oldest"], 10, 64)
		if reason != apiv1.ReasonIndexCompacted || oldest == 0 || oldest > at {
			t.Fatalf("behind 1: %v, %v; want the oldest, up to %d", err, data, at)
		}
		if m := next(t, watch(t, c, s, &apiv1.WatchRequest{Since: &oldest})); m.Mark == nil && len(m.Events) == 0 {
			t.Errorf("behind the oldest comes %v", m)
		}
		stream = watch(t, c, s, &apiv1.WatchRequest{Since: &since, Snapshot: true, Kind: "file"})
		m, n := next(t, stream), 0
		if m.Reset_.GetWhy() != apiv1.WatchReset_COMPACTED || m.Reset_.Index < at {
			t.Errorf("behind 1 comes %v", m)
		}
		for ; m.Mark == nil; m = next(t, stream) {
			for _, r := range m.Records {
				if r.Placement != nil {
					n++
				}
			}
		}
		if n != 5 || m.Mark.Index < at || m.Mark.ServedBy != s.Name {
			t.Errorf("a snapshot has %d placements, and then comes %v", n, m)
		}
		// A client passes over a server that does not know it, for those who do.
		for range 4 {
			for u, err := range client.Watch(ctx, lookupclient.WatchConfig{Since: &lookupclient.Position{Index: 1}, Snapshot: true}) {
				if err != nil || u.Reset != 0 || u.ServedBy == s.Name && u.Position.Index == 1 {
					t.Fatalf("behind 1 the client is given %v, %v", u, err)
				}
				if len(u.Events) > 0 {
					break
				}
			}
		}
		if _, _, err := client.Place(ctx, placement.Identity{Kind: "file", Key: "late"}); err != nil {
			t.Fatal(err)
		}
		for len(m.Events) == 0 {
			m = next(t, stream)
		}
		if e := m.Events[0]; e.Type != apiv1.Event_PLACED || e.Key != "late" {
			t.Errorf("then comes %v", e)
		}
	})
}

// JSON has the stream too, a line for each message, and its errors.
func TestWatch_HTTP_IsALineEach(t *testing.T) {
	site(t, 1, nil, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		w := memoryWeb(t, c, c.Servers[0])
		req, err := http.NewRequestWithContext(ctx, "GET", w.base+"/v1/placements:watch?snapshot=true&kind=file&types=PLACED&types=SETTLED", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := w.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		line := ""
		// Events of one line may be those of two indices.
		for _, want := range []string{`"reset":{"why":"BEGIN"`, `"mark":{"index":`, `"events":[{"index":`, `"type":"SETTLED","kind":"file","key":"a b"`} {
			for !strings.Contains(line, want) {
				if !lines.Scan() {
					t.Fatalf("%s does not come: %v", want, lines.Err())
				}
				if line = lines.Text(); line == "" {
					t.Fatal("an empty line")
				}
			}
			var m struct{ Result map[string]any }
			if err := json.Unmarshal([]byte(line), &m); err != nil || m.Result == nil {
				t.Fatalf("%s: %v", line, err)
			}
			if strings.Contains(want, "mark") {
				if _, _, err := client.Place(ctx, placement.Identity{Kind: "file", Key: "a b"}); err != nil {
					t.Fatal(err)
				}
			}
		}
		cancel()
		for path, want := range map[string]string{
			"/v1/placements:watch?sinse=1": "there is no parameter", "/v1/placements:watch?types=NONSENSE": "NONSENSE", "/v1/placements:watch?since=-1": "-1",
			"/v1/placements:watch?since=123456789": "is not there yet", "/v1/placements:watch?types=3333": "not a valid value",
			"/v1/placements:watch?prefix=" + strings.Repeat("x", placement.KeyBytesMax+1): "the prefix has", "/v1/placements:watch?kind=" + strings.Repeat("x", placement.KindBytesMax+1): "kind and member",
		} {
			if got := w.get(path); got.status != http.StatusBadRequest || !strings.Contains(string(got.body), want) || !strings.Contains(string(got.body), `"reason":"INVALID_ARGUMENT"`) {
				t.Errorf("%.60s: %d %v %s, want %q", path, got.status, got.header, got.body, want)
			}
		}
		for _, want := range []string{"berth_watch_clients ", "berth_watch_events_sent_total ", "berth_watch_resets_total 0"} {
			if body := string(w.get("/metrics").body); !strings.Contains(body, want) {
				t.Errorf("the metrics have no %s", want)
			}
		}
	})
}

// A server that stops ends the streams, so that who watches goes to another one; it is not held up by them.
func TestWatch_ServerStops_StreamsEnd(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		s := c.Others(c.Leader(nil))[0]
		stream := watch(t, c, s, &apiv1.WatchRequest{})
		next(t, stream)
		ended := make(chan error)
		go func() {
			for {
				if _, err := stream.Recv(); err != nil {
					ended <- err
					return
				}
			}
		}()
		begin := time.Now()
		s.Stop()
		err := <-ended
		if reason, _, _ := apiv1.ReasonOf(err); reason != apiv1.ReasonNoLeader || errors.Is(err, io.EOF) {
			t.Errorf("the stream ends with %v", err)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
