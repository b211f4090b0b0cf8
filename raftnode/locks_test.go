package raftnode_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
	"github.com/seed13d31b7f/berth/snapshot"
)

// locksOf are the services of locks at one server.
func locksOf(c *raftnodetest.Cluster, s *raftnodetest.Server) (apiv1.SessionsClient, apiv1.LocksClient) {
	conn := c.Dial("client", s)
	return apiv1.NewSessionsClient(conn), apiv1.NewLocksClient(conn)
}

// Every server takes every call about locks and passes it on to the leader, and the JSON is that of the calls.
func TestLocks_HTTP_OnEveryServer(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		var last string
		for _, s := range c.Servers {
			w := memoryWeb(t, c, s)
			name := "jobs/" + s.Name + " nightly"
			path := "/v1/locks/" + url.PathEscape(name)
			w.get(path).failed(404, apiv1.ReasonLockNotFound)
			a := w.call("POST", path+":acquire", `{"holder":"curl","ttl":"20s"}`).ok()
			session, token := fmt.Sprint(a["session"]), fmt.Sprint(a["token"])
			if a["held"] != true || a["name"] != name || a["ttl"] != "20s" || !positive(a["token"]) || !positive(a["session"]) {
				t.Errorf("acquired: %v", a)
			}
			if len(token) < len(last) || len(token) == len(last) && token <= last {
				t.Errorf("token %s after %s", token, last)
			}
			last = token
			_, data := w.call("POST", path+":acquire", `{"holder":"another"}`).failed(400, apiv1.ReasonLockHeld)
			if data["holder"] != "curl" || data["session"] != session || data["token"] != token || data["lock"] != name {
				t.Errorf("held: %v", data)
			}
			got := w.get(path).ok()
			if at(got, "lock", "claims", "0", "holder") != "curl" || at(got, "lock", "claims", "0", "held") != true || at(got, "lock", "claims", "0", "mode") != "EXCLUSIVE" || at(got, "read", "role") != "LEADER" {
				t.Errorf("got: %v", got)
			}
			if list := w.get("/v1/sessions?pageSize=1000").ok(); at(list, "sessions", "0", "holder") != "curl" || at(list, "sessions", "1") != nil {
				t.Errorf("the sessions that failed to get the lock are there still: %v", list)
			}
			if r := w.call("POST", path+":renew", `{"session":"`+session+`"}`).ok(); r["ttl"] != "20s" || r["token"] != token {
				t.Errorf("renewed: %v", r)
			}
			w.call("POST", "/v1/sessions/"+session+":keep", "{}").ok()
			b := w.call("POST", path+":break", "{}").ok()
			if b["changed"] != true || at(b, "lock", "claims", "0", "lost") != "BROKEN" || b["freeIn"] == nil {
				t.Errorf("broken: %v", b)
			}
			if k := w.call("POST", "/v1/sessions/"+session+":keep", "{}").ok(); at(k, "lost", "0", "name") != name || at(k, "lost", "0", "token") != token {
				t.Errorf("kept: %v", k)
			}
			w.call("POST", path+":renew", `{"session":"`+session+`"}`).failed(409, apiv1.ReasonLockLost)
			w.call("POST", path+":acquire", `{"session":"`+session+`"}`).failed(409, apiv1.ReasonLockLost)
			w.call("POST", path+":release", `{"session":"`+session+`"}`).ok()
			w.call("POST", path+":release", `{"session":"`+session+`"}`).failed(404, apiv1.ReasonLockNotFound)
			w.call("DELETE", "/v1/sessions/"+session, "").ok()
			w.call("DELETE", "/v1/sessions/"+session, "").failed(409, apiv1.ReasonLockLost)
			w.get("/v1/locks?nonsense=1").failed(400, apiv1.ReasonInvalidArgument)
		}
	})
}

