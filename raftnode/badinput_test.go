package raftnode_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// noise is n bytes that mean nothing.
func noise(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// clientHello is the beginning of a TLS connection.
var clientHello = append([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), noise(506)...)

const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// send connects to an address, sends bytes and nothing more, and waits until the other end has closed the connection,
// for at most an hour. It returns what came back and how long it took.
func send(t *testing.T, c *raftnodetest.Cluster, address string, b []byte) (reply []byte, took time.Duration, err error) {
	t.Helper()
	conn, err := c.Network.Host("client").Dial(context.Background(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	begin := time.Now()
	_ = conn.SetDeadline(begin.Add(time.Hour))
	var writing sync.WaitGroup
	defer writing.Wait()
	defer conn.Close()
	writing.Go(func() { _, _ = conn.Write(b) }) // as far as the other end reads
	reply, err = io.ReadAll(conn)
	took = time.Since(begin)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return reply, took, errors.New("the connection is still open")
	}
	return reply, took, nil
}

// allocated is how many bytes were allocated since the process began.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// serves proves that the cluster is as good as before.
func serves(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client, key string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	p, _, err := client.Place(ctx, file(key))
	if err != nil {
		t.Errorf("place after %s: %v", key, err)
		return
	}
	if q, err := client.Lookup(ctx, file(key)); err != nil || q.Epoch != p.Epoch {
		t.Errorf("look up after %s: %+v, %v", key, q, err)
	}
}

// What no server, client or browser sends ends its connection, in time and without a heap of memory, on every port.
func TestBadInput_EveryPort_ConnectionEnds(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		l := c.Leader(nil)
		good := newcomer(l)
		with := func(field, value string) map[string]any {
			m := newcomer(l)
			m[field] = value
			return m
		}
		half := func(b []byte) []byte { return b[:len(b)/2] }
		raft := func(b string) []byte { return append(greeting(1, kindRaft, good), b...) }
		const (
			greetingBound = 5*time.Second + time.Second
			headerBound   = 5*time.Second + time.Second
			bodyBound     = 30*time.Second + time.Second
			prefaceBound  = 5*time.Second + time.Second
		)
		for _, tt := range []struct {
			port, name string
			bytes      []byte
			bound      time.Duration
			reply      string // is in what comes back
		}{
			{"7421", "nothing", nil, greetingBound, ""},
			{"7421", "noise", noise(64 << 10), 0, ""},
			{"7421", "TLS", clientHello, 0, ""},
			{"7421", "HTTP", []byte("GET / HTTP/1.1\r\nHost: s1\r\n\r\n"), 0, ""},
			{"7421", "HTTP/2", []byte(http2Preface), 0, ""},
			{"7421", "another version", greeting(2, kindRaft, good), 0, ""},
			{"7421", "kind 0", greeting(1, 0, good), 0, ""},
			{"7421", "kind 4", greeting(1, 4, good), 0, ""},
			{"7421", "the largest length", []byte("BRTH\x01\x01\xff\xff\xff\xff{"), 0, ""},
			{"7421", "a length and silence", []byte("BRTH\x01\x01\x00\x00\x70\x00{"), greetingBound, ""},
			{"7421", "half a header", []byte("BRTH\x01"), greetingBound, ""},
			{"7421", "half a greeting", half(greeting(1, kindRaft, good)), greetingBound, ""},
			{"7421", "no JSON", []byte("BRTH\x01\x01\x00\x00\x00\x04nope"), 0, ""},
			{"7421", "a JSON list", []byte("BRTH\x01\x01\x00\x00\x00\x02[]"), 0, ""},
			{"7421", "a deep list", fmt.Appendf([]byte("BRTH\x01\x03\x00\x00\x4e\x20"), "%s", strings.Repeat("[", 20_000)), 0, ""},
			{"7421", "JSON null", []byte("BRTH\x01\x01\x00\x00\x00\x04null"), 0, "other cluster"},
			{"7421", "another cluster", greeting(1, kindRaft, with("cluster", "x")), 0, "other cluster"},
			{"7421", "another cluster's call", greeting(1, kindPeer, with("cluster", "x")), 0, "other cluster"},
			{"7421", "another server", greeting(1, kindRaft, with("to", "x")), 0, "other server"},
			{"7421", "another disk", greeting(1, kindRaft, with("server", c.Others(l)[0].Name)), 0, "other disk"},
			{"7421", "a hello that is none", greeting(1, kindHello, map[string]any{"server": "x", "hello": []int{1}}), 0, l.Node.Cluster()},
			{"7421", "noise for Raft", raft(string(noise(64 << 10))), 0, ""},
			{"7421", "an unknown message for Raft", raft("\xff"), 0, ""},
			{"7421", "text for Raft", raft("\x00GET / HTTP/1.1\r\n\r\n"), 0, ""},
			{"7421", "noise for gRPC", append(greeting(1, kindPeer, good), noise(64<<10)...), 0, ""},
			{"7421", "silence for gRPC", greeting(1, kindPeer, good), prefaceBound, ""},

			{"7420", "nothing", nil, prefaceBound, ""},
			{"7420", "noise", noise(64 << 10), 0, ""},
			{"7420", "TLS", clientHello, 0, ""},
			{"7420", "HTTP", []byte("GET /v1/cluster HTTP/1.1\r\nHost: s1\r\n\r\n"), 0, ""},
			{"7420", "a greeting", greeting(1, kindRaft, good), 0, ""},
			{"7420", "half a preface", []byte(http2Preface[:9]), prefaceBound, ""},
			{"7420", "a preface and silence", []byte(http2Preface), prefaceBound, ""},
			{"7420", "a preface and noise", append([]byte(http2Preface), noise(64<<10)...), 0, ""},
			{"7420", "the largest frame", []byte(http2Preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\xff\xff\xff\x00\x00\x00\x00\x00\x01"), 0, ""},
			{"7420", "settings and silence", []byte(http2Preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"), 16 * time.Second, ""}, // unanswered keepalive

			{"7422", "nothing", nil, headerBound, ""},
			{"7422", "noise", noise(64 << 10), 0, ""}, // what is refused at once is not read to its end, and then the answer may be lost
			{"7422", "TLS", clientHello, headerBound, ""},
			{"7422", "a greeting", greeting(1, kindRaft, good), headerBound, ""},
			{"7422", "HTTP/2", []byte(http2Preface), 0, ""},
			{"7422", "half a header", []byte("GET / HTT"), headerBound, ""},
			{"7422", "a header without end", []byte("GET / HTTP/1.1\r\nHost: s1\r\nX: " + strings.Repeat("x", 1<<20)), headerBound, "431 Request Header Fields Too Large"},
			{"7422", "a negative length", []byte("POST / HTTP/1.1\r\nHost: s1\r\nContent-Length: -1\r\n\r\n"), 0, "400 Bad Request"},
			{"7422", "a huge length and silence", []byte("POST /v1/placements:batchPlace HTTP/1.1\r\nHost: s1\r\nContent-Length: 9223372036854775807\r\n\r\n{"), bodyBound, "408 Request Timeout"},
			{"7422", "a body without end", []byte("POST /livez HTTP/1.1\r\nHost: s1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), bodyBound, "408 Request Timeout"},
			{"7422", "chunks that are none", []byte("POST /v1/placements:batchPlace HTTP/1.1\r\nHost: s1\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"), bodyBound, "400 Bad Request"},
			{"7422", "a huge chunk", []byte("POST /v1/placements:batchPlace HTTP/1.1\r\nHost: s1\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n"), bodyBound, "408 Request Timeout"},
		} {
			before := allocated()
			reply, took, err := send(t, c, l.Host+":"+tt.port, tt.bytes)
			if err != nil || took > tt.bound+time.Second {
				t.Errorf("port %s, %s: after %v: %v, want the end within %v", tt.port, tt.name, took, err, tt.bound)
			}
			if !bytes.Contains(reply, []byte(tt.reply)) {
				t.Errorf("port %s, %s: %.300q came back, want %q in it", tt.port, tt.name, reply, tt.reply)
			}
			// A cluster's own work is less than a megabyte in a second.
			if used := allocated() - before; used > 64<<20+uint64(took.Seconds())<<20 {
				t.Errorf("port %s, %s: %d MiB were allocated", tt.port, tt.name, used>>20)
			}
		}
		serves(t, c, client, "the garbage")
		if got := c.Leader(nil); got != l {
			t.Errorf("%s leads, and not %s any more", got.Name, l.Name)
		}
		if m, _ := metricsOf(t, memoryWeb(t, c, l)); m["berth_raft_port_garbage_total"] < 13 {
			t.Errorf("%v connections were counted as garbage", m["berth_raft_port_garbage_total"])
		}
	})
}

// Lengths in Raft's messages are what their sender says; memory is taken for what has come.
func TestBadInput_HugeLengthInARaftMessage_TakesNoMemory(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		l := c.Leader(nil)
		text := func(s string) string { return string([]byte{byte(0xa0 + len(s))}) + s }
		for name, message := range map[string]string{
			"entries":  "\x00\x81" + text("Entries") + "\xdd\xff\xff\xff\xff",
			"data":     "\x00\x81" + text("Entries") + "\x91\x81" + text("Data") + "\xc6\xff\xff\xff\xff",
			"leader":   "\x00\x81" + text("Leader") + "\xdb\xff\xff\xff\xff",
			"map":      "\x00\xdf\xff\xff\xff\xff",
			"snapshot": "\x02\x82" + text("Size") + "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff" + text("Configuration") + "\xc6\xff\xff\xff\xff",
		} {
			conn, err := c.Network.Host("client").Dial(context.Background(), l.Host+":7421")
			if err != nil {
				t.Fatal(err)
			}
			before := allocated()
			if _, err := conn.Write(greeting(1, kindRaft, newcomer(l))); err != nil {
				t.Fatal(err)
			}
			if reply, err := readReply(conn); err != nil || reply["refused"] != nil {
				t.Fatalf("greeting: %v, %v", reply, err)
			}
			if _, err := conn.Write([]byte(message)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if used := allocated() - before; used > 64<<20 {
				t.Errorf("%s: %d MiB were allocated", name, used>>20)
			}
			_ = conn.Close()
		}
		serves(t, c, client, "the huge lengths")
	})
}

// Only so many strangers are listened to at once, and none for long.
func TestBadInput_ManySilentConnections_ServersGoOn(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		l := c.Leader(nil)
		const strangers, listened = 300, 256
		begin := time.Now()
		ended := make(chan time.Duration, strangers)
		for range strangers {
			conn, err := c.Network.Host("client").Dial(context.Background(), l.Host+":7421")
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(io.Discard, conn)
				ended <- time.Since(begin)
			}()
		}
		serves(t, c, client, "the silence")
		atOnce := 0
		for range strangers {
			switch took := <-ended; {
			case took < time.Second:
				atOnce++
			case took > 6*time.Second:
				t.Errorf("a silent connection was kept for %v", took)
			}
		}
		// The servers' own hellos take places too.
		if atOnce < strangers-listened || atOnce > strangers-listened+8 {
			t.Errorf("%d of %d connections were closed at once, want those over %d", atOnce, strangers, listened)
		}
		if got := c.Leader(nil); got != l {
			t.Errorf("%s leads, and not %s any more", got.Name, l.Name)
		}
	})
}

// Whoever says hello under ever new names is not remembered for ever, and not looked for.
func TestBadInput_HellosUnderManyNames_AreForgotten(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		l := c.Leader(nil)
		hello := map[string]any{"cluster": l.Node.Cluster(), "removed": []string{strings.Repeat("x", 28<<10)}}
		live := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before, tasks := live(), runtime.NumGoroutine()
		for i := range underrace.Rounds(2000, 300) {
			g := map[string]any{"cluster": l.Node.Cluster(), "server": fmt.Sprint("x", i), "incarnation": "x", "address": fmt.Sprintf("nowhere:%d", i), "hello": hello}
			if _, _, err := send(t, c, l.Host+":7421", greeting(1, kindHello, g)); err != nil {
				t.Fatal(err)
			}
		}
		c.Network.Cut(l.Host, "nowhere", true) // who dials there waits
		time.Sleep(4500 * time.Millisecond)
		if n := runtime.NumGoroutine() - tasks; n > 1000 {
			t.Errorf("%d goroutines more than before", n)
		}
		if after := live(); after > before+16<<20 {
			t.Errorf("the heap has grown by %d MiB", (after-before)>>20)
		}
		c.Network.Cut(l.Host, "nowhere", false)
		serves(t, c, client, "the hellos")
	})
}

