package lookupclient

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/oklog/ulid/v2"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/lease"
)

// loop is the one goroutine that owns what a member is. Everything else tells it: the session, the functions of Kind, the
// clock.
type loop struct {
	m           *Member
	life        *life    // nil while the member has no incarnation
	session     *session // nil while it has no connection to the leader
	former      string   // the address of the server that the last one was with; empty before
	connecting  bool
	activations map[placement.Identity]*Activation
	ghosts      map[placement.Identity]*Activation        // given up, but a function of Kind still runs
	waiting     map[placement.Identity]*apiv1.Held        // orders that wait for such a function to return
	wanted      map[placement.Identity][]chan<- activated // who waits for an activation, see Member.Activate
	join        *apiv1.Retry                              // of a Join whose outcome may be unknown; nil before the first try
	backoff     *backoff.ExponentialBackOff
	connectAt   time.Duration // not before
	asking      lease.Asking  // of keepalives
	ttl         time.Duration
	reports     reports
	leaving     *leaving
	drained     bool // the cluster knows that the member takes nothing new
	held        int
	lost        int
	fenced      <-chan struct{} // ends with life
}

func newLoop(m *Member) *loop {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 20*time.Millisecond, connectAgainMax/2
	return &loop{
		m: m, backoff: b, asking: lease.NewAsking(uint64(time.Now().UnixNano())), activations: map[placement.Identity]*Activation{}, ghosts: map[placement.Identity]*Activation{},
		waiting: map[placement.Identity]*apiv1.Held{}, wanted: map[placement.Identity][]chan<- activated{},
	}
}

const (
	// loopTick is how often the loop looks at what nobody tells it.
	loopTick = 50 * time.Millisecond
	// connectAgainMax bounds the time between two searches for the leader; the backoff adds up to a half to what it is told.
	connectAgainMax = time.Second
	// reportAgain is when a report that was not answered is made again.
	reportAgain = 2 * time.Second
)

// run is the member's life.
func (l *loop) run() {
	defer close(l.m.done)
	defer l.m.tasks.Wait()
	defer l.endSession()
	ticker := time.NewTicker(loopTick)
	defer ticker.Stop()
	l.connect()
	for {
		l.publish()
		var inbox <-chan *apiv1.ToMember
		var down <-chan error
		if l.session != nil {
			inbox, down = l.session.inbox, l.session.down
		}
		select {
		case f := <-l.m.events:
			f()
			l.rest()
		case msg := <-inbox:
			l.take(msg)
		case err := <-down:
			l.sessionDown(err)
		case <-l.fenced:
			l.lifeEnded()
		case <-ticker.C:
			l.tick()
		case x := <-l.m.leave:
			l.beginLeave(x)
		case <-l.m.ctx.Done():
			l.close()
			return
		}
		l.flush()
		if l.leaving != nil && l.leaveStep() {
			return
		}
	}
}

// rest does what else has been posted by now.
func (l *loop) rest() {
	for range cap(l.m.events) {
		select {
		case f := <-l.m.events:
			f()
		default:
			return
		}
	}
}

// publish shows the state to others.
func (l *loop) publish() {
	l.m.mu.Lock()
	before := l.m.state.Held
	l.m.state = MemberState{Held: l.held, Lost: l.lost}
	s := &l.m.state
	if l.life != nil {
		s.Incarnation, s.LeaseLeft = l.life.incarnation, l.life.left()
	}
	if l.session != nil {
		s.Server = l.session.server
	}
	l.m.mu.Unlock()
	if l.held != before && l.m.config.OnChange != nil {
		l.m.config.OnChange(l.held)
	}
}

// connect looks for the leader, beside the loop.
func (l *loop) connect() {
	wait := l.connectAt - l.m.config.Now()
	if l.connecting || l.m.ctx.Err() != nil || wait > 0 && wait <= connectAgainMax { // a longer one is of before the clock jumped back
		return
	}
	l.connecting = true
	first, life, former := l.firstMessage(), l.life, l.former
	l.m.tasks.Go(func() {
		s, err := l.m.dial(first, former)
		l.m.post(func() {
			l.connecting = false
			l.connected(s, err, life)
		})
	})
}

// firstMessage is a Join when the member has no incarnation, a Resume otherwise.
func (l *loop) firstMessage() *apiv1.FromMember {
	if l.life != nil {
		return &apiv1.FromMember{Message: &apiv1.FromMember_Resume{Resume: &apiv1.Resume{
			Incarnation: uint64(l.life.incarnation), Nonce: uint64(time.Now().UnixNano()), Cluster: l.m.client.conn.Cluster(),
		}}}
	}
	c, d := &l.m.config, l.m.config.description()
	again := l.join != nil
	if !again {
		l.join = &apiv1.Retry{RequestId: ulid.Make().String(), KnownIndex: l.m.client.conn.knownIndex()}
	}
	return &apiv1.FromMember{Message: &apiv1.FromMember_Join{Join: &apiv1.Join{
		Member: &apiv1.Member{Name: string(d.ID), Address: d.Address, Kinds: d.Kinds, Labels: c.Labels, Weight: c.Weight, Capacity: c.Capacity},
		Retry:  &apiv1.Retry{RequestId: l.join.RequestId, KnownIndex: l.join.KnownIndex, Again: again},
	}}}
}