// Lists go on behind the last name and number, and keep nothing.
func TestLocks_Lists_PageByPage(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		ctx := context.Background()
		sessions, locks := locksOf(c, c.Others(c.Leader(nil))[0])
		var ids []uint64
		for i := range 5 {
			s, err := sessions.OpenSession(ctx, &apiv1.OpenSessionRequest{Holder: fmt.Sprint("h", i)})
			if err != nil || s.Session.Ttl.AsDuration() != 15*time.Second {
				t.Fatalf("%v, %v", s, err)
			}
			ids = append(ids, s.Session.Id)
		}
		for i := range 25 {
			for _, id := range ids[:1+i%2] {
				if _, err := locks.AcquireLock(ctx, &apiv1.AcquireLockRequest{Name: fmt.Sprintf("n%02d", i), Session: id, Stay: true}); err != nil {
					t.Fatal(err)
				}
			}
		}
		m, _ := metricsOf(t, memoryWeb(t, c, c.Leader(nil)))
		status, err := apiv1.NewClusterClient(c.Dial("client", c.Leader(nil))).Status(ctx, &apiv1.StatusRequest{})
		if m["berth_sessions"] != 5 || m["berth_locks"] != 25 || m["berth_lock_claims"] != 37 || err != nil || status.Sessions != 5 || status.Locks != 25 {
			t.Errorf("counted: %v sessions, %v locks, %v claims; %v, %v", m["berth_sessions"], m["berth_locks"], m["berth_lock_claims"], status, err)
		}
		var names []string
		for req := (&apiv1.ListLocksRequest{PageSize: 10}); ; {
			l, err := locks.ListLocks(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range l.Locks {
				names = append(names, x.Name)
				if x.Held != 1 || int(x.Waiting) != (len(names)-1)%2 || len(x.Claims) != int(x.Held+x.Waiting) || x.Claims[0].Left.AsDuration() <= 0 {
					t.Errorf("%v", x)
				}
			}
			if req.PageToken = l.NextPageToken; req.PageToken == "" {
				break
			}
		}
		if len(names) != 25 || names[24] != "n24" {
			t.Errorf("the locks are %q", names)
		}
		var seen []uint64
		for req := (&apiv1.ListSessionsRequest{PageSize: 2}); ; {
			l, err := sessions.ListSessions(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range l.Sessions {
				seen = append(seen, x.Id)
			}
			if req.PageToken = l.NextPageToken; req.PageToken == "" {
				break
			}
		}
		if fmt.Sprint(seen) != fmt.Sprint(ids) {
			t.Errorf("the sessions are %v, want %v", seen, ids)
		}
	})
}

// A wait goes on over a change of leaders, keeps its place in the queue, and a request is carried out once.
func TestLocks_LeaderChanges_WaitGoesOn(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		conn := client.Conn()
		sessions, locks := apiv1.NewSessionsClient(conn), apiv1.NewLocksClient(conn)
		open := func(holder string) uint64 {
			s, err := sessions.OpenSession(ctx, &apiv1.OpenSessionRequest{Holder: holder, Ttl: durationpb.New(2 * time.Minute)})
			if err != nil {
				t.Fatal(err)
			}
			return s.Session.Id
		}
		first, second, third := open("first"), open("second"), open("third")
		if _, err := locks.AcquireLock(ctx, &apiv1.AcquireLockRequest{Name: "one", Session: first}); err != nil {
			t.Fatal(err)
		}
		type got struct {
			resp *apiv1.AcquireLockResponse
			err  error
		}
		waits := make(chan got, 2)
		for _, id := range []uint64{second, third} {
			go func() {
				resp, err := locks.AcquireLock(ctx, &apiv1.AcquireLockRequest{Name: "one", Session: id, Wait: durationpb.New(40 * time.Second)})
				waits <- got{resp, err}
			}()
			time.Sleep(time.Second)
		}
		l := c.Leader(nil)
		l.Kill()
		c.Leader(l)
		time.Sleep(2 * time.Second)
		if _, err := locks.ReleaseLock(ctx, &apiv1.ReleaseLockRequest{Name: "one", Session: first}); err != nil {
			t.Fatal(err)
		}
		g := <-waits
		if g.err != nil || g.resp.Session != second || !g.resp.Held {
			t.Fatalf("the second: %v, %v", g.resp, g.err)
		}
		if v := c.Save(); v.ClaimCount() != 2 {
			t.Errorf("%d claims, want 2: somebody asked twice", v.ClaimCount())
		}
		if _, err := locks.ReleaseLock(ctx, &apiv1.ReleaseLockRequest{Name: "one", Session: second}); err != nil {
			t.Fatal(err)
		}
		if g := <-waits; g.err != nil || g.resp.Session != third {
			t.Fatalf("the third: %v, %v", g.resp, g.err)
		}
		l.Start()
	})
}