// A server closes while strangers hold connections to all its ports, and nothing of it is left: a bubble ends only when
// every goroutine has.
func TestBadInput_CloseWithStrangersConnected_LeavesNothing(t *testing.T) {
	bubble(t, 1, nil, func(t *testing.T, c *raftnodetest.Cluster) {
		s := c.Leader(nil)
		ready(t, c, s)
		var reading sync.WaitGroup
		for port, b := range map[string][]byte{
			"7420": []byte(http2Preface), "7421": []byte("BRTH\x01"), "7422": []byte("POST /v1/placements:batchPlace HTTP/1.1\r\nHost: s1\r\nContent-Length: 100\r\n\r\n{"),
		} {
			for _, sent := range [][]byte{nil, b} {
				conn, err := c.Network.Host("client").Dial(context.Background(), s.Host+":"+port)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Write(sent); err != nil {
					t.Fatal(err)
				}
				reading.Go(func() {
					defer conn.Close()
					_, _ = io.Copy(io.Discard, conn)
				})
			}
		}
		begin := time.Now()
		s.Stop()
		reading.Wait()
		if took := time.Since(begin); took > 6*time.Second {
			t.Errorf("closed after %v", took)
		}
	})
}

// Every rule that a request can break is named in its error.
func TestBadInput_Requests_NameTheRule(t *testing.T) {
	site(t, 1, nil, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		s := c.Leader(nil)
		conn := c.Dial("client", s)
		api, cluster := apiv1.NewPlacementsClient(conn), apiv1.NewClusterClient(conn)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		many := make([]*apiv1.Identity, 1001)
		for i := range many {
			many[i] = &apiv1.Identity{Kind: "file", Key: fmt.Sprint(i)}
		}
		placed, err := api.Place(ctx, &apiv1.PlaceRequest{Kind: "file", Key: "a"})
		if err != nil {
			t.Fatal(err)
		}
		lookup := func(kind, key string) func() error {
			return func() error {
				_, err := api.Lookup(ctx, &apiv1.LookupRequest{Kind: kind, Key: key})
				return err
			}
		}
		place := func(kind, key string, r *apiv1.Retry) func() error {
			return func() error {
				_, err := api.Place(ctx, &apiv1.PlaceRequest{Kind: kind, Key: key, Retry: r})
				return err
			}
		}
		remove := func(r *apiv1.RemoveRequest) func() error {
			return func() error {
				_, err := api.Remove(ctx, r)
				return err
			}
		}
		list := func(r *apiv1.ListRequest) func() error {
			return func() error {
				_, err := api.List(ctx, r)
				return err
			}
		}
		members, blocks, kinds := apiv1.NewMembersClient(conn), apiv1.NewBlocksClient(conn), apiv1.NewKindsClient(conn)
		move := func(r *apiv1.MoveRequest) func() error {
			return func() error {
				_, err := api.Move(ctx, r)
				return err
			}
		}
		block := func(r *apiv1.BlockRequest) func() error {
			return func() error {
				_, err := blocks.Block(ctx, r)
				return err
			}
		}
		kind := func(r *apiv1.SetKindRequest) func() error {
			return func() error {
				_, err := kinds.SetKind(ctx, r)
				return err
			}
		}
		const id = "01JD3VXK5N8Y2T3B4C5D6E7F8G"
		if err := place("file", "used", &apiv1.Retry{RequestId: id})(); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name   string
			call   func() error
			reason apiv1.Reason
			text   string
		}{
			{"1001 look-ups", func() error { _, err := api.BatchLookup(ctx, &apiv1.BatchLookupRequest{Identities: many}); return err }, apiv1.ReasonInvalidArgument, "1001 identities, at most 1000"},
			{"1001 placements", func() error { _, err := api.BatchPlace(ctx, &apiv1.BatchPlaceRequest{Identities: many}); return err }, apiv1.ReasonInvalidArgument, "1001 identities, at most 1000"},
			{"no kind", lookup("", "a"), apiv1.ReasonInvalidArgument, "the kind is empty"},
			{"no key", lookup("file", ""), apiv1.ReasonInvalidArgument, "the key is empty"},
			{"long kind", lookup(strings.Repeat("k", 65), "a"), apiv1.ReasonInvalidArgument, "the kind has 65 bytes, at most 64"},
			{"bad kind", place("a b", "a", nil), apiv1.ReasonInvalidArgument, "the kind has ' ' at byte 1"},
			{"kind with a slash", place("a/b", "a", nil), apiv1.ReasonInvalidArgument, "the kind has '/' at byte 1"},
			{"kind in letters of elsewhere", place("ключ", "a", nil), apiv1.ReasonInvalidArgument, "at byte 0"},
			{"long key", place("file", strings.Repeat("k", 513), nil), apiv1.ReasonInvalidArgument, "the key has 513 bytes, at most 512"},
			{"NUL in the key", place("file", "a\x00", nil), apiv1.ReasonInvalidArgument, "the control character U+0000 at byte 1"},
			{"line in the key", remove(&apiv1.RemoveRequest{Kind: "file", Key: "a\n"}), apiv1.ReasonInvalidArgument, "the control character U+000A at byte 1"},
			{"level", func() error {
				_, err := api.Lookup(ctx, &apiv1.LookupRequest{Kind: "file", Key: "a", Level: 9})
				return err
			}, apiv1.ReasonInvalidArgument, "level 9"},
			{"level of a batch", func() error { _, err := api.BatchLookup(ctx, &apiv1.BatchLookupRequest{Level: -1}); return err }, apiv1.ReasonInvalidArgument, "level -1"},
			{"unknown kind", place("cart", "1", nil), apiv1.ReasonNoEligibleMember, "none of the 1 members hosts the kind cart"},
			{"epoch", remove(&apiv1.RemoveRequest{Kind: "file", Key: "a", Epoch: placed.Placement.Epoch + 1}), apiv1.ReasonEpochMismatch, fmt.Sprint("under epoch ", placed.Placement.Epoch)},
			{"largest epoch", remove(&apiv1.RemoveRequest{Kind: "file", Key: "a", Epoch: math.MaxUint64}), apiv1.ReasonEpochMismatch, fmt.Sprint("under epoch ", placed.Placement.Epoch)},
			{"long wait", remove(&apiv1.RemoveRequest{Kind: "file", Key: "a", Wait: durationpb.New(10*time.Second + 1)}), apiv1.ReasonInvalidArgument, "0 to 10s"},
			{"wait beyond all", remove(&apiv1.RemoveRequest{Kind: "file", Key: "a", Wait: &durationpb.Duration{Seconds: math.MaxInt64, Nanos: math.MaxInt32}}), apiv1.ReasonInvalidArgument, "0 to 10s"},
			{"wait before all", remove(&apiv1.RemoveRequest{Kind: "file", Key: "a", Wait: &durationpb.Duration{Seconds: math.MinInt64}}), apiv1.ReasonInvalidArgument, "0 to 10s"},
			{"page size", list(&apiv1.ListRequest{PageSize: 1001}), apiv1.ReasonInvalidArgument, "at most 1000"},
			{"phase", list(&apiv1.ListRequest{Phase: 9}), apiv1.ReasonInvalidArgument, "phase 9"},
			{"page token", list(&apiv1.ListRequest{PageToken: "nonsense"}), apiv1.ReasonInvalidArgument, "page token"},
			{"page token of a list that is not kept", list(&apiv1.ListRequest{PageToken: strings.Repeat("A", 38)}), apiv1.ReasonIndexCompacted, "begin again"},
			{"long page token", list(&apiv1.ListRequest{PageToken: strings.Repeat("A", 1<<20)}), apiv1.ReasonInvalidArgument, "page token"},
			{"request id", place("file", "b", &apiv1.Retry{RequestId: "x"}), apiv1.ReasonInvalidArgument, "no ULID"},
			{"request id in other letters", place("file", "b", &apiv1.Retry{RequestId: "01JD3VXK5N8Y2T3B4C5D6E7F8U"}), apiv1.ReasonInvalidArgument, "no ULID"},
			{"request id that is too large", place("file", "b", &apiv1.Retry{RequestId: "8ZZZZZZZZZZZZZZZZZZZZZZZZZ"}), apiv1.ReasonInvalidArgument, "no ULID"},
			{"request id of zeros", place("file", "b", &apiv1.Retry{RequestId: strings.Repeat("0", 26)}), apiv1.ReasonInvalidArgument, "no ULID"},
			{"request id of something else", remove(&apiv1.RemoveRequest{Kind: "file", Key: "a", Retry: &apiv1.Retry{RequestId: id}}), apiv1.ReasonInvalidArgument, "used before"},
			{"an index beyond all", place("file", "b", &apiv1.Retry{RequestId: "01JD3VXK5N8Y2T3B4C5D6E7F8H", Again: true, KnownIndex: math.MaxUint64}), apiv1.ReasonInvalidArgument, "known index"},
			{"move to nobody", move(&apiv1.MoveRequest{Kind: "file", Key: "a", To: "nobody"}), apiv1.ReasonMemberUnknown, `no member "nobody"`},
			{"move to no name", move(&apiv1.MoveRequest{Kind: "file", Key: "a", To: "\x00"}), apiv1.ReasonInvalidArgument, "name: "},
			{"move of nothing", move(&apiv1.MoveRequest{Kind: "file", Key: "none", To: "m1"}), apiv1.ReasonNotPlaced, "is not placed"},
			{"move of another epoch", move(&apiv1.MoveRequest{Kind: "file", Key: "a", To: "m1", Epoch: math.MaxUint64}), apiv1.ReasonEpochMismatch, fmt.Sprint("under epoch ", placed.Placement.Epoch)},
			{"move with a long wait", move(&apiv1.MoveRequest{Kind: "file", Key: "a", To: "m1", Wait: durationpb.New(time.Minute)}), apiv1.ReasonInvalidArgument, "0 to 10s"},
			{"drain of no name", func() error { _, err := members.DrainMember(ctx, &apiv1.DrainMemberRequest{Name: "a/b"}); return err }, apiv1.ReasonInvalidArgument, "'/' at byte 1"},
			{"drain of nobody", func() error {
				_, err := members.DrainMember(ctx, &apiv1.DrainMemberRequest{Name: "nobody"})
				return err
			}, apiv1.ReasonMemberUnknown, `no member "nobody"`},
			{"expiry of nobody", func() error {
				_, err := members.ExpireMember(ctx, &apiv1.ExpireMemberRequest{Name: "nobody"})
				return err
			}, apiv1.ReasonMemberUnknown, `no member "nobody"`},
			{"expiry of many", func() error {
				_, err := members.ExpireMember(ctx, &apiv1.ExpireMemberRequest{Name: "m1", Incarnations: make([]uint64, 1001)})
				return err
			}, apiv1.ReasonInvalidArgument, "1001 incarnations, at most 1000"},
			{"block of nothing", block(&apiv1.BlockRequest{}), apiv1.ReasonInvalidArgument, "neither a member nor an identity"},
			{"block of two things", block(&apiv1.BlockRequest{Member: "m1", Kind: "file", Key: "a"}), apiv1.ReasonInvalidArgument, "both a member and an identity"},
			{"block with a long reason", block(&apiv1.BlockRequest{Member: "m9", Reason: strings.Repeat("r", 256)}), apiv1.ReasonInvalidArgument, "the reason: 256 bytes"},
			{"block by a control character", block(&apiv1.BlockRequest{Member: "m9", By: "a\x1b[2J"}), apiv1.ReasonInvalidArgument, "by whom: "},
			{"block for no time", block(&apiv1.BlockRequest{Member: "m9", Lasts: durationpb.New(0)}), apiv1.ReasonInvalidArgument, "lasts 0s"},
			{"block for ever and longer", block(&apiv1.BlockRequest{Member: "m9", Lasts: &durationpb.Duration{Seconds: math.MaxInt64}}), apiv1.ReasonInvalidArgument, "lasts "},
			{"unblock of nothing", func() error { _, err := blocks.Unblock(ctx, &apiv1.UnblockRequest{Kind: "file"}); return err }, apiv1.ReasonInvalidArgument, "the key is empty"},
			{"page of blocks", func() error { _, err := blocks.ListBlocks(ctx, &apiv1.ListBlocksRequest{PageToken: "%"}); return err }, apiv1.ReasonInvalidArgument, "page token"},
			{"kind with no such mode", kind(&apiv1.SetKindRequest{Name: "file", Settle: "\x00"}), apiv1.ReasonInvalidArgument, "on-confirm and on-place"},
			{"kind with many labels", kind(&apiv1.SetKindRequest{Name: "file", Require: map[string]string{"a": "", "b": "", "c": "", "d": "", "e": ""}}), apiv1.ReasonInvalidArgument, "5 labels, at most 4"},
			{"kind with a label and none", kind(&apiv1.SetKindRequest{Name: "file", Require: map[string]string{"a": ""}, NoRequire: true}), apiv1.ReasonInvalidArgument, "given and unset"},
			{"kind with a short time", kind(&apiv1.SetKindRequest{Name: "file", ConfirmWithin: durationpb.New(time.Microsecond)}), apiv1.ReasonInvalidArgument, "whole milliseconds"},
			{"kind with a long time", kind(&apiv1.SetKindRequest{Name: "file", ConfirmWithin: &durationpb.Duration{Seconds: math.MaxInt64}}), apiv1.ReasonInvalidArgument, "confirm within"},
			{"no such server", func() error {
				_, err := cluster.RemoveServer(ctx, &apiv1.RemoveServerRequest{Name: "\x00"})
				return err
			}, apiv1.ReasonInvalidArgument, "there is no server"},
			{"no such voter", func() error {
				_, err := cluster.TransferLeadership(ctx, &apiv1.TransferLeadershipRequest{To: "x"})
				return err
			}, apiv1.ReasonInvalidArgument, `"x" is no other voter`},
		} {
			err := tt.call()
			if r, _, _ := apiv1.ReasonOf(err); r != tt.reason || !strings.Contains(status.Convert(err).Message(), tt.text) {
				t.Errorf("%s: %v, want %s and %q", tt.name, err, tt.reason, tt.text)
			}
		}
		// A token's last part says where the list goes on. One that was made up shows too much or too little, and no more.
		for _, cursor := range []uint64{0, 1, math.MaxUint64, 1 << 63, 0xdeadbeef} {
			first, err := api.List(ctx, &apiv1.ListRequest{PageSize: 1})
			if err != nil || first.NextPageToken == "" {
				t.Fatalf("list: %v, %v", first, err)
			}
			made := pageToken(t, first.NextPageToken, cursor)
			if resp, err := api.List(ctx, &apiv1.ListRequest{PageToken: made}); err != nil || len(resp.Placements) > 2 {
				t.Errorf("cursor %x: %v, %v", cursor, resp, err)
			}
		}
		// The rule is there for programs too.
		_, data, _ := apiv1.ReasonOf(lookup("file", "")())
		if data["rule"] != "the key is empty" {
			t.Errorf("metadata %v", data)
		}
		if r, _, err := client.Place(ctx, file("b")); err != nil || r.Member != "m1" {
			t.Errorf("place: %+v, %v", r, err)
		}
		for what, method := range map[string]string{"a unary call": "Placements/Lookup", "a stream": "Members/Session"} {
			for size, want := range map[int]string{-1: "decode", 5 << 20: "at most 4194304 are allowed"} {
				r, _, _ := apiv1.ReasonOf(sendRaw(ctx, t, client, method, size))
				if err := sendRaw(ctx, t, client, method, size); r != apiv1.ReasonInvalidArgument || !strings.Contains(err.Error(), want) {
					t.Errorf("%s, a request of %d bytes (-1: nonsense): %v, want INVALID_ARGUMENT, %s", what, size, err, want)
				}
			}
		}
		// What is twice too large gRPC cuts off by itself.
		if _, err := apiv1.NewPlacementsClient(client.Conn()).Lookup(ctx, &apiv1.LookupRequest{Kind: "file", Key: strings.Repeat("x", 9<<20)}); !errors.Is(err, lookupclient.ErrInvalid) {
			t.Errorf("a request of 9 MiB: %v", err)
		}
	})
}

