package raftnode_test

import (
	"bufio"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// healthOf asks the gRPC health service of a server about a service.
func healthOf(t *testing.T, c *raftnodetest.Cluster, s *raftnodetest.Server, service string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	resp, err := healthpb.NewHealthClient(c.Dial("client", s)).Check(ctx, &healthpb.HealthCheckRequest{Service: service})
	if err != nil {
		return status.Code(err).String()
	}
	return resp.Status.String()
}

func TestHealth_MajorityIsGone_NotReadyButAlive(t *testing.T) {
	bubble(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster) {
		for _, s := range c.Servers {
			ready(t, c, s)
		}
		l := c.Leader(nil)
		time.Sleep(2 * time.Second) // the health service looks every second
		for _, s := range c.Servers {
			w := memoryWeb(t, c, s)
			if a := w.get("/livez"); a.status != 200 || string(a.body) != "ok\n" {
				t.Errorf("%s: livez %d, %q", s.Name, a.status, a.body)
			}
			if a := w.get("/readyz"); a.status != 200 || string(a.body) != "readyz check passed\n" {
				t.Errorf("%s: readyz %d, %q", s.Name, a.status, a.body)
			}
			a := w.get("/readyz?verbose")
			for _, line := range []string{"[+]cluster ok: " + s.Node.Cluster(), "[+]leader ok: " + l.Name + ", term ", "[+]registered ok", "[+]lookup ok: ", "readyz check passed"} {
				if !strings.Contains(string(a.body), line) {
					t.Errorf("%s: %q is not in %q", s.Name, line, a.body)
				}
			}
			for _, service := range []string{"", "ready", "berth.v1.Placements"} {
				if got := healthOf(t, c, s, service); got != "SERVING" {
					t.Errorf("%s: health of %q is %s", s.Name, service, got)
				}
			}
			if got := healthOf(t, c, s, "nonsense"); got != codes.NotFound.String() {
				t.Errorf("%s: health of nonsense is %s", s.Name, got)
			}
		}

		for _, s := range c.Others(l) {
			s.Stop()
		}
		time.Sleep(5 * time.Second)
		w := memoryWeb(t, c, l)
		if a := w.get("/livez"); a.status != 200 {
			t.Errorf("livez without a majority: %d, %s", a.status, a.body)
		}
		begin := time.Now()
		a := w.get("/readyz")
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("readyz took %v", took)
		}
		for _, line := range []string{"[+]cluster ok", "[-]leader failed", "[-]lookup failed: ", "readyz check failed"} {
			if a.status != 503 || !strings.Contains(string(a.body), line) {
				t.Errorf("readyz without a majority: %d, %q is not in %q", a.status, line, a.body)
			}
		}
		if a := w.get("/readyz?exclude=lookup&exclude=leader"); a.status != 200 {
			t.Errorf("readyz without what fails: %d, %s", a.status, a.body)
		}
		for service, want := range map[string]string{"": "SERVING", "ready": "NOT_SERVING", "berth.v1.Placements": "NOT_SERVING"} {
			if got := healthOf(t, c, l, service); got != want {
				t.Errorf("health of %q without a majority is %s, want %s", service, got, want)
			}
		}

		// Calls say so, and in time; what needs no majority is answered.
		a = w.get("/v1/server")
		if r := at(a.ok(), "role"); r != "FOLLOWER" || at(a.json(), "leader") != nil {
			t.Errorf("server: %s", a.body)
		}
		for _, path := range []string{"/v1/placements/file/a", "/v1/placements", "/v1/members", "/v1/cluster", "/v1/snapshot"} {
			begin := time.Now()
			a := w.get(path)
			a.failed(503, apiv1.ReasonNoQuorum)
			if took := time.Since(begin); took > 11*time.Second || a.header.Get("Retry-After") != "1" {
				t.Errorf("%s: after %v, Retry-After %q", path, took, a.header.Get("Retry-After"))
			}
		}
		w.call("POST", "/v1/placements/file/a:place", "").failed(503, apiv1.ReasonNoQuorum)

		c.Servers[slices.IndexFunc(c.Servers, func(s *raftnodetest.Server) bool { return s != l })].Start()
		ready(t, c, l)
	})
}

