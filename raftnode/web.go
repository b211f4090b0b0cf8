package raftnode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode/internal/gateway"
)

// openWeb makes the HTTP server: JSON through the gateway, health, metrics.
func (s *serving) openWeb() error {
	conn, err := grpc.NewClient("passthrough:///inner", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStaticStreamWindowSize(innerWindow), grpc.WithStaticConnWindowSize(innerConnWindow),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.inner.DialContext(ctx) }))
	if err != nil {
		return err
	}
	s.gateway = conn
	mux := runtime.NewServeMux(append(s.node.tracing.gateway(),
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &compactJSON{}),
		runtime.WithUnescapingMode(runtime.UnescapingModeAllCharacters),
		runtime.WithErrorHandler(s.writeError),
		runtime.WithRoutingErrorHandler(writeRoutingError),
		runtime.WithDisablePathLengthFallback(), // a POST is never taken for another method
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
	)...)
	ctx := context.Background()
	for _, register := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		gateway.RegisterPlacementsHandler, gateway.RegisterMembersHandler, gateway.RegisterKindsHandler, gateway.RegisterBlocksHandler,
		gateway.RegisterSessionsHandler, gateway.RegisterLocksHandler, gateway.RegisterClusterHandler,
	} {
		if err := register(ctx, mux, conn); err != nil {
			return err
		}
	}
	s.web = &http.Server{
		Handler: s.route(mux), ReadHeaderTimeout: httpHeaderWait, IdleTimeout: httpIdle, MaxHeaderBytes: headerBytesMax,
		ErrorLog: s.node.config.Logger.Named("http").StandardLogger(nil),
	}
	return nil
}

// route finds the handler. It does not clean paths, as http.ServeMux does: a key may hold slashes in a row.
func (s *serving) route(api *runtime.ServeMux) http.Handler {
	metrics := s.node.metrics.handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Berth-Served-By", s.node.config.Name)
		if cluster := s.node.Cluster(); cluster != "" {
			w.Header().Set(apiv1.ClusterHeader, cluster)
		}
		if err := takeRequest(w, r); err != nil {
			writeAPIError(api, w, r, err)
			return
		}
		if err := s.node.api.CheckCluster(r.Header.Get(apiv1.ClusterHeader)); err != nil && strings.HasPrefix(r.URL.Path, "/v1/") {
			writeAPIError(api, w, r, err)
			return
		}
		switch path := r.URL.Path; {
		case path == "/livez":
			s.livez(w)
		case path == "/readyz":
			s.readyz(w, r)
		case path == "/metrics":
			metrics.ServeHTTP(w, r)
		case path == "/v1/snapshot" && r.Method == http.MethodGet:
			s.snapshot(api, w, r)
		case path == "/v1/snapshot":
			writeAPIError(api, w, r, routingError(r, http.StatusMethodNotAllowed))
		case strings.HasPrefix(path, "/v1/"):
			if err := wrongParameter(r); err != nil {
				writeAPIError(api, w, r, err)
				return
			}
			if !s.slashKey(api, w, r) {
				api.ServeHTTP(w, r)
			}
		case path == "/":
			s.index(w)
		default:
			http.Error(w, "there is nothing here; try /v1/cluster, /readyz?verbose or /metrics", http.StatusNotFound)
		}
	})
}