// Who waits for a lock and loses the connection asks again, and has kept its place. Who goes away has none soon.
func TestLocks_ConnectionBreaks_PlaceIsKept(t *testing.T) {
	for name, opened := range map[string]bool{"session of its own": true, "session for the lock": false} {
		t.Run(name, func(t *testing.T) {
			site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				sessions, locks := apiv1.NewSessionsClient(client.Conn()), apiv1.NewLocksClient(client.Conn())
				ask := func(ctx context.Context, holder string, wait time.Duration) (*apiv1.AcquireLockResponse, error) {
					req := &apiv1.AcquireLockRequest{Name: "one", Wait: durationpb.New(wait)}
					if !opened {
						req.Holder, req.Ttl = holder, durationpb.New(2*time.Minute)
						return locks.AcquireLock(ctx, req)
					}
					s, err := sessions.OpenSession(ctx, &apiv1.OpenSessionRequest{Holder: holder, Ttl: durationpb.New(2 * time.Minute)})
					if err != nil {
						return nil, err
					}
					req.Session = s.Session.Id
					return locks.AcquireLock(ctx, req)
				}
				first, err := ask(ctx, "first", 0)
				if err != nil {
					t.Fatal(err)
				}
				type got struct {
					resp *apiv1.AcquireLockResponse
					err  error
				}
				waits := make(chan got, 1)
				go func() {
					resp, err := ask(ctx, "second", 40*time.Second)
					waits <- got{resp, err}
				}()
				time.Sleep(time.Second)
				going, goes := context.WithCancel(ctx)
				gone := make(chan error, 1)
				go func() {
					_, err := ask(going, "third", 40*time.Second)
					gone <- err
				}()
				time.Sleep(time.Second)
				for _, host := range []string{"m1", c.Servers[0].Host, c.Servers[1].Host, c.Servers[2].Host} {
					c.Network.Break(host)
					time.Sleep(5 * time.Second)
				}
				if v := c.Save(); v.ClaimCount() != 3 {
					t.Errorf("%d claims, want 3", v.ClaimCount())
				}
				goes()
				if err := <-gone; !errors.Is(err, context.Canceled) && status.Code(err) != codes.Canceled {
					t.Errorf("the third: %v", err)
				}
				time.Sleep(2 * time.Second)
				if v := c.Save(); v.ClaimCount() != 2 {
					t.Errorf("%d claims, want 2: who went away has none", v.ClaimCount())
				}
				if _, err := locks.ReleaseLock(ctx, &apiv1.ReleaseLockRequest{Name: "one", Session: first.Session}); err != nil {
					t.Fatal(err)
				}
				if g := <-waits; g.err != nil || !g.resp.Held {
					t.Errorf("the second: %v, %v", g.resp, g.err)
				}
			})
		})
	}
}

// Two calls wait for one claim: the one whose time is over first gives nothing up.
func TestLocks_TwoCallsWaitForOneClaim_TheShorterGivesNothingUp(t *testing.T) {
	site(t, 1, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		sessions, locks := locksOf(c, c.Leader(nil))
		var ids []uint64
		for range 2 {
			s, err := sessions.OpenSession(ctx, &apiv1.OpenSessionRequest{Holder: "h", Ttl: durationpb.New(2 * time.Minute)})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, s.Session.Id)
		}
		if _, err := locks.AcquireLock(ctx, &apiv1.AcquireLockRequest{Name: "one", Session: ids[0]}); err != nil {
			t.Fatal(err)
		}
		long := make(chan error, 1)
		go func() {
			_, err := locks.AcquireLock(ctx, &apiv1.AcquireLockRequest{Name: "one", Session: ids[1], Wait: durationpb.New(40 * time.Second)})
			long <- err
		}()
		time.Sleep(time.Second)
		if _, err := locks.AcquireLock(ctx, &apiv1.AcquireLockRequest{Name: "one", Session: ids[1], Wait: durationpb.New(3 * time.Second)}); status.Code(err) == codes.OK || !strings.Contains(err.Error(), "taken by") {
			t.Errorf("the shorter: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := locks.ReleaseLock(ctx, &apiv1.ReleaseLockRequest{Name: "one", Session: ids[0]}); err != nil {
			t.Fatal(err)
		}
		if err := <-long; err != nil {
			t.Errorf("the longer: %v", err)
		}
	})
}

