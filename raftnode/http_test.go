package raftnode_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
	"github.com/seed13d31b7f/berth/snapshot"
)

// tcpServer starts a server on ports of this machine that the system chooses.
func tcpServer(t *testing.T, name string, join ...string) *raftnode.Node {
	t.Helper()
	n, err := raftnode.Open(raftnode.Config{
		Name: name, DataDir: t.TempDir(), RaftAddress: "127.0.0.1:0", GRPCAddress: "127.0.0.1:0", HTTPAddress: "127.0.0.1:0", Join: join,
		Version: "v1.2.3", Seams: raftnode.Seams{KeepProcess: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Errorf("close %s: %v", name, err)
		}
	})
	return n
}

// hostFiles makes a member m1 that hosts the kind file. dial is nil for TCP. The member ends when the returned function
// is called.
func hostFiles(t *testing.T, dial func(context.Context, string) (net.Conn, error), now func() time.Duration, servers ...string) (*lookupclient.Client, *lookupclient.Member, func()) {
	t.Helper()
	c, err := lookupclient.Open(lookupclient.Config{Servers: servers, Timeout: 20 * time.Second, Dial: dial})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	m, err := c.Join(ctx, lookupclient.MemberConfig{
		Name: "m1", Address: "m1.example:9000", Kinds: map[string]lookupclient.Kind{"file": {}}, Labels: map[string]string{"zone": "a"}, Now: now,
	})
	if err != nil {
		t.Fatalf("join: %v", err)
	}
	return c, m, func() {
		m.Close()
		_ = c.Close()
	}
}

// web calls the HTTP port of one server.
type web struct {
	t      *testing.T
	client *http.Client
	base   string
}

func tcpWeb(t *testing.T, n *raftnode.Node) *web {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &web{t, &http.Client{Transport: transport}, "http://" + n.HTTPAddr()}
}

// memoryWeb calls the HTTP port of a server in virtual time. Each call has a connection of its own.
func memoryWeb(t *testing.T, c *raftnodetest.Cluster, s *raftnodetest.Server) *web {
	dial := func(ctx context.Context, _, a string) (net.Conn, error) { return c.Network.Host("client").Dial(ctx, a) }
	return &web{t, &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}, "http://" + s.Host + ":7422"}
}

// answer is what came of one call.
type answer struct {
	t      *testing.T
	call   string
	status int
	header http.Header
	body   []byte
}

func (w *web) call(method, path, body string, headers ...string) answer {
	w.t.Helper()
	req, err := http.NewRequest(method, w.base+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := w.client.Do(req)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{w.t, fmt.Sprintf("%s %.200s", method, path), resp.StatusCode, resp.Header, b}
}

func (w *web) get(path string) answer { w.t.Helper(); return w.call("GET", path, "") }

// ok wants the status 200 and returns the JSON, in which numbers are kept as they are written.
func (a answer) ok() map[string]any {
	a.t.Helper()
	if a.status != http.StatusOK {
		a.t.Errorf("%s: status %d: %s", a.call, a.status, a.body)
	}
	return a.json()
}

func (a answer) json() map[string]any {
	a.t.Helper()
	out := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		a.t.Errorf("%s: %q is not JSON: %v", a.call, a.body, err)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		a.t.Errorf("%s: content type %q", a.call, got)
	}
	return out
}

// failed wants a status and a reason, in the body and in the header, and returns the message and the metadata.
func (a answer) failed(status int, reason apiv1.Reason) (message string, metadata map[string]any) {
	a.t.Helper()
	out := a.json()
	message, _ = out["message"].(string)
	found := ""
	details, _ := out["details"].([]any)
	for _, d := range details {
		d, _ := d.(map[string]any)
		if d["@type"] == "type.googleapis.com/google.rpc.ErrorInfo" && d["domain"] == apiv1.ErrorDomain {
			found, _ = d["reason"].(string)
			metadata, _ = d["metadata"].(map[string]any)
		}
	}
	if a.status != status || found != string(reason) || a.header.Get("Berth-Reason") != string(reason) || message == "" {
		a.t.Errorf("%s: status %d, reason %q, header %q; want %d, %s: %s", a.call, a.status, found, a.header.Get("Berth-Reason"), status, reason, a.body)
	}
	return message, metadata
}