// takeRequest reads the body whole, within its limits of size and of time, so that nobody holds up the server by a body
// that never comes; and it refuses texts that cannot be names.
func takeRequest(w http.ResponseWriter, r *http.Request) error {
	query, err := url.QueryUnescape(r.URL.RawQuery)
	if !utf8.ValidString(r.URL.Path) || err == nil && !utf8.ValidString(query) {
		return httpError(http.StatusBadRequest, "the path is not valid UTF-8")
	}
	if r.ContentLength == 0 {
		return nil
	}
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Now().Add(httpBodyWait))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, httpBodyBytesMax))
	_ = connection.SetReadDeadline(time.Time{})
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return httpError(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", large.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return httpError(http.StatusRequestTimeout, "the body did not come within %v", httpBodyWait)
	case err != nil:
		return httpError(http.StatusBadRequest, "read body: %v", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// wrongParameter is an error for a parameter of the query that the call has not: a filter with a slip of the pen would
// be none.
func wrongParameter(r *http.Request) error {
	var fields protoreflect.FieldDescriptors
	switch rest, ok := strings.CutPrefix(r.URL.Path, "/v1/placements"); {
	case ok && rest == "" && r.Method == http.MethodGet:
		fields = (&apiv1.ListRequest{}).ProtoReflect().Descriptor().Fields()
	case ok && rest == ":watch" && r.Method == http.MethodGet:
		fields = (&apiv1.WatchRequest{}).ProtoReflect().Descriptor().Fields()
	case ok && strings.HasPrefix(rest, "/") && r.Method == http.MethodGet:
		fields = (&apiv1.LookupRequest{}).ProtoReflect().Descriptor().Fields()
	case strings.HasPrefix(r.URL.Path, "/v1/history/") && r.Method == http.MethodGet:
		fields = (&apiv1.HistoryRequest{}).ProtoReflect().Descriptor().Fields()
	case r.URL.Path == "/v1/kinds" && r.Method == http.MethodGet:
		fields = (&apiv1.ListKindsRequest{}).ProtoReflect().Descriptor().Fields()
	case r.URL.Path == "/v1/locks" && r.Method == http.MethodGet:
		fields = (&apiv1.ListLocksRequest{}).ProtoReflect().Descriptor().Fields()
	case r.URL.Path == "/v1/sessions" && r.Method == http.MethodGet:
		fields = (&apiv1.ListSessionsRequest{}).ProtoReflect().Descriptor().Fields()
	case r.URL.Path == "/v1/blocks" && r.Method == http.MethodGet:
		fields = (&apiv1.ListBlocksRequest{}).ProtoReflect().Descriptor().Fields()
	}
	for name := range r.URL.Query() {
		if fields == nil || fields.ByJSONName(name) == nil && fields.ByName(protoreflect.Name(name)) == nil {
			return httpError(http.StatusBadRequest, "there is no parameter %.80q", name)
		}
	}
	return nil
}

// httpError is the error for a request that breaks a rule of HTTP's, with the status that HTTP has for it.
func httpError(code int, format string, args ...any) error {
	return &runtime.HTTPStatusError{HTTPStatus: code, Err: apiv1.Status(apiv1.ReasonInvalidArgument, fmt.Sprintf(format, args...), nil, 0).Err()}
}

func routingError(r *http.Request, code int) error {
	return httpError(code, "%s %.200s: %s", r.Method, r.URL.Path, strings.ToLower(http.StatusText(code)))
}

func writeRoutingError(_ context.Context, mux *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
	writeAPIError(mux, w, r, routingError(r, code))
}

func writeAPIError(mux *runtime.ServeMux, w http.ResponseWriter, r *http.Request, err error) {
	_, m := runtime.MarshalerForRequest(mux, r)
	runtime.HTTPError(r.Context(), mux, m, w, r, err)
}

func (s *serving) index(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("berth server " + s.node.config.Name + "\n\n" +
		"GET  /v1/placements/KIND/KEY          who owns it\n" +
		"POST /v1/placements/KIND/KEY:place    give it an owner\n" +
		"GET  /v1/placements                   all placements, page by page\n" +
		"GET  /v1/placements:watch             what happens, as it happens\n" +
		"GET  /v1/history/KIND/KEY             what became of it lately\n" +
		"GET  /v1/members                      who hosts\n" +
		"GET  /v1/kinds                        the kinds, and how they are placed\n" +
		"GET  /v1/locks                        the locks: who holds them, who waits\n" +
		"GET  /v1/cluster                      the servers\n" +
		"GET  /v1/snapshot                     the whole state, as a file\n" +
		"GET  /livez /readyz?verbose /metrics\n"))
}

// snapshot streams the state as a file.
func (s *serving) snapshot(mux *runtime.ServeMux, w http.ResponseWriter, r *http.Request) {
	v, err := s.node.api.View(r.Context())
	if err != nil {
		writeAPIError(mux, w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="snapshot.berth"`)
	if err := v.Encode(w); err != nil {
		panic(http.ErrAbortHandler) // the client must see that the file is cut
	}
}

// writeError adds what HTTP clients look at to the gateway's own form of an error. What the gateway itself refuses, before
// the API sees it, breaks a rule.
func (s *serving) writeError(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	var form *runtime.HTTPStatusError
	cause := err
	if errors.As(err, &form) {
		cause = form.Err
	}
	reason, _, retry := apiv1.ReasonOf(cause)
	if reason == "" && (form != nil || status.Code(err) == codes.InvalidArgument) {
		reason = apiv1.ReasonInvalidArgument
		typed := apiv1.Status(reason, status.Convert(cause).Message(), nil, 0).Err()
		if err = typed; form != nil {
			err = &runtime.HTTPStatusError{HTTPStatus: form.HTTPStatus, Err: typed}
		}
	}
	if reason != "" {
		w.Header().Set("Berth-Reason", string(reason))
		if retry > 0 {
			w.Header().Set("Retry-After", "1") // whole seconds, as HTTP has it
		}
	}
	runtime.DefaultHTTPErrorHandler(ctx, mux, m, w, r, err)
}