// connected takes a session in, with the answer to its first message. life is the one that the message was about, nil for a
// Join.
func (l *loop) connected(s *session, err error, life *life) {
	if err != nil {
		var e *Error
		if errors.As(err, &e) && (errors.Is(e, ErrInvalid) || errors.Is(e, ErrClusterMismatch)) {
			// No server will take this member. When its cluster is another now, what it holds is nothing there.
			l.m.client.conn.config.Logger.Warn("member ends", "member", l.m.config.Name, "held", l.held, "error", err)
			l.m.cancel(err)
			return
		}
		if e != nil && isUnknown(e) {
			// Whether a former try was carried out cannot be told any more. If it was, that incarnation is superseded by
			// the next one, and expires.
			l.join = nil
		}
		why := apiv1.ReasonNoLeader // nobody takes it, and nothing else is wrong
		if e != nil {
			why = e.Reason
		}
		l.m.client.conn.warnings.warn("a member has no session", why, "member", l.m.config.Name, "error", err)
		l.retryConnect()
		return
	}
	switch x := s.answer.Message.(type) {
	case *apiv1.ToMember_Gone:
		l.m.tasks.Go(s.close)
		l.join = nil // one that was carried out long ago is not asked for again
		l.gone()
		l.retryConnect()
	case *apiv1.ToMember_Welcome:
		// Invariant: a life that has ended is not resumed. What it held has stopped, and would stay placed on an incarnation
		// that lives and does not act on it.
		if life != l.life || !l.welcome(s, x.Welcome) {
			l.m.tasks.Go(s.close)
			l.retryConnect()
		}
	}
}

// retryConnect tries again after a while.
func (l *loop) retryConnect() { l.connectAt = l.m.config.Now() + l.backoff.NextBackOff() }

// welcome begins a life, or goes on with it. It says no when the answer does not fit what was asked.
func (l *loop) welcome(s *session, w *apiv1.Welcome) bool {
	inc, ttl := placement.Incarnation(w.Incarnation), w.Ttl.AsDuration()
	switch {
	case l.life == nil:
		l.life = newLife(l.m.ctx, inc, l.m.config.Now, s.asked, ttl)
		l.fenced = l.life.ctx.Done()
		life := l.life
		l.m.tasks.Go(life.fence)
		l.join, l.drained = nil, false
	case l.life.incarnation == inc:
		l.kept(s.asked, ttl)
		ttl = l.ttl
	default:
		return false // the life that was resumed has ended meanwhile
	}
	l.session, l.ttl = s, ttl
	l.asking.Began(lease.Instant(s.asked))
	l.backoff.Reset()
	select {
	case <-l.m.joined:
	default:
		close(l.m.joined)
	}
	l.reportAll()
	return true
}

// kept takes the answer to a keepalive in. None is no more time than there is: the member is blocked, is asked for what it
// holds, and ends when it has given that back, or with its lease.
func (l *loop) kept(asked, ttl time.Duration) {
	if ttl <= 0 {
		return
	}
	l.life.extend(asked, ttl)
	l.ttl = ttl
}

// sessionDown notes that the connection to the leader is gone.
func (l *loop) sessionDown(err error) {
	l.m.client.conn.config.Logger.Debug("member's session ended", "member", l.m.config.Name, "error", err)
	l.endSession()
	l.connect()
}

// endSession ends the session. Closing it waits for its goroutines, so it is done beside the loop.
func (l *loop) endSession() {
	if l.session != nil {
		l.m.tasks.Go(l.session.close)
		l.former, l.session = l.session.address, nil
	}
}

// lifeEnded drops everything that the incarnation held: it ran out of lease.
func (l *loop) lifeEnded() {
	l.fenced = nil
	if l.life == nil || l.m.ctx.Err() != nil {
		return
	}
	l.lost++
	l.m.client.conn.config.Logger.Warn("member lost its lease and stops everything", "member", l.m.config.Name, "incarnation", l.life.incarnation, "held", l.held)
	l.dropLife(ErrLeaseLost)
	l.endSession()
	l.connect()
}

// gone drops everything because the cluster says that the incarnation is over.
func (l *loop) gone() {
	if l.life == nil {
		return
	}
	l.lost++
	l.dropLife(ErrLeaseLost)
}

