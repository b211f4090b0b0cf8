package lookupclient

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

func TestHedges_AreFew(t *testing.T) {
	h := &hedges{}
	n := 0
	for range 1000 {
		h.asked()
		if h.take() {
			n++
		}
	}
	if n < 100 || n > hedgeBurst+1000/hedgeEvery {
		t.Errorf("%d of 1000 look-ups were asked for twice", n)
	}
}

// What may be asked for twice at once changes nothing: it carries no request id, and says itself what it may be answered from.
func TestLooking_ChangesNothing(t *testing.T) {
	services := apiv1.File_lookupclient_apiv1_berth_proto.Services()
	found := 0
	for i := range services.Len() {
		for j := range services.Get(i).Methods().Len() {
			m := services.Get(i).Methods().Get(j)
			name := fmt.Sprintf("/%s/%s", services.Get(i).FullName(), m.Name())
			if !looking[name] {
				continue
			}
			found++
			request, err := protoregistry.GlobalTypes.FindMessageByName(m.Input().FullName())
			if err != nil {
				t.Fatal(err)
			}
			if _, changes := request.New().Interface().(retried); changes || changing[name] || m.IsStreamingServer() {
				t.Errorf("%s is asked for twice, and changes something", name)
			}
			if m.Input().Fields().ByName("level") == nil || m.Input().Fields().ByName("min_index") == nil || m.Input().Fields().ByName("max_staleness") == nil {
				t.Errorf("%s does not say what it may be answered from", name)
			}
		}
	}
	if found != len(looking) || found == 0 {
		t.Errorf("%d of the %d calls that are asked for twice are in the API", found, len(looking))
	}
}

func TestPlain_OptionsThatTellTheCaller_AreNot(t *testing.T) {
	if !plain(nil) || !plain([]grpc.CallOption{grpc.StaticMethod()}) || plain([]grpc.CallOption{grpc.StaticMethod(), grpc.Header(&metadata.MD{})}) {
		t.Error("calls with options")
	}
}

// chosen counts the servers that look-ups go to.
func chosen(p *picker, d *distances, n int) map[string]int {
	list := map[string]int{}
	for turn := range uint32(n) {
		list[p.choose(&route{known: d, near: true}, turn).address]++
	}
	return list
}

func servers(n int) *picker {
	p := &picker{}
	for i := range n {
		p.servers = append(p.servers, readyServer{address: fmt.Sprint("s", i+1)})
	}
	return p
}

// However many servers there are, each is met now and then, so that its distance is known; the near ones share the rest.
func TestPicker_Choose_NearOnesAndNowAndThenEach(t *testing.T) {
	for n := 1; n <= 9; n++ {
		p, d := servers(n), newDistances()
		for i, s := range p.servers {
			d.answered(s.address, 10*time.Millisecond)
			if i == n/2 {
				d.answered(s.address, time.Millisecond)
				d.list[s.address].took = time.Millisecond
			}
		}
		list := chosen(p, d, exploreEvery*n*4)
		for i, s := range p.servers {
			if i == n/2 {
				continue
			}
			if list[s.address] != 4 {
				t.Errorf("%d servers, %s is far: %v", n, s.address, list)
			}
		}
		if len(list) != n {
			t.Errorf("%d servers: %v", n, list)
		}
	}
	p, d := servers(4), newDistances()
	for i, took := range []time.Duration{1000, 1100, 2400, 2600} { // the last is farther than twice the nearest and the slack
		d.answered(p.servers[i].address, took*time.Microsecond)
	}
	list := chosen(p, d, 6400)
	for i, want := range []int{2125, 2125, 2125, 25} {
		if got := list[p.servers[i].address]; got < want-25 || got > want+25 {
			t.Errorf("look-ups that went to %s: %d, want %d: %v", p.servers[i].address, got, want, list)
		}
	}
}

