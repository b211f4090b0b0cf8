package fence

import (
	"errors"
	"fmt"
	"sync"

	"github.com/seed13d31b7f/berth/placement"
)

// StaleError says that a resource has seen a larger token. Nothing was done.
type StaleError struct {
	// Resource is its name; empty for a Guard, which has none.
	Resource string
	// Token is what was shown, and Newest the largest token that the resource has seen; zero when it does not tell.
	Token, Newest placement.Epoch
}

// Error names the resource and the tokens.
func (e *StaleError) Error() string {
	s := fmt.Sprintf("token %d is stale", e.Token)
	if e.Resource != "" {
		s = fmt.Sprintf("%.80q: %s", e.Resource, s)
	}
	if e.Newest != 0 {
		s += fmt.Sprintf(": %d was seen", e.Newest)
	}
	return s
}

var (
	// ErrNoToken says that the token is zero, which is none. Nothing was done.
	ErrNoToken = errors.New("zero is no token")
	// ErrFull says that Guards have seen as many resources as they may. Nothing was done.
	ErrFull = errors.New("too many resources")
)

// Guard is the newest token that one resource has seen. Its zero value has seen none. It must not be copied, and is safe for
// concurrent use. It lasts as long as the process: a resource that outlives the process keeps the token itself.
type Guard struct {
	mu     sync.Mutex
	newest placement.Epoch
}

// Check shows a token. It fails with a *StaleError when a larger one was seen, and with ErrNoToken. What is done after a Check
// can come after what a larger token did: where that matters, use Do.
func (g *Guard) Check(token placement.Epoch) error {
	return g.Do(token, func() error { return nil })
}

// Do shows a token and, when it is not stale, runs effect before another token is looked at. It fails as Check does, and
// with what effect returned; the token counts as seen then, too. effect must not use the Guard.
func (g *Guard) Do(token placement.Epoch, effect func() error) error {
	if token == 0 {
		return ErrNoToken
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if token < g.newest {
		return &StaleError{Token: token, Newest: g.newest}
	}
	g.newest = token
	return effect()
}

// Newest is the largest token that was seen; zero when none was.
func (g *Guard) Newest() placement.Epoch {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.newest
}

// Guards are the Guards of many resources by name. They are safe for concurrent use.
type Guards struct {
	most int

	mu     sync.Mutex
	guards map[string]*Guard
}

// NewGuards returns the guards of at most so many resources, at least one. One more is refused: to forget one, to make room, is to
// accept any token for it.
func NewGuards(most int) *Guards { return &Guards{most: max(1, most), guards: map[string]*Guard{}} }

// Check is Guard.Check for one resource. Besides, it fails with ErrFull.
func (g *Guards) Check(resource string, token placement.Epoch) error {
	return g.Do(resource, token, func() error { return nil })
}

// Do is Guard.Do for one resource. Besides, it fails with ErrFull. Effects on different resources do not wait for each other.
func (g *Guards) Do(resource string, token placement.Epoch, effect func() error) error {
	if token == 0 {
		return ErrNoToken
	}
	x, err := g.of(resource)
	if err == nil {
		err = x.Do(token, effect)
	}
	if stale, ok := err.(*StaleError); ok && stale.Resource == "" {
		stale.Resource = resource
	}
	return err
}

func (g *Guards) of(resource string) (*Guard, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	x := g.guards[resource]
	if x == nil {
		if len(g.guards) >= g.most {
			return nil, ErrFull
		}
		x = &Guard{}
		g.guards[resource] = x
	}
	return x, nil
}