// A caller that goes away leaves nothing: neither a place in the queue for longer than its own deadline, nor a lock that it was granted
// after it had gone, under a session that nobody knows. One that asks again in time keeps what it is given.
func TestLocks_CallerGoesAway_LeavesNothing(t *testing.T) {
	const id = "01JD3VXK5N8Y2T3B4C5D6E7F8G"
	for name, tt := range map[string]struct {
		deadline       time.Duration // of the call that goes away after a second
		release, again time.Duration // after that, when the lock is released, and when the call is made again; zero for never
		wait           time.Duration // of that call, which is not granted the lock then; zero for one that is
		after          time.Duration // after which there are
		claims         int
	}{
		"its deadline comes":           {deadline: 1500 * time.Millisecond, after: 500 * time.Millisecond, claims: 1},
		"it waits":                     {deadline: time.Minute, after: 1100 * time.Millisecond, claims: 1},
		"it is granted the lock":       {deadline: time.Minute, release: 300 * time.Millisecond, after: 1100 * time.Millisecond, claims: 0},
		"it asks again and has it":     {deadline: time.Minute, release: 300 * time.Millisecond, again: 600 * time.Millisecond, after: 5 * time.Second, claims: 1},
		"it asks again and is granted": {deadline: time.Minute, release: 600 * time.Millisecond, again: 300 * time.Millisecond, after: 5 * time.Second, claims: 1},
		"it asks again, for a moment":  {deadline: time.Minute, again: 300 * time.Millisecond, wait: 200 * time.Millisecond, after: 1100 * time.Millisecond, claims: 1},
		"it asks again and waits":      {deadline: time.Minute, release: 4 * time.Second, again: 300 * time.Millisecond, after: 5 * time.Second, claims: 1},
	} {
		t.Run(name, func(t *testing.T) {
			site(t, 1, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				sessions, locks := locksOf(c, c.Leader(nil))
				ask := func(ctx context.Context, wait time.Duration, again bool) (*apiv1.AcquireLockResponse, error) {
					return locks.AcquireLock(ctx, &apiv1.AcquireLockRequest{
						Name: "one", Holder: "second", Ttl: durationpb.New(2 * time.Minute), Wait: durationpb.New(wait),
						Retry: &apiv1.Retry{RequestId: id, Again: again},
					})
				}
				first, err := locks.AcquireLock(ctx, &apiv1.AcquireLockRequest{Name: "one", Holder: "first", Ttl: durationpb.New(2 * time.Minute)})
				if err != nil {
					t.Fatal(err)
				}
				going, goes := context.WithTimeout(ctx, tt.deadline)
				gone := make(chan error, 1)
				go func() {
					_, err := ask(going, 40*time.Second, false)
					gone <- err
				}()
				time.Sleep(time.Second)
				goes()
				if err := <-gone; status.Code(err) != codes.Canceled {
					t.Errorf("who went away: %v", err)
				}
				begin := time.Now()
				var work sync.WaitGroup
				if tt.release > 0 {
					work.Go(func() {
						time.Sleep(tt.release)
						if _, err := sessions.CloseSession(ctx, &apiv1.CloseSessionRequest{Session: first.Session}); err != nil {
							t.Error(err)
						}
					})
				}
				if tt.again > 0 {
					work.Go(func() {
						time.Sleep(tt.again)
						wait := cmp.Or(tt.wait, 40*time.Second)
						if resp, err := ask(ctx, wait, true); (err == nil) != (tt.wait == 0) || err == nil && !resp.Held {
							t.Errorf("asking again: %v, %v", resp, err)
						}
					})
				}
				time.Sleep(time.Until(begin.Add(tt.after)))
				work.Wait()
				if v := c.Save(); v.ClaimCount() != tt.claims || v.SessionCount() != tt.claims {
					t.Errorf("%d claims and %d sessions, want %d each", v.ClaimCount(), v.SessionCount(), tt.claims)
				}
			})
		})
	}
}