// sendRaw sends one message of that many bytes in an unknown field, or, for -1, one that is no message, and returns what
// the call ends with.
func sendRaw(ctx context.Context, t *testing.T, client *lookupclient.Client, method string, size int) error {
	t.Helper()
	s, err := client.Conn().NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/berth.v1."+method, grpc.ForceCodecV2(rawCodec{}))
	if err != nil {
		return err
	}
	b := []byte{0xff}
	if size >= 0 {
		b = protowire.AppendBytes(protowire.AppendTag(nil, 1000, protowire.BytesType), make([]byte, size))
	}
	if err := errors.Join(s.SendMsg(b), s.CloseSend()); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var answer []byte
	return s.RecvMsg(&answer)
}

// pageToken is a page token with another cursor.
func pageToken(t *testing.T, token string, cursor uint64) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < 24 {
		t.Fatalf("token %q: %v", token, err)
	}
	binary.BigEndian.PutUint64(b[16:], cursor)
	return base64.RawURLEncoding.EncodeToString(b)
}

// A member that breaks a rule loses its session, and nothing else.
func TestBadInput_Sessions_NameTheRule(t *testing.T) {
	site(t, 1, nil, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		api := apiv1.NewMembersClient(c.Dial("client", c.Leader(nil)))
		join := func(m *apiv1.Member) *apiv1.FromMember {
			return &apiv1.FromMember{Message: &apiv1.FromMember_Join{Join: &apiv1.Join{Member: m}}}
		}
		good := join(&apiv1.Member{Name: "m2", Address: "m2:1", Kinds: []string{"cart"}})
		held := make([]*apiv1.Held, 1001)
		for i := range held {
			held[i] = &apiv1.Held{Kind: "file", Key: fmt.Sprint(i), Epoch: 1}
		}
		confirm := func(h ...*apiv1.Held) *apiv1.FromMember {
			return &apiv1.FromMember{Message: &apiv1.FromMember_Confirm{Confirm: &apiv1.Confirm{Held: h}}}
		}
		cluster := c.Servers[0].Node.Cluster()
		for _, tt := range []struct {
			name     string
			messages []*apiv1.FromMember
			reason   apiv1.Reason
			text     string
		}{
			{"nothing", nil, apiv1.ReasonInvalidArgument, "nothing came for 10s"},
			{"an empty message", []*apiv1.FromMember{{}}, apiv1.ReasonInvalidArgument, "begins with join or resume"},
			{"a keepalive", []*apiv1.FromMember{{Message: &apiv1.FromMember_Keepalive{Keepalive: &apiv1.Keepalive{}}}}, apiv1.ReasonInvalidArgument, "begins with join or resume"},
			{"no description", []*apiv1.FromMember{join(nil)}, apiv1.ReasonInvalidArgument, "name"},
			{"a bad name", []*apiv1.FromMember{join(&apiv1.Member{Name: "a b", Address: "x:1", Kinds: []string{"x"}})}, apiv1.ReasonInvalidArgument, "' ' at byte 1"},
			{"no kinds", []*apiv1.FromMember{join(&apiv1.Member{Name: "x", Address: "x:1"})}, apiv1.ReasonInvalidArgument, "kind"},
			{"a bad request id", []*apiv1.FromMember{{Message: &apiv1.FromMember_Join{Join: &apiv1.Join{Retry: &apiv1.Retry{RequestId: "x"}}}}}, apiv1.ReasonInvalidArgument, "no ULID"},
			{"an incarnation that never was", []*apiv1.FromMember{{Message: &apiv1.FromMember_Resume{Resume: &apiv1.Resume{Incarnation: math.MaxUint64, Cluster: cluster}}}}, apiv1.ReasonMemberExpired, "the incarnation is over"},
			{"incarnation 0", []*apiv1.FromMember{{Message: &apiv1.FromMember_Resume{Resume: &apiv1.Resume{Cluster: cluster}}}}, apiv1.ReasonMemberExpired, "the incarnation is over"},
			{"an incarnation without its cluster", []*apiv1.FromMember{{Message: &apiv1.FromMember_Resume{Resume: &apiv1.Resume{Incarnation: 1}}}}, apiv1.ReasonClusterMismatch, "of cluster " + cluster},
			{"another cluster's", []*apiv1.FromMember{{Message: &apiv1.FromMember_Resume{Resume: &apiv1.Resume{Incarnation: 1, Cluster: "x"}}}}, apiv1.ReasonClusterMismatch, "of cluster " + cluster},
			{"1001 confirmations", []*apiv1.FromMember{good, confirm(held...)}, apiv1.ReasonInvalidArgument, "1001 activations"},
			{"confirmation of nothing", []*apiv1.FromMember{good, confirm(nil)}, apiv1.ReasonInvalidArgument, "the kind is empty"},
			{"confirmation of epoch 0", []*apiv1.FromMember{good, confirm(&apiv1.Held{Kind: "file", Key: "a"})}, apiv1.ReasonInvalidArgument, "the epoch is zero"},
			{"failure of nothing", []*apiv1.FromMember{good, {Message: &apiv1.FromMember_Failed{Failed: &apiv1.Failed{Failures: []*apiv1.Failure{{}}}}}}, apiv1.ReasonInvalidArgument, "the kind is empty"},
			{"1001 that have stopped", []*apiv1.FromMember{good, {Message: &apiv1.FromMember_Released{Released: &apiv1.Released{Held: held[:501], Crashed: make([]*apiv1.Failure, 500)}}}}, apiv1.ReasonInvalidArgument, "1001 activations"},
			{"a crash of nothing", []*apiv1.FromMember{good, {Message: &apiv1.FromMember_Released{Released: &apiv1.Released{Crashed: []*apiv1.Failure{{}}}}}}, apiv1.ReasonInvalidArgument, "the kind is empty"},
			{"1001 failures", []*apiv1.FromMember{good, {Message: &apiv1.FromMember_Failed{Failed: &apiv1.Failed{Failures: make([]*apiv1.Failure, 1001)}}}}, apiv1.ReasonInvalidArgument, "1001 failures"},
		} {
			call, cancel := context.WithCancel(ctx)
			stream, err := api.Session(call)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range tt.messages {
				if err := stream.Send(m); err != nil {
					t.Fatal(err)
				}
			}
			for err == nil {
				_, err = stream.Recv()
			}
			if r, _, _ := apiv1.ReasonOf(err); r != tt.reason || !strings.Contains(status.Convert(err).Message(), tt.text) {
				t.Errorf("%s: %v, want %s and %q", tt.name, err, tt.reason, tt.text)
			}
			cancel()
		}
		// Reports about what others own change nothing.
		p, _, err := client.Place(ctx, file("a"))
		if err != nil {
			t.Fatal(err)
		}
		stream, err := api.Session(ctx)
		if err != nil {
			t.Fatal(err)
		}
		h := &apiv1.Held{Kind: "file", Key: "a", Epoch: uint64(p.Epoch)}
		future := &apiv1.Held{Kind: "file", Key: "a", Epoch: math.MaxUint64}
		crash := &apiv1.Failure{Held: h, Reason: "not mine"}
		for _, m := range []*apiv1.FromMember{
			good, {}, confirm(h), {Message: &apiv1.FromMember_Released{Released: &apiv1.Released{Held: []*apiv1.Held{h}}}}, confirm(future),
			{Message: &apiv1.FromMember_Released{Released: &apiv1.Released{Held: []*apiv1.Held{future}}}},
			{Message: &apiv1.FromMember_Released{Released: &apiv1.Released{Crashed: []*apiv1.Failure{crash}}}},
			{Message: &apiv1.FromMember_Failed{Failed: &apiv1.Failed{Failures: []*apiv1.Failure{crash, {Held: future, Reason: "from the future"}}}}},
		} {
			if err := stream.Send(m); err != nil {
				t.Fatal(err)
			}
		}
		for answers := 0; answers < 5; {
			m, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if o := m.GetOutcome(); o != nil {
				answers++
				if o.Outcomes[0].Ok || o.Outcomes[0].Reason != string(apiv1.ReasonEpochMismatch) {
					t.Errorf("a report about another's: %v", o)
				}
			}
		}
		if q, err := client.Lookup(ctx, file("a")); err != nil || q.Epoch != p.Epoch || q.Member != "m1" {
			t.Errorf("afterwards: %+v, %v", q, err)
		}
		failOthers(ctx, t, c, stream)
	})
}

