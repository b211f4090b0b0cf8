package lookupclient

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

const (
	// learnedMax is how many servers are kept that Config.Servers does not name.
	learnedMax = 16
	// learnAgain is how long it takes until a cluster is asked again where its servers are, while the client is in use, give or take a
	// quarter: that is so for the first time, and after a connection ended, since who takes the place of a server may not be there yet.
	// It doubles from time to time, to learnEvery.
	learnAgain, learnEvery = 2 * time.Second, 30 * time.Second
	// learnTimeout bounds a question.
	learnTimeout = 2 * time.Second
)

// followed are the servers of the cluster: those of Config.Servers, and those that the cluster says it has besides. The latter take calls
// only while few of the former can be reached: what a cluster announces may be out of a client's reach.
type followed struct {
	given []string // Config.Servers
	only  bool     // Config.ServersOnly
	tell  func()   // has gRPC look at learned again
	// ask asks the cluster; no says that nobody answered. An answer may say nothing.
	ask func() (s *apiv1.Servers, ok bool)

	begin time.Time
	next  atomic.Int64 // when to ask again, since begin
	few   atomic.Bool  // of the given can be reached
	tasks sync.WaitGroup

	mu      sync.Mutex
	over    bool
	asking  bool
	owed    bool          // a connection ended, and nobody has answered since
	wait    time.Duration // until the next question
	index   uint64        // as of which the cluster has said it
	learned []string
	strange map[string]bool // of learned, servers of another cluster
}

func newFollowed(c Config) *followed {
	return &followed{given: c.Servers, only: c.ServersOnly, begin: time.Now(), strange: map[string]bool{}}
}

// others are the servers that were learned, and are not of another cluster. The caller does not change the list.
func (f *followed) others() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.strange) == 0 {
		return f.learned
	}
	return slices.DeleteFunc(slices.Clone(f.learned), func(a string) bool { return f.strange[a] })
}

// all are all servers that are known.
func (f *followed) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Concat(f.given, f.learned)
}

// inUse is how many servers calls may go to.
func (f *followed) inUse() int {
	if f.few.Load() {
		return len(f.given) + len(f.others())
	}
	return len(f.given)
}

// used says that a server has answered, so that the cluster is asked where its servers are when it is time to.
func (f *followed) used() {
	if int64(time.Since(f.begin)) >= f.next.Load() {
		f.learn()
	}
}

// ended says that a connection ended: the servers that are left can say who takes the place of that one. It does not wait.
func (f *followed) ended() {
	f.mu.Lock()
	f.owed = true
	f.mu.Unlock()
	f.learn()
}

// learn asks the cluster where its servers are, beside the caller; one question at a time.
func (f *followed) learn() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.only || f.over || f.asking {
		return
	}
	f.asking = true
	f.tasks.Go(func() {
		for again := true; again; {
			f.mu.Lock()
			owed := f.owed
			f.owed = false
			f.mu.Unlock()
			s, ok := f.ask()
			f.take(s)
			again = f.answered(ok, owed)
		}
	})
}

// answered ends a question, and says whether there is another one: a connection has ended since it was put. ok says that it has an answer,
// and owed that a connection had ended before.
func (f *followed) answered(ok, owed bool) (again bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wait = min(2*f.wait, learnEvery)
	if !ok || owed || f.wait == 0 {
		f.wait = learnAgain
	}
	f.next.Store(int64(time.Since(f.begin) + f.wait*3/4 + rand.N(f.wait/2)))
	again = ok && f.owed && !f.over
	f.owed = f.owed || owed && !ok
	f.asking = again
	return again
}

// take takes in where a server of this client's cluster says that its servers are; nil when it does not say.
func (f *followed) take(s *apiv1.Servers) {
	f.mu.Lock()
	if f.only || s == nil || len(s.Addresses) == 0 || s.Index < f.index {
		f.mu.Unlock()
		return
	}
	f.index = s.Index
	var list []string
	for _, a := range s.Addresses {
		if len(list) < learnedMax && dialable(a) && !slices.Contains(f.given, a) && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	changed := !slices.Equal(list, f.learned)
	f.learned = list
	for a := range f.strange {
		if !slices.Contains(list, a) {
			delete(f.strange, a)
		}
	}
	f.mu.Unlock()
	if changed {
		f.tell()
	}
}

// dialable says whether an address leads anywhere: a server that listens everywhere may say so, and not where it is.
func dialable(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" || len(address) > addressBytesMax {
		return false
	}
	ip := net.ParseIP(host)
	return ip == nil || !ip.IsUnspecified()
}

// addressBytesMax bounds an address that is learned.
const addressBytesMax = 300

// leave says that another cluster answers at an address, which is passed over for a while then; no says that it was not learned, but
// given.
func (f *followed) leave(address string) (learned bool) {
	f.mu.Lock()
	known := f.strange[address]
	learned = !slices.Contains(f.given, address) && slices.Contains(f.learned, address)
	if learned {
		f.strange[address] = true
	}
	f.mu.Unlock()
	if learned && !known {
		f.tell()
		time.AfterFunc(learnEvery, func() { f.forgive(address) })
	}
	return learned
}

// forgive has an address tried again.
func (f *followed) forgive(address string) {
	f.mu.Lock()
	delete(f.strange, address)
	over := f.over
	f.mu.Unlock()
	if !over {
		f.tell()
	}
}

// close ends all questions, whose context has ended.
func (f *followed) close() {
	f.mu.Lock()
	f.over = true
	f.mu.Unlock()
	f.tasks.Wait()
}

// askServers asks a server of the cluster that is there where all of them are. Nobody but the servers is told of it: no hook, no span.
func (c *Conn) askServers() (*apiv1.Servers, bool) {
	if c.Cluster() == "" {
		return nil, false // which one it is, the first call decides
	}
	ctx, cancel := context.WithTimeout((&route{known: c.distances}).with(c.probes.ctx), learnTimeout)
	defer cancel()
	var header metadata.MD
	resp, err := apiv1.NewClusterClient(c.cc).Discover(c.expecting(ctx), &apiv1.DiscoverRequest{}, grpc.Header(&header))
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return nil, false
	}
	if own, other := c.heard(header); err != nil || other != nil || !own {
		return nil, true
	}
	return resp.Servers, true
}