// Every rule that a call about locks can break is named in its error.
func TestLocks_BadInput_NamesTheRule(t *testing.T) {
	site(t, 1, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		ctx := context.Background()
		sessions, locks := locksOf(c, c.Leader(nil))
		open := func(r *apiv1.OpenSessionRequest) func() error {
			return func() error { _, err := sessions.OpenSession(ctx, r); return err }
		}
		acquire := func(r *apiv1.AcquireLockRequest) func() error {
			return func() error { _, err := locks.AcquireLock(ctx, r); return err }
		}
		d := durationpb.New
		far, before := &durationpb.Duration{Seconds: math.MaxInt64, Nanos: math.MaxInt32}, &durationpb.Duration{Seconds: math.MinInt64}
		for _, tt := range []struct {
			name   string
			call   func() error
			reason apiv1.Reason
			text   string
		}{
			{"TTL of zero", open(&apiv1.OpenSessionRequest{Holder: "h", Ttl: d(0)}), apiv1.ReasonInvalidArgument, "ttl: 0s: 1s to 5m0s is allowed"},
			{"TTL below a round trip", open(&apiv1.OpenSessionRequest{Holder: "h", Ttl: d(time.Millisecond)}), apiv1.ReasonInvalidArgument, "1s to 5m0s"},
			{"TTL of a year", open(&apiv1.OpenSessionRequest{Holder: "h", Ttl: d(365 * 24 * time.Hour)}), apiv1.ReasonInvalidArgument, "1s to 5m0s"},
			{"TTL beyond all", open(&apiv1.OpenSessionRequest{Holder: "h", Ttl: far}), apiv1.ReasonInvalidArgument, "1s to 5m0s"},
			{"TTL before all", open(&apiv1.OpenSessionRequest{Holder: "h", Ttl: before}), apiv1.ReasonInvalidArgument, "1s to 5m0s"},
			{"no holder", open(&apiv1.OpenSessionRequest{}), apiv1.ReasonInvalidArgument, "holder: the name is empty"},
			{"long holder", open(&apiv1.OpenSessionRequest{Holder: strings.Repeat("h", 129)}), apiv1.ReasonInvalidArgument, "129 bytes, at most 128"},
			{"holder that rings", open(&apiv1.OpenSessionRequest{Holder: "a\a"}), apiv1.ReasonInvalidArgument, "control character U+0007"},
			{"long owner", open(&apiv1.OpenSessionRequest{Holder: "h", Owner: strings.Repeat("h", 256)}), apiv1.ReasonInvalidArgument, "256 bytes, at most 255"},
			{"no name", acquire(&apiv1.AcquireLockRequest{Session: 1}), apiv1.ReasonInvalidArgument, "name: the name is empty"},
			{"long name", acquire(&apiv1.AcquireLockRequest{Name: strings.Repeat("n", 513), Session: 1}), apiv1.ReasonInvalidArgument, "513 bytes, at most 512"},
			{"mode", acquire(&apiv1.AcquireLockRequest{Name: "n", Session: 1, Mode: 9}), apiv1.ReasonInvalidArgument, "mode"},
			{"mode below all", acquire(&apiv1.AcquireLockRequest{Name: "n", Session: 1, Mode: math.MinInt32}), apiv1.ReasonInvalidArgument, "mode"},
			{"no permits", acquire(&apiv1.AcquireLockRequest{Name: "n", Session: 1, Mode: apiv1.LockMode_SEMAPHORE}), apiv1.ReasonInvalidArgument, "permits"},
			{"permits", acquire(&apiv1.AcquireLockRequest{Name: "n", Session: 1, Mode: apiv1.LockMode_SEMAPHORE, Permits: math.MaxUint32}), apiv1.ReasonInvalidArgument, "1 to 32768"},
			{"permits of no semaphore", acquire(&apiv1.AcquireLockRequest{Name: "n", Session: 1, Permits: 1}), apiv1.ReasonInvalidArgument, "only a semaphore"},
			{"wait", acquire(&apiv1.AcquireLockRequest{Name: "n", Session: 1, Wait: d(61 * time.Second)}), apiv1.ReasonInvalidArgument, "0 to 1m0s"},
			{"wait before all", acquire(&apiv1.AcquireLockRequest{Name: "n", Session: 1, Wait: before}), apiv1.ReasonInvalidArgument, "0 to 1m0s"},
			{"delay", acquire(&apiv1.AcquireLockRequest{Name: "n", Session: 1, Delay: far}), apiv1.ReasonInvalidArgument, "0 to 5m0s"},
			{"stay without a session", acquire(&apiv1.AcquireLockRequest{Name: "n", Holder: "h", Stay: true}), apiv1.ReasonInvalidArgument, "stay"},
			{"no holder of a session for the lock", acquire(&apiv1.AcquireLockRequest{Name: "n"}), apiv1.ReasonInvalidArgument, "holder"},
			{"no such session", acquire(&apiv1.AcquireLockRequest{Name: "n", Session: math.MaxUint64}), apiv1.ReasonLockLost, "the session is over"},
			{"keep of no session", func() error { _, err := sessions.KeepSession(ctx, &apiv1.KeepSessionRequest{}); return err }, apiv1.ReasonLockLost, "session 0 is over"},
			{"close of session zero", func() error { _, err := sessions.CloseSession(ctx, &apiv1.CloseSessionRequest{}); return err }, apiv1.ReasonInvalidArgument, "the session is zero"},
			{"release of no session", func() error { _, err := locks.ReleaseLock(ctx, &apiv1.ReleaseLockRequest{Name: "n"}); return err }, apiv1.ReasonInvalidArgument, "the session is zero"},
			{"release of nothing", func() error {
				_, err := locks.ReleaseLock(ctx, &apiv1.ReleaseLockRequest{Name: "n", Session: 9})
				return err
			}, apiv1.ReasonLockNotFound, `"n"`},
			{"break of nothing", func() error { _, err := locks.BreakLock(ctx, &apiv1.BreakLockRequest{Name: "n"}); return err }, apiv1.ReasonLockNotFound, `"n"`},
			{"renewal of nothing", func() error {
				_, err := locks.RenewLock(ctx, &apiv1.RenewLockRequest{Name: "n", Session: 9})
				return err
			}, apiv1.ReasonLockLost, "session 9 is over"},
			{"no name to get", func() error { _, err := locks.GetLock(ctx, &apiv1.GetLockRequest{}); return err }, apiv1.ReasonInvalidArgument, "the name is empty"},
			{"page", func() error { _, err := locks.ListLocks(ctx, &apiv1.ListLocksRequest{PageSize: 1001}); return err }, apiv1.ReasonInvalidArgument, "at most 1000"},
			{"page token", func() error { _, err := locks.ListLocks(ctx, &apiv1.ListLocksRequest{PageToken: "\n"}); return err }, apiv1.ReasonInvalidArgument, "page token"},
			{"page token of sessions", func() error {
				_, err := sessions.ListSessions(ctx, &apiv1.ListSessionsRequest{PageToken: "x"})
				return err
			}, apiv1.ReasonInvalidArgument, "page token"},
		} {
			err := tt.call()
			if r, _, _ := apiv1.ReasonOf(err); r != tt.reason || !strings.Contains(status.Convert(err).Message(), tt.text) || len(status.Convert(err).Message()) > 400 {
				t.Errorf("%s: %v, want %s and %q", tt.name, err, tt.reason, tt.text)
			}
		}
		if v := c.Save(); v.SessionCount() != 0 || v.LockCount() != 0 {
			t.Errorf("%d sessions and %d locks are left of it", v.SessionCount(), v.LockCount())
		}
	})
}