// failOthers says on a member's stream that what another member is activating has failed: nothing comes of it.
func failOthers(ctx context.Context, t *testing.T, c *raftnodetest.Cluster, stream grpc.BidiStreamingClient[apiv1.FromMember, apiv1.ToMember]) {
	t.Helper()
	api := apiv1.NewMembersClient(c.Dial("client", c.Leader(nil)))
	slow, err := api.Session(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := slow.Send(&apiv1.FromMember{Message: &apiv1.FromMember_Join{Join: &apiv1.Join{Member: &apiv1.Member{Name: "m3", Address: "m3:1", Kinds: []string{"slow"}}}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Recv(); err != nil {
		t.Fatal(err)
	}
	placements := apiv1.NewPlacementsClient(c.Dial("client", c.Leader(nil)))
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := placements.Place(short, &apiv1.PlaceRequest{Kind: "slow", Key: "1"}); err == nil {
		t.Fatal("it is settled, and nobody confirmed it")
	}
	look := func() *apiv1.Placement {
		resp, err := placements.Lookup(ctx, &apiv1.LookupRequest{Kind: "slow", Key: "1", Explain: true})
		if err != nil {
			t.Fatal(err)
		}
		return resp.Placement
	}
	before := look()
	h := &apiv1.Held{Kind: "slow", Key: "1", Epoch: before.Epoch}
	for _, m := range []*apiv1.FromMember{
		{Message: &apiv1.FromMember_Failed{Failed: &apiv1.Failed{Failures: []*apiv1.Failure{{Held: h, Reason: "not mine"}}}}},
		{Message: &apiv1.FromMember_Confirm{Confirm: &apiv1.Confirm{Held: []*apiv1.Held{h}}}},
	} {
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if m.GetOutcome() != nil {
			break
		}
	}
	time.Sleep(100 * time.Millisecond) // reports may overtake each other
	if after := look(); before.Phase != apiv1.Placement_PENDING || after.Phase != before.Phase || after.Epoch != before.Epoch {
		t.Errorf("before: %v, after: %v", before, after)
	}
}
