package raftnode_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// rawCodec sends and receives bytes as they are.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (rawCodec) Unmarshal(b mem.BufferSlice, v any) error {
	*v.(*[]byte) = b.Materialize()
	return nil
}

// unaryMethods are the calls of the API that have one request and one answer, in the order of the contract.
func unaryMethods() (list []protoreflect.MethodDescriptor) {
	services := apiv1.File_lookupclient_apiv1_berth_proto.Services()
	for i := range services.Len() {
		methods := services.Get(i).Methods()
		for j := range methods.Len() {
			if m := methods.Get(j); !m.IsStreamingClient() && !m.IsStreamingServer() {
				list = append(list, m)
			}
		}
	}
	return list
}

// memoryServer is one server on a network in memory, with a member m1 that hosts the kind file.
func memoryServer(f *testing.F) (*raftnodetest.Network, *grpc.ClientConn) {
	network := raftnodetest.NewNetwork()
	n, err := raftnode.Open(raftnode.Config{
		Name: "s1", DataDir: f.TempDir(), RaftAddress: "s1:7421", GRPCAddress: "s1:7420", HTTPAddress: "s1:7422", Insecure: true,
		Seams: raftnode.Seams{Network: network.Host("s1"), KeepProcess: true},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := n.Close(context.Background()); err != nil {
			f.Error(err)
		}
	})
	client, err := lookupclient.Open(lookupclient.Config{Servers: []string{"s1:7420"}, Timeout: 20 * time.Second, Dial: network.Host("m1").Dial})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = client.Close() })
	m, err := client.Join(context.Background(), lookupclient.MemberConfig{Name: "m1", Address: "m1:1", Kinds: map[string]lookupclient.Kind{"file": {}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(m.Close)
	conn, err := grpc.NewClient("passthrough:///s1:7420", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(network.Host("client").Dial))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = conn.Close() })
	return network, conn
}

// typed says whether an error has a reason of the closed list, with the code that belongs to it.
func typed(err error) bool {
	r, _, _ := apiv1.ReasonOf(err)
	info, ok := r.Info()
	return ok && info.Code == status.Code(err) && r != apiv1.ReasonInternal
}