func TestHealth_ServerWaitsForACluster_NotReadyButAlive(t *testing.T) {
	bubble(t, 0, nil, func(t *testing.T, c *raftnodetest.Cluster) {
		s := c.Add("s1")
		c.Add("s2") // never started
		s.Start()
		time.Sleep(3 * time.Second)
		w := memoryWeb(t, c, s)
		if a := w.get("/livez"); a.status != 200 {
			t.Errorf("livez: %d", a.status)
		}
		if a := w.get("/readyz"); a.status != 503 || !strings.Contains(string(a.body), "[-]cluster failed: the server waits for the others") {
			t.Errorf("readyz: %d, %s", a.status, a.body)
		}
		if a := w.get("/v1/server"); at(a.ok(), "role") != "FORMING" || at(a.json(), "cluster") != nil {
			t.Errorf("server: %s", a.body)
		}
		for _, path := range []string{"/v1/placements/file/a", "/v1/cluster", "/v1/snapshot"} {
			w.get(path).failed(503, apiv1.ReasonNoLeader)
		}
		if got := healthOf(t, c, s, "ready"); got != "NOT_SERVING" {
			t.Errorf("health: %s", got)
		}
		if a := w.get("/metrics"); a.status != 200 || !strings.Contains(string(a.body), `berth_build_info{cluster="",server="s1"`) {
			t.Errorf("metrics: %d, %s", a.status, a.body)
		}
	})
}

func TestReflection_ListsTheServices(t *testing.T) {
	n := tcpServer(t, "s1")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	stream, err := reflectionpb.NewServerReflectionClient(dialTCP(t, n.GRPCAddr())).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	resp, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range resp.GetListServicesResponse().GetService() {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	want := []string{"berth.v1.Blocks", "berth.v1.Cluster", "berth.v1.Kinds", "berth.v1.Locks", "berth.v1.Members", "berth.v1.Placements", "berth.v1.Sessions", "berth.v1.Snapshots", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}
	if !slices.Equal(names, want) {
		t.Errorf("services %q, want %q", names, want)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "berth.v1.Placements"}}); err != nil {
		t.Fatal(err)
	}
	if resp, err = stream.Recv(); err != nil || len(resp.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Errorf("the file of berth.v1.Placements: %v, %v", resp, err)
	}
}