// Sessions and locks that are kept over a restore have their full time in the new cluster, and then expire; cleared ones are
// gone at once.
func TestLocks_RestoredAndKept_HaveTheFullTime(t *testing.T) {
	e := snapshot.NewEditor(snapshot.Empty())
	e.SetPosition(50, 1)
	e.SetCluster(snapshot.Cluster{ID: "old", Seed: 1, FeatureLevel: 1, MaxMemberTTL: uint64(time.Second)})
	const ttl = 8 * time.Second
	for i := range placement.SessionID(2) {
		e.OpenSession(placement.Session{ID: 4096 + i, TTL: ttl, Holder: fmt.Sprint("h", i)})
		e.AddClaim("nightly", 0, placement.Claim{Token: placement.Epoch(4100 + i), Session: 4096 + i, Mode: placement.LockExclusive})
	}
	e.Grant("nightly")
	bubble(t, 1, nil, func(t *testing.T, c *raftnodetest.Cluster) {
		c.Leader(nil)
		c.RestoreKeepingLocks(e.Publish())
		s := c.Leader(nil)
		sessions, locks := locksOf(c, s)
		begin := time.Now()
		got, err := locks.GetLock(context.Background(), &apiv1.GetLockRequest{Name: "nightly"})
		if err != nil || got.Lock.Held != 1 || got.Lock.Waiting != 1 || got.Lock.Claims[0].Token != 4100 {
			b, _ := json.Marshal(got)
			t.Fatalf("%s, %v", b, err)
		}
		for time.Since(begin) < 2*ttl { // the second lives on
			if _, err := sessions.KeepSession(context.Background(), &apiv1.KeepSessionRequest{Session: 4097}); err != nil {
				t.Fatal(err)
			}
			l, _ := c.Save().Lock("nightly")
			claim, _, _ := l.Claim(4100)
			if over := claim.Token == 0; over && time.Since(begin) < ttl || !over && time.Since(begin) > ttl*5/4+2*time.Second {
				t.Fatalf("after %v, the first session is over: %t", time.Since(begin), over)
			}
			time.Sleep(time.Second)
		}
		if _, held, _ := c.Save().ClaimOf(4097, "nightly"); !held {
			t.Error("the next one does not hold it")
		}
	})
}