// FuzzRequests calls every call of the API with any bytes for a request: the server goes on, and whatever fails says why.
func FuzzRequests(f *testing.F) {
	methods := unaryMethods()
	const id = "01JD3VXK5N8Y2T3B4C5D6E7F8G"
	for i, m := range methods {
		f.Add(byte(i), []byte{})
		f.Add(byte(i), []byte("\x0a\x01\xff"))
		for _, req := range []proto.Message{
			&apiv1.LookupRequest{Kind: "file", Key: "a", Level: apiv1.Level_LEADER},
			&apiv1.BatchLookupRequest{Identities: []*apiv1.Identity{{Kind: "file", Key: "a"}, {}}},
			&apiv1.PlaceRequest{Kind: "file", Key: "a", Retry: &apiv1.Retry{RequestId: id, Again: true, KnownIndex: 1 << 63}},
			&apiv1.BatchPlaceRequest{Identities: []*apiv1.Identity{{Kind: "file", Key: "b"}, {Kind: "cart"}}, Retry: &apiv1.Retry{RequestId: id}},
			&apiv1.RemoveRequest{Kind: "file", Key: "a", Epoch: 1 << 63, Wait: &durationpb.Duration{Seconds: -1, Nanos: 1 << 30}},
			&apiv1.ListRequest{Kind: "file", Phase: 3, PageSize: 1, PageToken: strings.Repeat("A", 38)},
			&apiv1.ListKindsRequest{PageSize: 1, PageToken: "file"},
			&apiv1.SetKindRequest{Name: "file", Strategy: "least-loaded", Attempts: 17, Retry: &apiv1.Retry{RequestId: id}},
			&apiv1.SetKindRequest{Name: "file", Strategy: "none"},
			&apiv1.PlaceRequest{Kind: "file", Key: "a", Near: &apiv1.Near{Member: "m1", Label: "zone", Value: "a"}},
			&apiv1.SetKindRequest{Name: "file", Settle: "on-place", Require: map[string]string{"zone": "a"}, MemberCapacity: proto.Uint32(1), ConfirmWithin: &durationpb.Duration{Nanos: -1}},
			&apiv1.MoveRequest{Kind: "file", Key: "a", To: "m1", Epoch: 1 << 63, Wait: &durationpb.Duration{}},
			&apiv1.DrainMemberRequest{Name: "m1", Off: true, Retry: &apiv1.Retry{RequestId: id}},
			&apiv1.ExpireMemberRequest{Name: "m2", Incarnations: []uint64{1, 1 << 63}, Wait: &durationpb.Duration{}},
			&apiv1.BlockRequest{Kind: "file", Key: "c", Reason: "r", By: "b", Lasts: &durationpb.Duration{Seconds: 1 << 40}},
			&apiv1.BlockRequest{Member: "m3", Retry: &apiv1.Retry{RequestId: id}},
			&apiv1.UnblockRequest{Member: "m3", Kind: "file"},
			&apiv1.ListBlocksRequest{PageSize: 1, PageToken: "bWEx"},
			&apiv1.RemoveServerRequest{Name: "s2"},
			&apiv1.TransferLeadershipRequest{To: "s1"},
		} {
			if req.ProtoReflect().Descriptor() == m.Input() {
				b, err := proto.Marshal(req)
				if err != nil {
					f.Fatal(err)
				}
				f.Add(byte(i), b)
			}
		}
	}
	_, conn := memoryServer(f)
	f.Fuzz(func(t *testing.T, method byte, request []byte) {
		m := methods[int(method)%len(methods)]
		name := fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // a request may wait for what never comes
		defer cancel()
		var answer []byte
		err := conn.Invoke(ctx, name, request, &answer, grpc.ForceCodecV2(rawCodec{}))
		input, lookupErr := protoregistry.GlobalTypes.FindMessageByName(m.Input().FullName())
		output, outputErr := protoregistry.GlobalTypes.FindMessageByName(m.Output().FullName())
		if err := errors.Join(lookupErr, outputErr); err != nil {
			t.Fatal(err)
		}
		in := input.New().Interface()
		switch badRequest := proto.Unmarshal(request, in) != nil; {
		case badRequest:
			if r, _, _ := apiv1.ReasonOf(err); r != apiv1.ReasonInvalidArgument {
				t.Errorf("%s with bytes that are no request: %v", name, err)
			}
		case err == nil:
			if err := proto.Unmarshal(answer, output.New().Interface()); err != nil {
				t.Errorf("%s: the answer is none: %v", name, err)
			}
		case !typed(err):
			t.Errorf("%s %v: %v has no reason", name, in, err)
		}
	})
}

