package raftnode

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/raftnode/internal/port"
	"github.com/seed13d31b7f/berth/raftnode/internal/storage"
)

const (
	// helloForming and helloFormed are how often a server asks the others who they are, before it has a cluster and
	// after.
	helloForming = 100 * time.Millisecond
	helloFormed  = 2 * time.Second
	helloTimeout = time.Second
	// sightingFresh is how long a server counts as seen while a cluster forms.
	sightingFresh = 2 * time.Second
	// crowdedFor is how long more servers than expected are seen before a server refuses. Not zero: some of them may have formed
	// the cluster just now, and say so with their next hello. Less than sightingFresh: who refuses first must still be seen by
	// the others.
	crowdedFor = time.Second
)

// hello is what servers tell each other about themselves beside the greeting. It is made at one moment: what is decided
// about a cluster is decided by it alone, and not by the greeting around it, which is of another.
type hello struct {
	// Cluster is the sender's, empty while it has none.
	Cluster string `json:"cluster,omitempty"`
	// Sees are the servers without a cluster that the sender sees now, itself among them.
	Sees []storage.Founder `json:"sees,omitempty"`
	// Founders are the servers that formed the sender's cluster, Servers the names that it knows, with their disks, and
	// Removed those among them that were removed.
	Founders []storage.Founder `json:"founders,omitempty"`
	Servers  map[string]string `json:"servers,omitempty"`
	Removed  []string          `json:"removed,omitempty"`
}

// sighting is what one exchange with a server showed.
type sighting struct {
	greeting port.Greeting
	hello    hello
	at       time.Time
}

// discover asks every server that may be one of ours who it is, for the life of the server: where servers are is known
// from nothing else when all of them have moved.
func (n *Node) discover() {
	for {
		var tasks sync.WaitGroup
		for _, address := range n.addresses() {
			tasks.Go(func() { n.ask(address) })
		}
		tasks.Wait()
		wait := helloForming
		if n.group() != nil {
			wait = helloFormed
		}
		select {
		case <-time.After(wait):
		case <-n.ctx.Done():
			return
		}
	}
}

// addresses are all places where servers may be, but for this one.
func (n *Node) addresses() []string {
	all := append([]string(nil), n.config.Join...)
	if g := n.group(); g != nil {
		for s := range g.View().Servers() {
			if !s.Removed {
				all = append(all, s.RaftAddress)
			}
		}
	}
	n.mu.Lock()
	for _, f := range n.mu.identity.Founders {
		all = append(all, f.Address)
	}
	for _, a := range n.mu.book {
		all = append(all, a)
	}
	n.mu.Unlock()
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(a string) bool { return a == "" || a == n.raftAddress })
}

func (n *Node) ask(address string) {
	ctx, cancel := context.WithTimeout(n.ctx, helloTimeout)
	defer cancel()
	reply, err := n.port.Hello(ctx, address, n.hello())
	if err != nil {
		var dns *net.DNSError
		if errors.As(err, &dns) || errors.Is(err, port.ErrNotBerth) {
			n.config.Logger.Warn("no server at an address of --join", "address", address, "error", err)
		}
		return
	}
	n.see(reply)
	n.checkForeign(address, reply)
}

// checkForeign ends a server that was given the servers of another cluster, unless its own cluster works all the same.
func (n *Node) checkForeign(address string, reply *port.Greeting) {
	id := n.identity()
	if !slices.Contains(n.config.Join, address) || reply.Cluster == "" || id.Cluster == "" || reply.Cluster == id.Cluster {
		return
	}
	if g := n.group(); g != nil {
		if leader, _ := g.Leader(); leader != "" {
			n.config.Logger.Warn("an address of --join is another cluster's", "address", address, "cluster", reply.Cluster)
			return
		}
	}
	n.stop(n.foreignCluster(reply.Server, address, reply.Cluster))
}

func (n *Node) foreignCluster(server, address, cluster string) error {
	return refused(fmt.Errorf("%w: %s is of cluster %s, and server %s at %s is of %s", ErrForeignCluster, n.config.DataDir, n.Cluster(), server, address, cluster),
		"check --data-dir and --join: one of them is another cluster's")
}

// hello is what this server tells others.
func (n *Node) hello() []byte {
	h := hello{Sees: n.seen()}
	if id := n.identity(); id.Cluster != "" {
		h = hello{Cluster: id.Cluster, Founders: id.Founders, Servers: map[string]string{}}
		if g := n.group(); g != nil {
			for s := range g.View().Servers() {
				h.Servers[s.Name] = s.Incarnation
				if s.Removed {
					h.Removed = append(h.Removed, s.Name)
				}
			}
		}
	}
	b, err := json.Marshal(h)
	if err != nil {
		return nil
	}
	return b
}

