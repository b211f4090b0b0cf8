package apiv1

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTraced_MethodsOfTheAPI_AndNoStreams(t *testing.T) {
	for method, want := range map[string]bool{
		Placements_Lookup_FullMethodName: true, Locks_AcquireLock_FullMethodName: true, Cluster_Status_FullMethodName: true, Blocks_Block_FullMethodName: true,
		Kinds_SetKind_FullMethodName: true, Sessions_OpenSession_FullMethodName: true, Members_DrainMember_FullMethodName: true,
		Placements_Watch_FullMethodName: false, Members_Session_FullMethodName: false, Snapshots_Save_FullMethodName: false,
		Cluster_Discover_FullMethodName: false, "/berth.peer.v1.Peer/ReadIndex": false, "/grpc.health.v1.Health/Check": false, "": false,
	} {
		if got := Traced(method); got != want {
			t.Errorf("%s: %v", method, got)
		}
	}
}

// A request of any size makes an attribute of a bounded one, which is valid UTF-8.
func TestRequestAttributes_AreBounded(t *testing.T) {
	list := RequestAttributes(&LookupRequest{Kind: strings.Repeat("k", 1<<20), Key: strings.Repeat("ü", 1<<20)})
	if len(list) != 1 || len(list[0].Value.AsString()) > 2*spanBytesMax+1 || !utf8.ValidString(list[0].Value.AsString()) {
		t.Errorf("%d attributes, the first has %d bytes", len(list), len(list[0].Value.AsString()))
	}
	if list := RequestAttributes(&LookupRequest{Kind: "cart", Key: "a/b"}); list[0] != SpanIdentity.String("cart/a/b") {
		t.Errorf("%v", list)
	}
	if list := RequestAttributes(&BatchPlaceRequest{Identities: make([]*Identity, 7)}); len(list) != 1 || list[0] != SpanIdentities.Int(7) {
		t.Errorf("%v", list)
	}
	if list := RequestAttributes(&AcquireLockRequest{Name: "nightly"}); len(list) != 1 || list[0] != SpanName.String("nightly") {
		t.Errorf("%v", list)
	}
}

// What an answer does not have is left out.
func TestResponseAttributes(t *testing.T) {
	if list := ResponseAttributes((*PlaceResponse)(nil)); len(list) != 0 {
		t.Errorf("of nothing: %v", list)
	}
	list := ResponseAttributes(&LookupResponse{Placement: &Placement{Member: "m1", Epoch: 1 << 63}, Read: &Read{ServedBy: "s1", Level: Level_LEASED, Role: Role_FOLLOWER, Term: 3, Index: 9}})
	got := map[string]string{}
	for _, a := range list {
		got[string(a.Key)] = a.Value.String()
	}
	for k, want := range map[string]string{"berth.member": "m1", "berth.epoch": "9223372036854775808", "berth.served_by": "s1", "berth.role": "FOLLOWER", "berth.level": "LEASED", "berth.term": "3", "berth.index": "9"} {
		if got[k] != want {
			t.Errorf("%s is %q, want %q", k, got[k], want)
		}
	}
}