// at follows names into JSON; a name that is a number counts in a list.
func at(v any, path ...string) any {
	for _, p := range path {
		switch x := v.(type) {
		case map[string]any:
			v = x[p]
		case []any:
			i, err := strconv.Atoi(p)
			if err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

// positive says whether a JSON value is a string that holds a number above zero.
func positive(v any) bool {
	s, ok := v.(string)
	n, err := strconv.ParseUint(s, 10, 64)
	return ok && err == nil && n > 0
}

func (w *web) proof(a answer, servedBy, role, level string) {
	w.t.Helper()
	r := at(a.json(), "read")
	if at(r, "servedBy") != servedBy || at(r, "role") != role || at(r, "level") != level || !positive(at(r, "term")) || !positive(at(r, "index")) {
		w.t.Errorf("%s: proof %v, want %s, %s, %s and numbers above zero as strings", a.call, r, servedBy, role, level)
	}
}

func TestHTTP_Placement_PlacedLookedUpRemoved(t *testing.T) {
	n := tcpServer(t, "s1")
	c, _, leave := hostFiles(t, nil, nil, n.GRPCAddr())
	defer leave()
	w := tcpWeb(t, n)
	const path = "/v1/placements/file/src/fmt/print.go"

	a := w.get(path)
	if _, data := a.failed(http.StatusNotFound, apiv1.ReasonNotPlaced); data["kind"] != "file" || data["key"] != "src/fmt/print.go" {
		t.Errorf("the error names %v", data)
	}
	if a.header.Get("Berth-Served-By") != "s1" || a.header.Get("Retry-After") != "" {
		t.Errorf("headers of an error that trying again does not better: %v", a.header)
	}

	a = w.call("POST", path+":place", "")
	if p := at(a.ok(), "placement"); at(p, "kind") != "file" || at(p, "key") != "src/fmt/print.go" || at(p, "phase") != "SETTLED" || at(p, "member") != "m1" ||
		at(p, "address") != "m1.example:9000" || !positive(at(p, "epoch")) || !positive(at(p, "incarnation")) || at(a.json(), "created") != true {
		t.Errorf("placed: %s", a.body)
	}
	w.proof(a, "s1", "LEADER", "LEADER")
	epoch := at(a.json(), "placement", "epoch")

	a = w.get(path)
	if at(a.ok(), "placement", "epoch") != epoch || at(a.json(), "placement", "draining") != nil {
		t.Errorf("looked up: %s, want the epoch %v and no field that is not set", a.body, epoch)
	}
	for _, level := range []string{"LEASED", "LEADER", "STALE"} {
		w.proof(w.get(path+"?level="+level), "s1", "LEADER", level)
	}
	w.get(path + "?level=2").ok()
	w.get(path + "?level=STALE&maxStaleness=5s&minIndex=1").ok()
	w.get(path+"?maxStaleness=5s").failed(http.StatusBadRequest, apiv1.ReasonInvalidArgument)
	w.get(path+"?level=7").failed(http.StatusBadRequest, apiv1.ReasonInvalidArgument)

	// Placing again finds what is there. The form type is what curl sends with -d.
	a = w.call("POST", path+":place", "{}", "Content-Type", "application/x-www-form-urlencoded")
	if at(a.ok(), "created") != nil || at(a.json(), "placement", "epoch") != epoch {
		t.Errorf("placed again: %s", a.body)
	}

	_, data := w.call("POST", path+":remove", `{"epoch":"1"}`).failed(http.StatusConflict, apiv1.ReasonEpochMismatch)
	if data["epoch"] != epoch || data["member"] != "m1" {
		t.Errorf("the error names %v, want the epoch %v and m1", data, epoch)
	}
	a = w.call("POST", path+":remove", fmt.Sprintf(`{"epoch":%q,"wait":"10s"}`, epoch))
	if at(a.ok(), "done") != true {
		t.Errorf("removed: %s", a.body)
	}
	w.proof(a, "s1", "LEADER", "LEADER")
	w.get(path).failed(http.StatusNotFound, apiv1.ReasonNotPlaced)
	w.call("POST", path+":remove", "").failed(http.StatusNotFound, apiv1.ReasonNotPlaced)

	// One request is carried out once, however often it is asked for.
	const retry = `{"retry":{"requestId":"01JD3VXK5N8Y2T3B4C5D6E7F8G"}}`
	first := w.call("POST", path+":place", retry)
	second := w.call("POST", path+":place", retry)
	if at(first.ok(), "created") != true || at(second.ok(), "created") != true || at(first.json(), "placement", "epoch") != at(second.json(), "placement", "epoch") {
		t.Errorf("one request twice: %s and %s", first.body, second.body)
	}
	if p, err := c.Lookup(context.Background(), placement.Identity{Kind: "file", Key: "src/fmt/print.go"}); err != nil || fmt.Sprint(uint64(p.Epoch)) != at(first.json(), "placement", "epoch") {
		t.Errorf("by gRPC: %+v, %v", p, err)
	}
}

func TestHTTP_Keys_AreTheBytesOfThePath(t *testing.T) {
	n := tcpServer(t, "s1")
	c, _, leave := hostFiles(t, nil, nil, n.GRPCAddr())
	defer leave()
	w := tcpWeb(t, n)
	for _, tt := range []struct{ path, key string }{
		{"src/fmt/print.go", "src/fmt/print.go"},
		{"a%2Fb", "a/b"},
		{"c%2fd", "c/d"},
		{"50%25", "50%"},
		{"%2541", "%41"},
		{"%252F", "%2F"},
		{"slash%2Fand%2541", "slash/and%41"},
		{"%E4%BD%A0%E5%A5%BD/%C3%A9", "你好/é"},
		{"x:place", "x:place"},
		{"x:remove", "x:remove"},
		{"y%3Aplace", "y:place"},
		{"a:b:c", "a:b:c"},
		{":", ":"},
		{"/two", "/two"},
		{"a//b", "a//b"},
		{"dir/", "dir/"},
		{"dir%2F", "dir/"},
		{"dir/:/", "dir/:/"},
		{"/", "/"},
		{"../up", "../up"},
		{"./here", "./here"},
		{"with%20space", "with space"},
		{"a+b", "a+b"},
		{"q%3Fx%23y%3Bz", "q?x#y;z"},
		{"a=b&c", "a=b&c"},
		{strings.Repeat("k", placement.KeyBytesMax), strings.Repeat("k", placement.KeyBytesMax)},
	} {
		a := w.call("POST", "/v1/placements/file/"+tt.path+":place", "")
		if at(a.ok(), "placement", "key") != tt.key || at(a.json(), "created") != true {
			t.Errorf("place %q: %s, want the key %q", tt.path, a.body, tt.key)
			continue
		}
		a = w.get("/v1/placements/file/" + tt.path)
		if at(a.ok(), "placement", "key") != tt.key {
			t.Errorf("look up %q: %s, want the key %q", tt.path, a.body, tt.key)
		}
		if p, err := c.Lookup(context.Background(), placement.Identity{Kind: "file", Key: tt.key}); err != nil || p.Identity.Key != tt.key {
			t.Errorf("%q by gRPC: %+v, %v", tt.key, p, err)
		}
		a = w.call("POST", "/v1/placements/file/"+tt.path+":remove", "")
		if at(a.ok(), "done") != true {
			t.Errorf("remove %q: %s", tt.path, a.body)
		}
	}
}

func TestHTTP_Faults_HaveStatusAndReason(t *testing.T) {
	n := tcpServer(t, "s1")
	_, _, leave := hostFiles(t, nil, nil, n.GRPCAddr())
	defer leave()
	w := tcpWeb(t, n)
	long := strings.Repeat("k", placement.KeyBytesMax+1)
	for _, tt := range []struct {
		method, path, body string
		status             int
		reason             apiv1.Reason
		message            string
	}{
		{"GET", "/v1/placements/file/nobody", "", 404, apiv1.ReasonNotPlaced, "file/nobody is not placed"},
		{"POST", "/v1/placements/cart/42:place", "", 400, apiv1.ReasonNoEligibleMember, "none of the 1 members hosts the kind cart"},
		{"GET", "/v1/placements/bad%20kind/x", "", 400, apiv1.ReasonInvalidArgument, "a kind is an ASCII letter"},
		{"GET", "/v1/placements/file/" + long, "", 400, apiv1.ReasonInvalidArgument, "at most 512 are allowed"},
		{"POST", "/v1/placements/file/" + long + ":place", "", 400, apiv1.ReasonInvalidArgument, "at most 512 are allowed"},
		{"GET", "/v1/placements/file/a%00b", "", 400, apiv1.ReasonInvalidArgument, "control character U+0000 at byte 1"},
		{"GET", "/v1/placements/file/a%FFb", "", 400, apiv1.ReasonInvalidArgument, "UTF-8"},
		{"POST", "/v1/placements/file/a%FFb:place", "", 400, apiv1.ReasonInvalidArgument, "UTF-8"},
		{"GET", "/v1/placements/file/", "", 400, apiv1.ReasonInvalidArgument, "the key is empty"},
		{"POST", "/v1/placements/file/x:place", "{", 400, apiv1.ReasonInvalidArgument, ""},
		{"POST", "/v1/placements/file/x:place", "[]", 400, apiv1.ReasonInvalidArgument, ""},
		{"POST", "/v1/placements/file/x:place", `{"nonsense":1}`, 400, apiv1.ReasonInvalidArgument, "nonsense"},
		{"POST", "/v1/placements/file/x:place", `{"retry":{"requestId":"x"}}`, 400, apiv1.ReasonInvalidArgument, "no ULID"},
		{"POST", "/v1/placements/file/x:remove", `{"wait":"11s"}`, 400, apiv1.ReasonInvalidArgument, "wait 11s"},
		{"POST", "/v1/placements/file/x:remove", `{"wait":"-1s"}`, 400, apiv1.ReasonInvalidArgument, "wait -1s"},
		{"POST", "/v1/placements/file/x:remove", `{"epoch":"-1"}`, 400, apiv1.ReasonInvalidArgument, ""},
		{"GET", "/v1/placements?pageSize=1001", "", 400, apiv1.ReasonInvalidArgument, "at most 1000"},
		{"GET", "/v1/placements?pageSize=-1", "", 400, apiv1.ReasonInvalidArgument, ""},
		{"GET", "/v1/placements?phase=GONE", "", 400, apiv1.ReasonInvalidArgument, ""},
		{"GET", "/v1/placements?kind=%FF", "", 400, apiv1.ReasonInvalidArgument, "UTF-8"},
		{"GET", "/v1/placements?knid=file", "", 400, apiv1.ReasonInvalidArgument, `no parameter "knid"`},
		{"GET", "/v1/placements/file/x?kind=y&x=1", "", 400, apiv1.ReasonInvalidArgument, `no parameter "x"`},
		{"GET", "/v1/members?state=LIVE", "", 400, apiv1.ReasonInvalidArgument, `no parameter "state"`},
		{"POST", "/v1/placements/file/x:place", `{"near":{"member":"a b"}}`, 400, apiv1.ReasonInvalidArgument, "near: "},
		{"POST", "/v1/placements:batchPlace", `{"near":{"value":"a"}}`, 400, apiv1.ReasonInvalidArgument, "near: "},
		{"GET", "/v1/history/file/x?limit=1001", "", 400, apiv1.ReasonInvalidArgument, "limit 1001: at most 1000"},
		{"GET", "/v1/history/file/x?pageSize=1", "", 400, apiv1.ReasonInvalidArgument, `no parameter "pageSize"`},
		{"GET", "/v1/history/file/", "", 400, apiv1.ReasonInvalidArgument, "the key is empty"},
		{"POST", "/v1/history/file/x", "", 405, apiv1.ReasonInvalidArgument, "POST"},
		{"GET", "/v1/kinds?page=2", "", 400, apiv1.ReasonInvalidArgument, `no parameter "page"`},
		{"GET", "/v1/kinds?pageSize=1001", "", 400, apiv1.ReasonInvalidArgument, "at most 1000"},
		{"GET", "/v1/kinds?pageToken=a/b", "", 400, apiv1.ReasonInvalidArgument, "page token"},
		{"GET", "/v1/kinds/file", "", 405, apiv1.ReasonInvalidArgument, "GET"},
		{"PATCH", "/v1/kinds/file", "", 400, apiv1.ReasonInvalidArgument, "no setting is given"},
		{"PATCH", "/v1/kinds/bad%20kind", `{"attempts":1}`, 400, apiv1.ReasonInvalidArgument, "a kind is an ASCII letter"},
		{"PATCH", "/v1/kinds/file", `{"attempts":17}`, 400, apiv1.ReasonInvalidArgument, "attempts 17"},
		{"PATCH", "/v1/kinds/file", `{"attempts":300}`, 400, apiv1.ReasonInvalidArgument, "attempts 300"},
		{"PATCH", "/v1/kinds/file", `{"strategy":"protoactor-go"}`, 400, apiv1.ReasonInvalidArgument, `the strategy "protoactor-go"; there are least-loaded, `},
		{"PATCH", "/v1/kinds/file", `{"strategy":"a b"}`, 400, apiv1.ReasonInvalidArgument, "strategy: it has a space"},
		{"POST", "/v1/placements/file/x:place?wait=1s", "", 400, apiv1.ReasonInvalidArgument, `no parameter "wait"`},
		{"GET", "/v1/placements?kind=%zz", "", 400, apiv1.ReasonInvalidArgument, ""},
		{"GET", "/v1/placements?pageToken=x", "", 400, apiv1.ReasonInvalidArgument, "page token"},
		{"GET", "/v1/placements?pageToken=" + strings.Repeat("A", 38), "", 400, apiv1.ReasonIndexCompacted, "begin again"},
		{"DELETE", "/v1/cluster/servers/nobody", "", 400, apiv1.ReasonInvalidArgument, `no server "nobody"`},
		{"DELETE", "/v1/cluster/servers/s1", "", 400, apiv1.ReasonInvalidArgument, "cannot hand over"},
		{"POST", "/v1/cluster:transferLeadership", `{"to":"nobody"}`, 400, apiv1.ReasonInvalidArgument, "nobody"},
		{"POST", "/v1/cluster:transferLeadership", "", 400, apiv1.ReasonInvalidArgument, "no other voter"},
		{"GET", "/v1/nothing", "", 404, apiv1.ReasonInvalidArgument, "/v1/nothing"},
		{"GET", "/v1/placements/file", "", 400, apiv1.ReasonInvalidArgument, "the key is empty"},
		{"POST", "/v1/placements/file/:place", "", 404, apiv1.ReasonInvalidArgument, ""},
		{"POST", "/v1/placements/file/x/:place", "{", 400, apiv1.ReasonInvalidArgument, ""},
		{"POST", "/v1/placements/file/x/:place", `{"nonsense":1}`, 400, apiv1.ReasonInvalidArgument, "nonsense"},
		{"POST", "/v1/placements/cart/42/:place", "", 400, apiv1.ReasonNoEligibleMember, "none of the 1 members hosts the kind cart"},
		{"POST", "/v1/placements/file/x/:move", `{"to":"m1"}`, 404, apiv1.ReasonNotPlaced, ""},
		{"POST", "/v1/locks/x/:acquire", `{"session":"1","mode":"EXCLUSIVE"}`, 409, apiv1.ReasonLockLost, ""},
		{"POST", "/v1/locks/x/:release", `{"session":"1","token":"1"}`, 404, apiv1.ReasonLockNotFound, "x/"},
		{"POST", "/v1/locks/x/:break", `{}`, 404, apiv1.ReasonLockNotFound, "x/"},
		{"POST", "/v1/locks/x/:renew", `{"session":"1"}`, 409, apiv1.ReasonLockLost, ""},
		{"POST", "/v1/placements/file/x/:nothing", "", 405, apiv1.ReasonInvalidArgument, ""},
		{"DELETE", "/v1/placements/file/x", "", 405, apiv1.ReasonInvalidArgument, "DELETE"},
		{"PUT", "/v1/cluster", "", 405, apiv1.ReasonInvalidArgument, "PUT"},
		{"POST", "/v1/snapshot", "", 405, apiv1.ReasonInvalidArgument, "POST"},
		{"POST", "/v1/placements/file/x:place", `{"retry":{"requestId":"` + strings.Repeat("x", 5<<20) + `"}}`, 413, apiv1.ReasonInvalidArgument, "4194304 bytes"},
	} {
		a := w.call(tt.method, tt.path, tt.body)
		if message, _ := a.failed(tt.status, tt.reason); !strings.Contains(message, tt.message) {
			t.Errorf("%s: %q, want %q in it", a.call, message, tt.message)
		}
	}
	if a := w.get("/nothing"); a.status != 404 || !strings.Contains(string(a.body), "/v1/cluster") {
		t.Errorf("unknown path: %d, %s", a.status, a.body)
	}
	// A look-up is not what somebody wanted who forgot :place.
	w.call("POST", "/v1/placements/file/x", "{}", "Content-Type", "application/x-www-form-urlencoded").failed(405, apiv1.ReasonInvalidArgument)
	w.call("POST", "/v1/cluster/servers/s1", "", "Content-Type", "application/x-www-form-urlencoded", "X-HTTP-Method-Override", "DELETE").failed(405, apiv1.ReasonInvalidArgument)
	// The server is as it was.
	w.get("/v1/cluster").ok()
}

func TestHTTP_BatchesAndLists(t *testing.T) {
	n := tcpServer(t, "s1")
	_, _, leave := hostFiles(t, nil, nil, n.GRPCAddr())
	defer leave()
	w := tcpWeb(t, n)

	a := w.call("POST", "/v1/placements:batchPlace", `{"identities":[{"kind":"file","key":"a"},{"kind":"file","key":"b/c"},{"kind":"cart","key":"1"},{"kind":"bad kind","key":"1"},{"kind":"file","key":"a"}]}`)
	r := a.ok()
	if at(r, "results", "0", "created") != true || at(r, "results", "1", "placement", "key") != "b/c" || at(r, "results", "2", "error", "reason") != "NO_ELIGIBLE_MEMBER" ||
		at(r, "results", "3", "error", "reason") != "INVALID_ARGUMENT" || at(r, "results", "4", "placement", "epoch") != at(r, "results", "0", "placement", "epoch") {
		t.Errorf("batch: %s", a.body)
	}
	w.proof(a, "s1", "LEADER", "LEADER")
	a = w.call("POST", "/v1/placements:batchLookup", `{"identities":[{"kind":"file","key":"a"},{"kind":"file","key":"z"}]}`)
	if at(a.ok(), "results", "0", "placement", "member") != "m1" || at(a.json(), "results", "1", "error", "reason") != "NOT_PLACED" || at(a.json(), "results", "1", "error", "metadata", "key") != "z" {
		t.Errorf("batch: %s", a.body)
	}
	for i := range 5 {
		w.call("POST", fmt.Sprintf("/v1/placements/file/%d:place", i), "").ok()
	}

	// Pages show one moment, whatever happens between them.
	var keys []string
	token, index := "", any(nil)
	for page := 0; page == 0 || token != ""; page++ {
		a := w.get("/v1/placements?pageSize=3&pageToken=" + token)
		placements, _ := at(a.ok(), "placements").([]any)
		for _, p := range placements {
			key, _ := at(p, "key").(string)
			keys = append(keys, key)
		}
		if page == 0 {
			index = at(a.json(), "read", "index")
		} else if at(a.json(), "read", "index") != index {
			t.Errorf("page %d is as of %v, the first as of %v", page, at(a.json(), "read", "index"), index)
		}
		token, _ = at(a.json(), "nextPageToken").(string)
		w.call("POST", fmt.Sprintf("/v1/placements/file/later%d:place", page), "").ok()
	}
	slices.Sort(keys)
	if want := []string{"0", "1", "2", "3", "4", "a", "b/c"}; !slices.Equal(keys, want) {
		t.Errorf("the list has %q, want %q", keys, want)
	}

	for query, want := range map[string]int{
		"kind=file&pageSize=1000":                  10,
		"kind=cart":                                0,
		"member=m1&phase=SETTLED":                  10,
		"member=m2":                                0,
		"phase=PENDING":                            0,
		"page_size=1000&kind=file":                 10, // both spellings of a field's name
		"phase=TOMBSTONE":                          0,
		"prefix=later":                             3,
		"prefix=b%2Fc":                             1,
		"prefix=later&kind=cart":                   0,
		"unsettled=true":                           0,
		"kind=file&member=m1&phase=3&pageSize=999": 10,
	} {
		a := w.get("/v1/placements?" + query)
		if list, _ := at(a.ok(), "placements").([]any); len(list) != want || at(a.json(), "nextPageToken") != nil {
			t.Errorf("%s: %d placements, want %d on one page", query, len(list), want)
		}
	}
	a = w.get("/v1/placements?pageSize=4&countMore=true")
	if at(a.ok(), "more") != "6" || at(a.json(), "moreAtLeast") != nil {
		t.Errorf("4 of 10: %s", a.body)
	}
}

func TestHTTP_Kinds(t *testing.T) {
	site(t, 1, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		w := memoryWeb(t, c, c.Servers[0])
		a := w.get("/v1/kinds")
		if k := at(a.ok(), "kinds", "0"); at(k, "name") != "file" || at(k, "strategy") != "rendezvous" || at(k, "attempts") != json.Number("3") || at(k, "members") != json.Number("1") {
			t.Errorf("a kind that nobody set: %s", a.body)
		}
		w.proof(a, "s1", "LEADER", "LEADER")

		// What is not set stays as it is.
		a = w.call("PATCH", "/v1/kinds/file", `{"strategy":"prefer-local"}`)
		if k := at(a.ok(), "kind"); at(a.json(), "changed") != true || at(k, "strategy") != "prefer-local" || at(k, "attempts") != json.Number("3") || at(k, "members") != json.Number("1") {
			t.Errorf("set: %s", a.body)
		}
		w.proof(a, "s1", "LEADER", "LEADER")
		a = w.call("PATCH", "/v1/kinds/file", `{"attempts":5}`)
		if k := at(a.ok(), "kind"); at(k, "strategy") != "prefer-local" || at(k, "attempts") != json.Number("5") {
			t.Errorf("set: %s", a.body)
		}
		if a = w.call("PATCH", "/v1/kinds/file", `{"attempts":5,"strategy":"prefer-local"}`); at(a.ok(), "changed") != nil {
			t.Errorf("set again: %s", a.body)
		}
		retry := `{"strategy":"least-loaded","retry":{"requestId":"01JD3VXK5N8Y2T3B4C5D6E7F8G"}}`
		if a = w.call("PATCH", "/v1/kinds/later", retry); at(a.ok(), "changed") != true {
			t.Errorf("set: %s", a.body)
		}
		if a = w.call("PATCH", "/v1/kinds/later", retry); at(a.ok(), "changed") != true {
			t.Errorf("the same request again: %s", a.body)
		}
		w.call("PATCH", "/v1/kinds/other", retry).failed(400, apiv1.ReasonInvalidArgument)

		a = w.call("POST", "/v1/placements/file/near:place", `{"near":{"label":"zone","value":"a"}}`)
		if r := at(a.ok(), "placement", "reason"); r != "only-eligible" {
			t.Errorf("place: %s", a.body)
		}
		var names []string
		token := ""
		for page := 0; page == 0 || token != ""; page++ {
			a := w.get("/v1/kinds?pageSize=1&pageToken=" + token)
			list, _ := at(a.ok(), "kinds").([]any)
			for _, k := range list {
				names = append(names, fmt.Sprint(at(k, "name"), " ", at(k, "strategy"), " ", at(k, "attempts")))
			}
			if token, _ = at(a.json(), "nextPageToken").(string); len(list) > 1 || page > 9 {
				t.Fatalf("page %d: %s", page, a.body)
			}
		}
		if want := []string{"file prefer-local 5", "later least-loaded 3"}; !slices.Equal(names, want) {
			t.Errorf("the kinds are %q, want %q", names, want)
		}
	})
}

// What an operator does to members and identities, as JSON, by a server that does not lead.
func TestHTTP_BlocksDrainsMoves(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		l := c.Leader(nil)
		w := memoryWeb(t, c, c.Others(l)[0])
		w.call("POST", "/v1/placements/file/a:place", "{}").ok()
		a := w.call("POST", "/v1/placements/file/a:move", `{"to":"m1"}`)
		if at(a.ok(), "done") != true || at(a.json(), "placement", "member") != "m1" {
			t.Errorf("move to where it is: %s", a.body)
		}
		w.call("POST", "/v1/placements/file/a:move", `{"to":"nobody"}`).failed(404, apiv1.ReasonMemberUnknown)

		a = w.call("POST", "/v1/blocks", `{"kind":"file","key":"a","reason":"poison","by":"ops","lasts":"3600s"}`)
		if b := at(a.ok(), "block"); at(a.json(), "changed") != true || at(b, "key") != "a" || at(b, "by") != "ops" || at(b, "until") == nil || at(a.json(), "placement", "draining") != true {
			t.Errorf("block: %s", a.body)
		}
		for range 100 {
			if a = w.get("/v1/placements/file/a"); a.status == 404 {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		a.failed(404, apiv1.ReasonNotPlaced)
		w.call("POST", "/v1/placements/file/a:place", "{}").failed(400, apiv1.ReasonIdentityBlocked)
		w.call("POST", "/v1/blocks", `{"member":"m7"}`).ok()
		a = w.get("/v1/blocks?pageSize=1")
		if at(a.ok(), "blocks", "0", "member") != "m7" || at(a.json(), "nextPageToken") == nil {
			t.Errorf("blocks: %s", a.body)
		}
		if a = w.call("POST", "/v1/blocks:remove", `{"kind":"file","key":"a"}`); at(a.ok(), "changed") != true {
			t.Errorf("unblock: %s", a.body)
		}
		w.call("POST", "/v1/placements/file/a:place", "{}").ok()

		if a = w.call("POST", "/v1/members/m1:drain", "{}"); at(a.ok(), "member", "state") != "DRAINING" || at(a.json(), "changed") != true {
			t.Errorf("drain: %s", a.body)
		}
		w.call("POST", "/v1/placements/file/b:place", "{}").failed(400, apiv1.ReasonNoEligibleMember)
		if a = w.call("POST", "/v1/members/m1:drain", `{"off":true}`); at(a.ok(), "member", "state") != "LIVE" {
			t.Errorf("undrain: %s", a.body)
		}
		if a = w.call("POST", "/v1/members/m1:expire", `{"wait":"10s"}`); at(a.ok(), "done") != true || at(a.json(), "incarnations", "0") == nil {
			t.Errorf("expire: %s", a.body)
		}
		if a = w.call("PATCH", "/v1/kinds/file", `{"settle":"on-place","require":{"zone":"a"},"memberCapacity":7,"confirmWithin":"2s"}`); at(a.ok(), "kind", "settle") != "on-place" ||
			at(a.json(), "kind", "require", "zone") != "a" || at(a.json(), "kind", "memberCapacity") != json.Number("7") || at(a.json(), "kind", "confirmWithin") != "2s" {
			t.Errorf("set: %s", a.body)
		}
		if a = w.call("PATCH", "/v1/kinds/file", `{"noRequire":true,"memberCapacity":0,"confirmWithin":"0s"}`); at(a.ok(), "kind", "require") != nil ||
			at(a.json(), "kind", "memberCapacity") != nil || at(a.json(), "kind", "confirmWithin") != nil || at(a.json(), "kind", "settle") != "on-place" {
			t.Errorf("unset: %s", a.body)
		}
	})
}

// site is a cluster in virtual time with a member m1 that hosts the kind file.
func site(t *testing.T, servers int, change func(*raftnode.Config), f func(*testing.T, *raftnodetest.Cluster, *lookupclient.Client)) {
	t.Helper()
	bubble(t, servers, change, func(t *testing.T, c *raftnodetest.Cluster) {
		for _, s := range c.Servers {
			ready(t, c, s)
		}
		var addresses []string
		for _, s := range c.Servers {
			addresses = append(addresses, s.Node.GRPCAddr())
		}
		host := c.Network.Host("m1")
		client, _, leave := hostFiles(t, host.Dial, func() time.Duration { return time.Duration(raftnodetest.Now()) }, addresses...)
		defer leave()
		f(t, c, client)
	})
}

// ready waits until a server says that it is.
func ready(t *testing.T, c *raftnodetest.Cluster, s *raftnodetest.Server) {
	t.Helper()
	w := memoryWeb(t, c, s)
	for range 300 {
		if w.get("/readyz").status == http.StatusOK {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s is not ready after half a minute: %s", s.Name, w.get("/readyz?verbose").body)
}

func TestHTTP_MembersClusterServerSnapshot(t *testing.T) {
	site(t, 1, func(c *raftnode.Config) { c.Version = "v1.2.3" }, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		n := c.Servers[0].Node
		w := memoryWeb(t, c, c.Servers[0])
		w.call("POST", "/v1/placements/file/a:place", "").ok()

		a := w.get("/v1/members")
		if m := at(a.ok(), "members", "0"); at(m, "name") != "m1" || !positive(at(m, "incarnation")) || at(m, "state") != "LIVE" || at(m, "kinds", "0") != "file" ||
			at(m, "labels", "zone") != "a" || at(m, "settled") != json.Number("1") || at(m, "leaseLeft") == nil || at(m, "address") != "m1.example:9000" {
			t.Errorf("members: %s", a.body)
		}
		w.proof(a, "s1", "LEADER", "LEADER")

		a = w.get("/v1/cluster")
		if c := a.ok(); at(c, "cluster") != n.Cluster() || at(c, "leader") != "s1" || at(c, "healthy") != true || at(c, "settled") != "1" || at(c, "membersLive") != json.Number("1") ||
			at(c, "servers", "0", "name") != "s1" || at(c, "servers", "0", "role") != "LEADER" || at(c, "servers", "0", "reachable") != true ||
			at(c, "servers", "0", "httpAddress") != n.HTTPAddr() || at(c, "servers", "0", "version") != "v1.2.3" || at(c, "problems") != nil {
			t.Errorf("cluster: %s", a.body)
		}
		w.proof(a, "s1", "LEADER", "LEADER")

		a = w.get("/v1/server")
		if s := a.ok(); at(s, "name") != "s1" || at(s, "role") != "LEADER" || at(s, "leader") != "s1" || at(s, "cluster") != n.Cluster() || !positive(at(s, "index")) ||
			at(s, "grpcAddress") != n.GRPCAddr() || at(s, "raftAddress") != n.RaftAddr() || at(s, "incarnation") == nil || at(s, "digest") == nil {
			t.Errorf("server: %s", a.body)
		}

		a = w.get("/v1/snapshot")
		v, err := snapshot.Decode(bytes.NewReader(a.body))
		if err != nil || a.header.Get("Content-Type") != "application/octet-stream" {
			t.Fatalf("snapshot: %v, %v", err, a.header)
		}
		if e, owner := v.Lookup(placement.Identity{Kind: "file", Key: "a"}); e.Phase != placement.Settled || owner == nil || owner.ID != "m1" {
			t.Errorf("the snapshot has %+v of %+v", e, owner)
		}
		if a := w.get("/"); a.status != 200 || !strings.Contains(string(a.body), "berth server s1") {
			t.Errorf("index: %d, %s", a.status, a.body)
		}
	})
}

// dialTCP is a gRPC connection to one server.
func dialTCP(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func file(key string) placement.Identity { return placement.Identity{Kind: "file", Key: key} }