// sample is one line of the metrics.
var sample = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? (\S+)$`)

// metricsOf reads the metrics of a server: values by name and labels, and of each name its type. Every metric must have
// its help and its type before its samples.
func metricsOf(t *testing.T, w *web) (values map[string]float64, types map[string]string) {
	t.Helper()
	a := w.get("/metrics")
	if a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
		t.Fatalf("metrics: %d, %v", a.status, a.header)
	}
	values, types = map[string]float64{}, map[string]string{}
	help := map[string]bool{}
	lines := bufio.NewScanner(strings.NewReader(string(a.body)))
	for lines.Scan() {
		line := lines.Text()
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, text, _ := strings.Cut(rest, " ")
			help[name] = text != ""
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			types[name] = kind
			continue
		}
		m := sample.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("metrics: %q is no sample", line)
			continue
		}
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Errorf("metrics: %q: %v", line, err)
		}
		base := m[1]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if cut, ok := strings.CutSuffix(m[1], suffix); ok && (types[cut] == "histogram" || types[cut] == "summary") {
				base = cut
			}
		}
		if !help[base] || types[base] == "" {
			t.Errorf("metrics: %s has no help or no type", base)
		}
		values[m[1]+m[2]] = v
	}
	return values, types
}

func TestMetrics_AfterAPlacement(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		l := c.Leader(nil)
		w := memoryWeb(t, c, l)
		for _, key := range []string{"a", "b/secret"} {
			w.call("POST", "/v1/placements/file/"+key+":place", "").ok()
		}
		w.get("/v1/placements/file/nobody").failed(404, apiv1.ReasonNotPlaced)
		before, types := metricsOf(t, w)
		for name, want := range map[string]float64{
			fmt.Sprintf(`berth_build_info{cluster=%q,server=%q,version="devel"}`, l.Node.Cluster(), l.Name): 1,
			"berth_leads":                       1,
			`berth_placements{phase="settled"}`: 2,
			`berth_placements{phase="pending"}`: 0,
			`berth_members{state="live"}`:       1,
			`berth_raft_servers{voter="true"}`:  3,
			`berth_raft_servers{voter="false"}`: 0,
			"berth_proposals_waiting":           0,
			"berth_sessions":                    0,
			"berth_locks":                       0,
			"berth_lock_claims":                 0,
			"berth_raft_port_garbage_total":     0,
			`berth_call_duration_seconds_count{method="/berth.v1.Placements/Place",reason="OK"}`:            2,
			`berth_call_duration_seconds_count{method="/berth.v1.Placements/Lookup",reason="NOT_PLACED"}`:   1,
			`berth_call_duration_seconds_bucket{method="/berth.v1.Placements/Place",reason="OK",le="+Inf"}`: 2,
		} {
			if got, ok := before[name]; !ok || got != want {
				t.Errorf("%s is %v (%t), want %v", name, got, ok, want)
			}
		}
		// Two placements are four commands, beside those of the servers and the member.
		for name, least := range map[string]float64{
			"berth_raft_term": 1, "berth_published_index": 5, "berth_barrier_index": 1, "berth_commands_applied_total": 8,
			`berth_batches_proposed_total{kind="commands"}`: 4, `berth_batches_proposed_total{kind="pulse"}`: 1,
			`berth_disk_write_duration_seconds_count{what="append to log"}`: 5, "go_goroutines": 1, "process_resident_memory_bytes": 1,
		} {
			if before[name] < least {
				t.Errorf("%s is %v, want at least %v", name, before[name], least)
			}
		}
		if before["berth_barrier_index"] > before["berth_published_index"] {
			t.Errorf("the barrier %v is beyond what is published, %v", before["berth_barrier_index"], before["berth_published_index"])
		}
		for name, kind := range types {
			if strings.HasSuffix(name, "_total") != (kind == "counter") && strings.HasPrefix(name, "berth_") {
				t.Errorf("%s is a %s", name, kind)
			}
		}
		for name := range before {
			if strings.Contains(name, "secret") {
				t.Errorf("%s has an identity in it", name)
			}
		}

		if _, _, err := client.Place(context.Background(), file("c")); err != nil {
			t.Fatal(err)
		}
		after, _ := metricsOf(t, w)
		for name, was := range before {
			if base, _, _ := strings.Cut(name, "{"); types[base] == "counter" && after[name] < was {
				t.Errorf("the counter %s went from %v to %v", name, was, after[name])
			}
		}
		if after[`berth_placements{phase="settled"}`] != 3 || after["berth_published_index"] <= before["berth_published_index"] {
			t.Errorf("after another placement: %v settled at %v", after[`berth_placements{phase="settled"}`], after["berth_published_index"])
		}

		// A follower has the same state and says that it does not lead.
		time.Sleep(time.Second)
		follower, _ := metricsOf(t, memoryWeb(t, c, c.Others(l)[0]))
		if follower["berth_leads"] != 0 || follower[`berth_placements{phase="settled"}`] != 3 || follower["berth_raft_term"] != after["berth_raft_term"] {
			t.Errorf("the follower leads %v, has %v placements in term %v", follower["berth_leads"], follower[`berth_placements{phase="settled"}`], follower["berth_raft_term"])
		}
	})
}