// A server that let somebody wait is not asked until it has said something, and is not near until it has answered a few; when
// all are late all are asked.
func TestPicker_Choose_LateOnesAreAvoided(t *testing.T) {
	p, d := servers(3), newDistances()
	for _, s := range p.servers {
		d.answered(s.address, time.Millisecond)
	}
	d.isLate("s1")
	if list := chosen(p, d, 1000); list["s1"] != 0 || list["s2"] == 0 || list["s3"] == 0 {
		t.Errorf("s1 is late: %v", list)
	}
	if got := d.overdue(); len(got) != 0 {
		t.Errorf("it was asked just now, and is to be asked again: %v", got)
	}
	d.list["s1"].asked = time.Now().Add(-lateAgain)
	if got := d.overdue(); len(got) != 1 || got[0] != "s1" || len(d.overdue()) != 0 {
		t.Errorf("who is to be asked again: %v", got)
	}
	d.heard("s1", false) // it is there, and not ready
	if list := chosen(p, d, 1000); list["s1"] != 0 {
		t.Errorf("s1 is not ready: %v", list)
	}
	d.heard("s1", true)
	if list := chosen(p, d, 1000); list["s1"] == 0 || list["s1"] > 20 {
		t.Errorf("s1 is ready, and has answered nothing yet: %v", list)
	}
	for range trials {
		d.answered("s1", time.Millisecond)
	}
	if list := chosen(p, d, 1000); list["s1"] < 300 {
		t.Errorf("s1 has answered again: %v", list)
	}
	for _, s := range p.servers {
		d.isLate(s.address)
	}
	if list := chosen(p, d, 999); len(list) != 3 || list["s1"] < 300 {
		t.Errorf("all are late: %v", list)
	}
	d.answered("s2", time.Millisecond)
	for turn := range uint32(300) { // a change goes to whoever is well
		if s := p.choose(&route{known: d}, turn); s.address != "s2" {
			t.Fatalf("%s is late", s.address)
		}
	}
	r := &route{known: d, near: true, avoid: "s2"}
	for turn := range uint32(300) {
		if s := p.choose(r, turn); s.address == "s2" {
			t.Fatal("s2 was to be avoided")
		}
	}
	if s := servers(1).choose(&route{known: d, near: true, avoid: "s1"}, 1); s != nil {
		t.Errorf("there is no other: %v", s)
	}
	if s := p.choose(&route{only: "s4"}, 1); s != nil {
		t.Errorf("it is not connected: %v", s)
	}
}

// Waiting calls are counted, and none is left.
func TestProbes_Waits_AsLongAsTheCallLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Conn{links: newLinks(), distances: newDistances(), probes: newProbes()}
		ctx, cancel := context.WithCancel(t.Context())
		w := &waiter{call: ctx}
		r := &route{}
		c.waits(w, r)                             // for a connection to any
		for _, to := range []string{"s1", "s2"} { // gRPC moves a call that it could not send
			r.only = to
			if _, err := servers(2).Pick(balancer.PickInfo{Ctx: r.with(ctx)}); err != nil {
				t.Fatal(err)
			}
			if !c.probes.waits(to) || len(c.probes.waiting) != 1 || len(c.probes.asking) != 0 { // none was ever connected: nobody can be asked
				t.Errorf("it went to %s, and %v wait", to, c.probes.waiting)
			}
		}
		cancel()
		synctest.Wait()
		if len(c.probes.waiting) != 0 {
			t.Errorf("%v wait", c.probes.waiting)
		}
		if c.probes.enter("s1", w); len(c.probes.waiting) != 0 {
			t.Error("a call that is over waits")
		}
		c.probes.close()
		if c.probes.begin("s1") {
			t.Error("a closed client asks")
		}
	})
}

// A call that waits in the queue of a lock does not leave its server, which would take it for given up.
func TestMayLeave(t *testing.T) {
	for _, tt := range []struct {
		method string
		args   any
		want   bool
	}{
		{apiv1.Placements_Lookup_FullMethodName, &apiv1.LookupRequest{}, true},
		{apiv1.Placements_Place_FullMethodName, &apiv1.PlaceRequest{}, true},
		{apiv1.Cluster_TransferLeadership_FullMethodName, &apiv1.TransferLeadershipRequest{}, false},
		{apiv1.Locks_AcquireLock_FullMethodName, &apiv1.AcquireLockRequest{}, false},
		{apiv1.Locks_AcquireLock_FullMethodName, &apiv1.AcquireLockRequest{Stay: true}, true},
	} {
		if got := mayLeave(tt.method, tt.args); got != tt.want {
			t.Errorf("%s %v: %v", tt.method, tt.args, got)
		}
	}
}
