package lookupclient

import (
	"context"
	"errors"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// ErrOwnedElsewhere says that another member owns the identity that was to be activated here.
var ErrOwnedElsewhere = errors.New("another member owns the identity")

// Activate returns this member's activation of an identity, and begins it when there is none: that is for identities of
// kinds that are settled as soon as they are placed, whose owner is not asked to activate them, when something is asked of
// one. It places the identity when nobody owns it. It fails with ErrOwnedElsewhere, with what Kind.Activate failed with,
// after which the identity is free again, with ErrClosed when the member has ended, with the errors of Client.Place, and with
// ctx's.
func (m *Member) Activate(ctx context.Context, id placement.Identity) (*Activation, error) {
	if m.ctx.Err() != nil {
		return nil, ErrClosed
	}
	p, _, err := m.client.Place(ctx, id)
	if err != nil {
		return nil, err
	}
	if p.Member != m.config.Name {
		return nil, ErrOwnedElsewhere
	}
	w := make(chan activated, 1)
	m.post(func() { m.loop.begin(p, w) })
	select {
	case x := <-w:
		return x.activation, x.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-m.ctx.Done():
		return nil, ErrClosed
	}
}

// activated is what became of an activation that somebody waits for.
type activated struct {
	activation *Activation
	err        error
}

// begin activates what the member owns, and tells w what becomes of it. Whether it is this incarnation that owns it, the
// answer to its confirmation says.
func (l *loop) begin(p Placement, w chan<- activated) {
	if a := l.activations[p.Identity]; a != nil && a.Epoch == p.Epoch && a.state == acting {
		w <- activated{activation: a}
		return
	}
	if l.life == nil {
		w <- activated{err: ErrLeaseLost}
		return
	}
	l.wanted[p.Identity] = append(l.wanted[p.Identity], w)
	l.activate(&apiv1.Held{Kind: p.Identity.Kind, Key: p.Identity.Key, Epoch: uint64(p.Epoch)})
}

// tell tells who waits for an activation what became of it.
func (l *loop) tell(id placement.Identity, x activated) {
	for _, w := range l.wanted[id] {
		w <- x
	}
	delete(l.wanted, id)
}
