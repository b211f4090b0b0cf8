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

// slashKey answers POST /v1/placements/KIND/KEY:VERB and /v1/locks/NAME:VERB for a key or a name that ends in a slash, which
// the gateway's patterns cannot express: to them the last part of such a path is a verb of nothing. It says whether the
// request was one of these.
func (s *serving) slashKey(mux *runtime.ServeMux, w http.ResponseWriter, r *http.Request) bool {
	at := strings.LastIndex(r.URL.Path, "/:")
	if at < 0 || r.Method != http.MethodPost {
		return false
	}
	path, verb := r.URL.Path[:at+1], r.URL.Path[at+2:]
	var req proto.Message
	var call func(context.Context) (proto.Message, error)
	if rest, ok := strings.CutPrefix(path, "/v1/placements/"); ok {
		kind, key, _ := strings.Cut(rest, "/")
		if key == "" {
			return false
		}
		req, call = s.slashPlacement(kind, key, verb)
	} else if name, ok := strings.CutPrefix(path, "/v1/locks/"); ok && name != "" {
		req, call = s.slashLock(name, verb)
	}
	if req == nil {
		return false
	}
	in, out := runtime.MarshalerForRequest(mux, r)
	ctx, err := runtime.AnnotateContext(r.Context(), mux, r, "/berth.v1/"+verb)
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

// slashPlacement is the request of a verb on an identity, to be filled in from the body, and the call; nil for another verb.
func (s *serving) slashPlacement(kind, key, verb string) (proto.Message, func(context.Context) (proto.Message, error)) {
	client := apiv1.NewPlacementsClient(s.gateway)
	switch verb {
	case "place":
		m := &apiv1.PlaceRequest{}
		return m, func(ctx context.Context) (proto.Message, error) {
			m.Kind, m.Key = kind, key
			return client.Place(ctx, m)
		}
	case "remove":
		m := &apiv1.RemoveRequest{}
		return m, func(ctx context.Context) (proto.Message, error) {
			m.Kind, m.Key = kind, key
			return client.Remove(ctx, m)
		}
	case "move":
		m := &apiv1.MoveRequest{}
		return m, func(ctx context.Context) (proto.Message, error) {
			m.Kind, m.Key = kind, key
			return client.Move(ctx, m)
		}
	}
	return nil, nil
}

// slashLock is slashPlacement for the verbs on a lock.
func (s *serving) slashLock(name, verb string) (proto.Message, func(context.Context) (proto.Message, error)) {
	client := apiv1.NewLocksClient(s.gateway)
	switch verb {
	case "acquire":
		m := &apiv1.AcquireLockRequest{}
		return m, func(ctx context.Context) (proto.Message, error) { m.Name = name; return client.AcquireLock(ctx, m) }
	case "renew":
		m := &apiv1.RenewLockRequest{}
		return m, func(ctx context.Context) (proto.Message, error) { m.Name = name; return client.RenewLock(ctx, m) }
	case "release":
		m := &apiv1.ReleaseLockRequest{}
		return m, func(ctx context.Context) (proto.Message, error) { m.Name = name; return client.ReleaseLock(ctx, m) }
	case "break":
		m := &apiv1.BreakLockRequest{}
		return m, func(ctx context.Context) (proto.Message, error) { m.Name = name; return client.BreakLock(ctx, m) }
	}
	return nil, nil
}