// see takes in what a server said of itself.
func (n *Node) see(g *port.Greeting) {
	if g.Server == n.config.Name && g.Incarnation == n.identity().Incarnation {
		return // ourselves, by another address
	}
	s := sighting{greeting: *g, at: time.Now()}
	if fsm.ValidateServerName(g.Server) != nil || len(g.Incarnation) > fsm.ServerTextBytesMax || len(g.Address) > fsm.ServerTextBytesMax {
		return // no server has such a name
	}
	told := len(g.Hello) > 0
	if told && json.Unmarshal(g.Hello, &s.hello) != nil {
		return
	}
	if id := n.identity(); id.Cluster != "" && s.hello.Cluster == id.Cluster && slices.Contains(s.hello.Removed, n.config.Name) {
		n.stop(n.removed(g.Server)) // nobody replicates to it any more: it would hear of it from nothing else
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forgetLocked(g.Server)
	if told {
		n.mu.sightings[g.Server] = s
	}
	if g.Address != "" && (n.mu.identity.Cluster == "" || g.Cluster == n.mu.identity.Cluster) {
		n.mu.book[g.Server] = g.Address
	}
}

// strangersMax is how many names a server remembers of what it was told, all of them also dialled now and then: more than
// a cluster and those who want to join it ever have, and few enough to cost nothing when somebody makes names up.
const strangersMax = 64

// forgetLocked makes room for one more name. What a server of the cluster said is not forgotten while anything else can
// be, and where it is found can be learned from the state, or from itself, again.
func (n *Node) forgetLocked(server string) {
	for name, s := range n.mu.sightings {
		if time.Since(s.at) >= sightingFresh {
			delete(n.mu.sightings, name)
		}
	}
	if _, ok := n.mu.sightings[server]; !ok && len(n.mu.sightings) >= strangersMax {
		n.forgetOneLocked(func(name string) { delete(n.mu.sightings, name) }, maps.Keys(n.mu.sightings))
	}
	if _, ok := n.mu.book[server]; !ok && len(n.mu.book) >= strangersMax {
		n.forgetOneLocked(func(name string) { delete(n.mu.book, name) }, maps.Keys(n.mu.book))
	}
}

func (n *Node) forgetOneLocked(forget func(string), names iter.Seq[string]) {
	victim := ""
	for name := range names {
		if victim = name; !n.ownLocked(name) {
			break
		}
	}
	forget(victim)
}

// ownLocked says whether a name is that of a server of the cluster, as far as this one knows.
func (n *Node) ownLocked(name string) bool {
	if g := n.mu.group; g != nil {
		if _, ok := g.View().Server(name); ok {
			return true
		}
	}
	return slices.ContainsFunc(n.mu.identity.Founders, func(f storage.Founder) bool { return f.Server == name })
}

// seen are the servers without a cluster that are there now, this one among them, ascending by name.
func (n *Node) seen() []storage.Founder {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := []storage.Founder{{Server: n.config.Name, Incarnation: n.mu.identity.Incarnation, Address: n.raftAddress}}
	for _, s := range n.mu.sightings {
		if s.hello.Cluster == "" && time.Since(s.at) < sightingFresh {
			list = append(list, storage.Founder{Server: s.greeting.Server, Incarnation: s.greeting.Incarnation, Address: s.greeting.Address})
		}
	}
	slices.SortFunc(list, func(a, b storage.Founder) int { return strings.Compare(a.Server+a.Incarnation, b.Server+b.Incarnation) })
	return list
}

// findCluster returns when the server's identity names its cluster. The disk decides when it can; otherwise the servers
// that are found do.
func (n *Node) findCluster() error {
	started := time.Now()
	var crowded time.Time // since when there are more servers than expected
	for said := false; ; said = true {
		if id := n.identity(); id.Cluster != "" {
			return n.checkCluster(id)
		}
		done, err := n.decide()
		switch {
		case !errors.Is(err, errCrowded):
			crowded = time.Time{}
		case crowded.IsZero():
			crowded = time.Now()
			err = nil
		case time.Since(crowded) < crowdedFor:
			err = nil
		}
		if done || err != nil {
			return err
		}
		if !said || time.Since(started) > 10*time.Second {
			n.sayWaiting()
			started = time.Now()
		}
		select {
		case <-time.After(helloForming):
		case <-n.ctx.Done():
			return context.Cause(n.ctx)
		}
	}
}

// sayWaiting tells the operator what the server waits for.
func (n *Node) sayWaiting() {
	var names []string
	for _, f := range n.seen() {
		names = append(names, f.Server)
	}
	if n.config.Expect > 0 {
		n.config.Logger.Info("waits for the other servers to form a cluster", "expected", n.config.Expect, "seen", names, "join", n.config.Join)
	} else {
		n.config.Logger.Info("waits for a cluster to join", "join", n.config.Join)
	}
}

// checkCluster compares the cluster of the disk with that of the servers that can be found now: a data directory that
// was put under the wrong servers is refused before it takes part.
func (n *Node) checkCluster(id storage.Identity) error {
	for _, s := range n.current() {
		if s.hello.Cluster != "" && s.hello.Cluster != id.Cluster {
			return n.foreignCluster(s.greeting.Server, s.greeting.Address, s.hello.Cluster)
		}
	}
	return nil
}

// current are the fresh sightings, ascending by name.
func (n *Node) current() []sighting {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []sighting
	for _, s := range n.mu.sightings {
		if time.Since(s.at) < sightingFresh {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b sighting) int { return strings.Compare(a.greeting.Server, b.greeting.Server) })
	return list
}

// decide forms a cluster, or joins one, when what is seen is enough for it.
func (n *Node) decide() (done bool, err error) {
	list := n.current()
	for _, s := range list {
		if s.greeting.Server == n.config.Name {
			return false, refused(fmt.Errorf("%w: another server at %s is called %s too", ErrForming, s.greeting.Address, n.config.Name),
				"give each server its own --name")
		}
	}
	for _, s := range list {
		if s.hello.Cluster != "" {
			return n.join(s, list)
		}
	}
	return n.form(list)
}

// join makes the server part of a cluster that is there.
func (n *Node) join(s sighting, list []sighting) (bool, error) {
	id := n.identity()
	cluster := s.hello.Cluster
	for _, o := range list {
		if o.hello.Cluster != "" && o.hello.Cluster != cluster {
			return false, refused(fmt.Errorf("%w: %s is of cluster %s, and %s of %s", ErrForming, s.greeting.Server, cluster, o.greeting.Server, o.hello.Cluster),
				"--join must name servers of one cluster")
		}
		if disk, ok := o.hello.Servers[n.config.Name]; ok && disk != id.Incarnation {
			return false, n.otherDisk(o.greeting.Server)
		}
	}
	for _, f := range s.hello.Founders {
		if f.Server != n.config.Name {
			continue
		}
		if f.Incarnation != id.Incarnation {
			return false, n.otherDisk(s.greeting.Server)
		}
		// The others formed the cluster with us, by what we told them, before we saw that we could.
		id.Founders = s.hello.Founders
	}
	id.Cluster = cluster
	n.config.Logger.Info("joins cluster", "cluster", cluster, "by", s.greeting.Server)
	return true, n.save(id)
}

// otherDisk is the refusal of a server whose disk was wiped. It has forgotten what it voted for and what it acknowledged;
// taking part under the same name, it could undo both.
func (n *Node) otherDisk(by string) error {
	return refused(fmt.Errorf("%w: %s says that %s has, or had, another data directory than %s", ErrOtherDisk, by, n.config.Name, n.config.DataDir),
		"if that directory still exists, start with it; if its disk is lost, start this server under a new name, for example --name %s-2, and then run: berth server remove %s", n.config.Name, n.config.Name)
}

// removed is the end of a server that was removed.
func (n *Node) removed(by string) error {
	return refused(fmt.Errorf("%w, says %s", ErrRemoved, by), "to take part again, start with an empty --data-dir under a new --name")
}

// errCrowded: there are more servers than expected.
var errCrowded = fmt.Errorf("%w: too many servers", ErrForming)

// form forms a new cluster when all expected servers see the same ones. It fails with errCrowded when there are too many.
func (n *Node) form(list []sighting) (bool, error) {
	if n.config.Expect == 0 {
		return false, nil
	}
	seen := n.seen()
	if len(seen) > n.config.Expect {
		var names []string
		for _, f := range seen {
			names = append(names, f.Server)
		}
		return false, refused(fmt.Errorf("%w: %d with empty disks are there (%s), and %d are expected", errCrowded, len(seen), strings.Join(names, ", "), n.config.Expect),
			"set --expect to the number of servers that form the cluster, the same on all; servers that come later join it by themselves")
	}
	if len(seen) < n.config.Expect {
		return false, nil
	}
	for _, s := range list {
		if !sameServers(s.hello.Sees, seen) {
			return false, nil
		}
	}
	id := n.identity()
	id.Cluster, id.Founders = clusterID(seen), seen
	n.config.Logger.Info("forms cluster", "cluster", id.Cluster, "servers", len(seen))
	return true, n.save(id)
}

func (n *Node) save(id storage.Identity) error {
	if err := n.saveIdentity(id); err != nil {
		return n.dirError(err)
	}
	return nil
}

// sameServers says whether two lists name the same servers with the same disks. Where they are may differ: a server may
// be known by several addresses.
func sameServers(a, b []storage.Founder) bool {
	return slices.EqualFunc(a, b, func(x, y storage.Founder) bool { return x.Server == y.Server && x.Incarnation == y.Incarnation })
}

// clusterID is the same on all servers that form a cluster, and no other cluster's: it is made from their disks.
func clusterID(founders []storage.Founder) string {
	h := sha256.New()
	for _, f := range founders {
		fmt.Fprintf(h, "%s\x00%s\x00", f.Server, f.Incarnation)
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)))[:20]
}