// dropLife ends the incarnation. Functions of Kind that still run belong to it: until they return, their identities are
// not activated again in this process.
func (l *loop) dropLife(cause error) {
	l.life.cancel(cause)
	l.life, l.fenced, l.drained = nil, nil, false
	for id, a := range l.activations {
		a.endSpan(cause)
		if l.runs(a) {
			l.ghosts[id] = a
		}
	}
	clear(l.activations)
	clear(l.waiting)
	for id := range l.wanted {
		l.tell(id, activated{err: cause})
	}
	l.reports = reports{}
	l.held = 0
}

// take handles a message of the leader.
func (l *loop) take(msg *apiv1.ToMember) {
	switch x := msg.Message.(type) {
	case *apiv1.ToMember_Alive:
		l.m.client.conn.followed.take(x.Alive.Servers)
		if asked, ok := l.asking.Answered(x.Alive.Nonce); ok {
			l.kept(time.Duration(asked), x.Alive.Ttl.AsDuration())
		}
	case *apiv1.ToMember_Activate:
		for _, h := range x.Activate.Held {
			l.activate(h)
		}
	case *apiv1.ToMember_Stop:
		for _, h := range x.Stop.Held {
			l.stop(h)
		}
	case *apiv1.ToMember_Outcome:
		for _, o := range x.Outcome.Outcomes {
			l.outcome(o)
		}
	case *apiv1.ToMember_Gone:
		l.gone()
		l.endSession()
		l.connect()
	case *apiv1.ToMember_Redirect:
		l.endSession()
		l.connect()
	case *apiv1.ToMember_Left:
		if x.Left.Draining {
			l.drained = true
		} else if l.leaving != nil {
			l.finishLeave(nil)
		}
	}
}

// tick keeps the lease, finds a session, and reports what was not answered.
func (l *loop) tick() {
	if l.session == nil {
		l.connect()
		return
	}
	now, asked := l.m.config.Now(), time.Duration(l.asking.Asked())
	switch {
	case !l.asking.Outstanding() && now >= asked+l.ttl/4:
		nonce, _ := l.asking.Ask(lease.Instant(now)) // before it is sent
		l.session.send(&apiv1.FromMember{Message: &apiv1.FromMember_Keepalive{Keepalive: &apiv1.Keepalive{Nonce: nonce}}})
	case l.asking.Outstanding() && now >= asked+l.ttl/2:
		// No answer for so long: this server does not get its proof. Another may lead.
		l.sessionDown(errors.New("a keepalive was not answered"))
		return
	}
	if l.reports.overdue(now) {
		l.reportAll()
	}
}

// beginLeave asks the cluster for no new activations and stops those that are there.
func (l *loop) beginLeave(x *leaving) {
	if l.leaving != nil {
		x.done <- errors.New("the member leaves already")
		return
	}
	l.leaving, x.since = x, l.m.config.Now()
	l.stopSome()
}

// stopSome stops what leaving may stop by now. The cluster is told of the rate too, and asks for no more by itself: whoever
// is first with one counts it.
func (l *loop) stopSome() {
	x, room := l.leaving, len(l.activations)
	if rate := l.m.config.LeaveRate; rate != 0 {
		seconds, rest := (l.m.config.Now()-x.since)/time.Second, (l.m.config.Now()-x.since)%time.Second
		room = int(int64(seconds)*int64(rate)+int64(rest)*int64(rate)/int64(time.Second)) - x.stopped
	}
	if room <= 0 {
		return
	}
	for _, a := range l.activations {
		if room > 0 && !a.stopped {
			l.stopActivation(a, ErrLeaving)
			x.stopped++
			room--
		}
	}
}

// left are the identities whose activations have not stopped.
func (l *loop) left() []placement.Identity {
	ids := slices.Collect(maps.Keys(l.activations))
	slices.SortFunc(ids, placement.Identity.Compare)
	return ids
}

// leaveStep goes on with leaving. It says whether the member has ended.
func (l *loop) leaveStep() bool {
	l.stopSome()
	switch {
	case l.leaving.ctx.Err() != nil:
		l.finishLeave(&LeaveError{l.left(), context.Cause(l.leaving.ctx)})
	case l.life == nil:
		l.finishLeave(nil) // nothing is held, and no incarnation is there to leave
	case l.session == nil:
		return false
	case !l.drained:
		l.session.once("drain", &apiv1.FromMember{Message: &apiv1.FromMember_Drain{Drain: &apiv1.Drain{Rate: l.m.config.LeaveRate}}})
	case len(l.activations) == 0:
		l.session.once("leave", &apiv1.FromMember{Message: &apiv1.FromMember_Leave{Leave: &apiv1.Leave{}}})
	}
	return l.m.ctx.Err() != nil
}

func (l *loop) finishLeave(err error) {
	l.leaving.done <- err
	l.m.cancel(ErrClosed)
}

// close ends everything at once.
func (l *loop) close() {
	if l.leaving != nil {
		select {
		case l.leaving.done <- context.Cause(l.m.ctx):
		default:
		}
	}
	if l.life != nil {
		l.life.cancel(context.Cause(l.m.ctx))
	}
}