// FuzzSession lets a member say anything after it has joined.
func FuzzSession(f *testing.F) {
	for _, m := range []*apiv1.FromMember{
		{}, {Message: &apiv1.FromMember_Keepalive{Keepalive: &apiv1.Keepalive{Nonce: 1}}},
		{Message: &apiv1.FromMember_Confirm{Confirm: &apiv1.Confirm{Held: []*apiv1.Held{{Kind: "file", Key: "a", Epoch: 1}}}}},
		{Message: &apiv1.FromMember_Released{Released: &apiv1.Released{Held: []*apiv1.Held{{Kind: "file", Key: "a", Epoch: 1}}}}},
		{Message: &apiv1.FromMember_Failed{Failed: &apiv1.Failed{Failures: []*apiv1.Failure{{Held: &apiv1.Held{Kind: "file", Key: "a", Epoch: 1}, Reason: "x"}, {}}}}},
		{Message: &apiv1.FromMember_Drain{Drain: &apiv1.Drain{}}}, {Message: &apiv1.FromMember_Leave{Leave: &apiv1.Leave{}}},
		{Message: &apiv1.FromMember_Resume{Resume: &apiv1.Resume{Incarnation: 1}}}, {Message: &apiv1.FromMember_Join{Join: &apiv1.Join{}}},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, false)
		f.Add(b, true)
	}
	_, conn := memoryServer(f)
	hello, err := proto.Marshal(&apiv1.FromMember{Message: &apiv1.FromMember_Join{Join: &apiv1.Join{Member: &apiv1.Member{Name: "m2", Address: "m2:1", Kinds: []string{"cart"}}}}})
	if err != nil {
		f.Fatal(err)
	}
	leave, err := proto.Marshal(&apiv1.FromMember{Message: &apiv1.FromMember_Leave{Leave: &apiv1.Leave{}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, message []byte, first bool) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // a request may wait for what never comes
		defer cancel()
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, apiv1.Members_Session_FullMethodName, grpc.ForceCodecV2(rawCodec{}))
		if err != nil {
			t.Fatal(err)
		}
		if !first {
			_ = stream.SendMsg(hello)
		}
		_ = stream.SendMsg(message)
		_ = stream.SendMsg(leave)
		_ = stream.CloseSend()
		for err == nil {
			var answer []byte
			if err = stream.RecvMsg(&answer); err == nil {
				err = proto.Unmarshal(answer, &apiv1.ToMember{})
			}
		}
		badMessage := proto.Unmarshal(message, &apiv1.FromMember{}) != nil
		if errors.Is(err, io.EOF) || typed(err) || badMessage && status.Code(err) == codes.Internal {
			return
		}
		t.Errorf("%q: %v has no reason", message, err)
	})
}

// FuzzPaths asks the HTTP port for anything: it answers, and nothing that a client says is the server's mistake.
func FuzzPaths(f *testing.F) {
	for _, path := range []string{
		"/", "/v1/placements/file/a", "/v1/placements/file/a:place", "/v1/placements/file/%ff", "/v1/placements?pageSize=x&kind=%zz", "/v1/cluster/servers/x",
		"/v1/placements:batchLookup", "/v1//", "/readyz?exclude=lookup&verbose", "//v1/members", "/v1/placements/file/%2F%2f:remove", "/v1/cluster:transferLeadership",
		"/v1/blocks", "/v1/blocks:remove", "/v1/members/m1:drain", "/v1/members/%00:expire", "/v1/placements/file/a:move",
	} {
		f.Add("GET", path, "")
		f.Add("POST", path, `{"identities":[{"kind":"file","key":"a"}]}`)
		f.Add("DELETE", path, "{")
	}
	network, _ := memoryServer(f)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) { // real time
		conn, err := network.Host("client").Dial(f.Context(), "s1:7422")
		if err != nil {
			f.Fatal(err)
		}
		if status, err := request(conn, "GET /readyz HTTP/1.1\r\nHost: s1\r\nConnection: close\r\n\r\n", "GET"); err == nil && status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			f.Fatal("the server is not ready")
		}
	}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		if _, err := url.ParseRequestURI(path); err != nil || strings.ContainsAny(path, " \r\n") || path[0] != '/' || len(path) > 4<<10 || len(body) > 64<<10 {
			return // no request at all
		}
		for _, r := range method {
			if r < 'A' || r > 'Z' {
				return
			}
		}
		if method == "" || method == "PRI" || method == "CONNECT" || len(method) > 64 {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // a request may wait for what never comes
		defer cancel()
		conn, err := network.Host("client").Dial(ctx, "s1:7422")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		status, err := request(conn, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: s1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body), method)
		if err != nil || status >= 500 {
			t.Errorf("%q %q %q: %d, %v", method, path, body, status, err)
		}
	})
}

// request sends one request and reads its answer.
func request(conn net.Conn, text, method string) (int, error) {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(conn, text) // as far as the server reads
	}()
	defer func() { <-sent }()
	defer conn.Close()
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}
