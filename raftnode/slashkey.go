package raftnode

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/proto"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// slashKey answers POST /v1/placements/KIND/KEY:VERB for a key that ends in a slash, which the gateway's patterns cannot
// express: to them the last part of such a path is a verb of nothing. It says whether the request was one of these.
func (s *serving) slashKey(mux *runtime.ServeMux, w http.ResponseWriter, r *http.Request) bool {
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/placements/")
	if !ok || r.Method != http.MethodPost {
		return false
	}
	kind, key, _ := strings.Cut(path, "/")
	at := strings.LastIndex(key, "/:")
	if at < 0 {
		return false
	}
	key, verb := key[:at+1], key[at+2:]
	client := apiv1.NewPlacementsClient(s.gateway)
	var req proto.Message
	var call func(context.Context) (proto.Message, error)
	switch verb {
	case "place":
		m := &apiv1.PlaceRequest{}
		req, call = m, func(ctx context.Context) (proto.Message, error) {
			m.Kind, m.Key = kind, key
			return client.Place(ctx, m)
		}
	case "remove":
		m := &apiv1.RemoveRequest{}
		req, call = m, func(ctx context.Context) (proto.Message, error) {
			m.Kind, m.Key = kind, key
			return client.Remove(ctx, m)
		}
	default:
		return false
	}
	in, out := runtime.MarshalerForRequest(mux, r)
	ctx, err := runtime.AnnotateContext(r.Context(), mux, r, "/berth.v1.Placements/"+verb)
	if err == nil {
		err = in.NewDecoder(r.Body).Decode(req)
		if errors.Is(err, io.EOF) {
			err = nil // no body is an empty one
		}
		if err != nil {
			err = httpError(http.StatusBadRequest, "%v", err)
		}
	}
	var resp proto.Message
	if err == nil {
		resp, err = call(ctx)
	}
	if err != nil {
		runtime.HTTPError(ctx, mux, out, w, r, err)
		return true
	}
	runtime.ForwardResponseMessage(runtime.NewServerMetadataContext(ctx, runtime.ServerMetadata{}), mux, out, w, r, resp)
	return true
}
