package apiv1

import (
	"strconv"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/grpc"
)

// The attributes of the spans that clients and servers make of a call.
const (
	// SpanIdentity is the identity that is asked for, kind/key, and SpanIdentities how many a batch has.
	SpanIdentity   = attribute.Key("berth.identity")
	SpanIdentities = attribute.Key("berth.identities")
	// SpanName is what else the request names: a lock, a member, a kind or a server.
	SpanName = attribute.Key("berth.name")
	// SpanMember and SpanEpoch are of the placement that was answered.
	SpanMember = attribute.Key("berth.member")
	SpanEpoch  = attribute.Key("berth.epoch")
	// SpanServedBy, SpanRole, SpanLevel, SpanTerm and SpanIndex are the proof of the answer (Read). Term and index are also of
	// the log entry that carried a change.
	SpanServedBy = attribute.Key("berth.served_by")
	SpanRole     = attribute.Key("berth.role")
	SpanLevel    = attribute.Key("berth.level")
	SpanTerm     = attribute.Key("berth.term")
	SpanIndex    = attribute.Key("berth.index")
	// SpanReason is why the call failed: a Reason, or the code of an error that has none.
	SpanReason = attribute.Key("berth.reason")
)

// spanBytesMax is where the value of an attribute is cut: the longest identity is shorter, and what breaks the rules of
// identities may have any length.
const spanBytesMax = 1024

// RequestAttributes are what a span says of a request.
func RequestAttributes(request any) []attribute.KeyValue {
	var list []attribute.KeyValue
	if r, ok := request.(interface {
		GetKind() string
		GetKey() string
	}); ok {
		list = append(list, SpanIdentity.String(cut(r.GetKind())+"/"+cut(r.GetKey())))
	}
	if r, ok := request.(interface{ GetIdentities() []*Identity }); ok {
		list = append(list, SpanIdentities.Int(len(r.GetIdentities())))
	}
	if r, ok := request.(interface{ GetName() string }); ok {
		list = append(list, SpanName.String(cut(r.GetName())))
	}
	return list
}

// ResponseAttributes are what a span says of a response.
func ResponseAttributes(response any) []attribute.KeyValue {
	var list []attribute.KeyValue
	if r, ok := response.(interface{ GetPlacement() *Placement }); ok && r.GetPlacement().GetMember() != "" {
		p := r.GetPlacement()
		list = append(list, SpanMember.String(p.Member), EpochAttribute(p.Epoch))
	}
	if r, ok := response.(interface{ GetRead() *Read }); ok && r.GetRead() != nil {
		p := r.GetRead()
		list = append(list, SpanServedBy.String(p.ServedBy), SpanRole.String(p.Role.String()), SpanLevel.String(p.Level.String()),
			SpanTerm.Int64(int64(p.Term)), SpanIndex.Int64(int64(p.Index)))
	}
	return list
}

// EpochAttribute is an epoch as spans have it: a text, as in JSON, since it may have all its 64 bits.
func EpochAttribute(epoch uint64) attribute.KeyValue {
	return SpanEpoch.String(strconv.FormatUint(epoch, 10))
}

// cut bounds a text, between two characters.
func cut(s string) string {
	if len(s) <= spanBytesMax {
		return s
	}
	return strings.ToValidUTF8(s[:spanBytesMax], "")
}

// Traced says whether there are spans of a method, by its full name: it is one of the API, and no stream, which lasts for as long as its
// client does, nor one that clients call by themselves.
func Traced(method string) bool { return traced()[method] }

var traced = sync.OnceValue(func() map[string]bool {
	methods := map[string]bool{}
	for _, d := range []*grpc.ServiceDesc{
		&Placements_ServiceDesc, &Members_ServiceDesc, &Kinds_ServiceDesc, &Sessions_ServiceDesc, &Locks_ServiceDesc, &Blocks_ServiceDesc,
		&Cluster_ServiceDesc, &Snapshots_ServiceDesc,
	} {
		for _, m := range d.Methods {
			methods["/"+d.ServiceName+"/"+m.MethodName] = true
		}
	}
	delete(methods, Cluster_Discover_FullMethodName)
	return methods
})
