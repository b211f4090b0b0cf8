package contract

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// Config says how a Storage behaves. The zero value of a field is its default.
type Config struct {
	// Space keeps what is stored apart from that of other spaces of the cluster; the rules are those of a kind. Default
	// "default".
	Space string
	// Stale is how long a lock lasts that is not used, and an activation whose process has died; the cluster stretches it by
	// a quarter, and begins anew when its leader changes. It is the TTL of sessions, one for each activation, of which each is
	// kept four times in it. Default 5 s; 1 s to StaleMax.
	Stale time.Duration
	// OnLost, unless it is nil, is called when an activation that was stored through this Storage is not stored any more, or
	// may not be, and was not removed through it. The activation has to stop: another one may be stored from now on. It runs
	// on the goroutine that kept the activation.
	OnLost func(placement.Identity, placement.StoredActivation)
}

const (
	staleDefault = 5 * time.Second
	// StaleMax is the largest Config.Stale: stretched by a quarter it is placement.SpawnLockStaleMax.
	StaleMax = placement.SpawnLockStaleMax * 4 / 5
	// StoredMax is how many activations one Storage keeps. Not larger: each is kept by calls of its own, at this number
	// some 3,000 a second with the default of Config.Stale.
	StoredMax = 4096
)

func (c Config) withDefaults() Config {
	if c.Space == "" {
		c.Space = "default"
	}
	if c.Stale == 0 {
		c.Stale = staleDefault
	}
	return c
}

// Validate reports every fault of the Config at once.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	if err := placement.ValidateKind(c.Space); err != nil {
		errs = append(errs, fmt.Errorf("config: Space: %w", err))
	}
	if c.Stale < placement.SessionTTLMin || c.Stale > StaleMax {
		errs = append(errs, fmt.Errorf("config: Stale %v: %v to %v is allowed", c.Stale, placement.SessionTTLMin, StaleMax))
	}
	return errors.Join(errs...)
}