// Ten thousand wait for one lock, each in a call of its own, and get it one after the other in the order of their tokens.
// What is shown of the lock is bounded.
func TestLocks_TenThousandWaiters_InTheirOrder(t *testing.T) {
	n := uint32(underrace.Rounds(10_000, 500))
	site(t, 1, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
		defer cancel()
		sessions, locks := locksOf(c, c.Leader(nil))
		ids := make([]uint64, n)
		var tasks sync.WaitGroup
		for i := range ids {
			tasks.Go(func() {
				resp, err := sessions.OpenSession(ctx, &apiv1.OpenSessionRequest{Holder: "h", Ttl: durationpb.New(5 * time.Minute)})
				if err != nil {
					t.Error(err)
					return
				}
				ids[i] = resp.Session.Id
			})
		}
		tasks.Wait()
		first, err := locks.AcquireLock(ctx, &apiv1.AcquireLockRequest{Name: "one", Session: ids[0]})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		last, holders := first.Token, uint32(1)
		for _, id := range ids[1:] {
			tasks.Go(func() {
				resp, err := locks.AcquireLock(ctx, &apiv1.AcquireLockRequest{Name: "one", Session: id, Wait: durationpb.New(time.Minute)})
				if err != nil || !resp.Held {
					t.Errorf("acquire: %v, %v", resp, err)
					return
				}
				mu.Lock()
				if resp.Token <= last {
					t.Errorf("token %d was let in behind %d", resp.Token, last)
				}
				last, holders = resp.Token, holders+1
				mu.Unlock()
				if _, err := locks.ReleaseLock(ctx, &apiv1.ReleaseLockRequest{Name: "one", Session: id, Token: resp.Token}); err != nil {
					t.Errorf("release: %v", err)
				}
			})
		}
		var lock *apiv1.Lock
		for lock.GetWaiting() != n-1 {
			time.Sleep(10 * time.Millisecond)
			resp, err := locks.GetLock(ctx, &apiv1.GetLockRequest{Name: "one"})
			if err != nil {
				t.Fatal(err)
			}
			lock = resp.Lock
		}
		if lock.Held != 1 || len(lock.Claims) != 100 {
			t.Errorf("it is held by %d, and shows %d claims", lock.Held, len(lock.Claims))
		}
		if _, err := locks.ReleaseLock(ctx, &apiv1.ReleaseLockRequest{Name: "one", Session: ids[0], Token: first.Token}); err != nil {
			t.Fatal(err)
		}
		tasks.Wait()
		if holders != n {
			t.Errorf("%d had it", holders)
		}
		if v := c.Save(); v.LockCount() != 0 || v.ClaimCount() != 0 {
			t.Errorf("%d locks and %d claims are left", v.LockCount(), v.ClaimCount())
		}
	})
}

// A claim that was queued is a change: a leader that loses its tenure while the call waits does not say that nothing was changed.
func TestLocks_LeaderIsCutOffWhileACallWaits_OutcomeIsUnknown(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		l := c.Leader(nil)
		sessions, locks := locksOf(c, l)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		var ids []uint64
		for range 2 {
			s, err := sessions.OpenSession(ctx, &apiv1.OpenSessionRequest{Holder: "h"})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, s.Session.Id)
		}
		if r, err := locks.AcquireLock(ctx, &apiv1.AcquireLockRequest{Name: "n", Session: ids[0]}); err != nil || !r.Held {
			t.Fatalf("%v, %v", r, err)
		}
		time.AfterFunc(100*time.Millisecond, func() { l.Isolate(true) })
		_, err := locks.AcquireLock(ctx, &apiv1.AcquireLockRequest{Name: "n", Session: ids[1], Wait: durationpb.New(10 * time.Second)})
		if r, _, _ := apiv1.ReasonOf(err); r != apiv1.ReasonOutcomeUnknown {
			t.Errorf("the call failed with %v, want OUTCOME_UNKNOWN", err)
		}
		l.Isolate(false)
	})
}
