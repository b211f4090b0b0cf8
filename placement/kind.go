package placement

import "fmt"

const (
	// AttemptsDefault is the number of candidates of kinds that name none.
	AttemptsDefault = 3
	// StrategyBytesMax is the length of the longest name of a strategy, in bytes.
	StrategyBytesMax = 64
)

// KindSettings say how the identities of a kind are placed.
type KindSettings struct {
	// Strategy is the name of the strategy that picks the owner. Empty stands for StrategyDefault.
	Strategy string
	// Attempts is the number of candidates that one placement is offered to before it fails, 1 to AttemptsMax. Zero
	// stands for AttemptsDefault.
	Attempts uint8
}

// Normalize fills in the defaults, so that equal settings are equal values.
func (s *KindSettings) Normalize() {
	if s.Strategy == "" {
		s.Strategy = StrategyDefault
	}
	if s.Attempts == 0 {
		s.Attempts = AttemptsDefault
	}
}

// Over returns the settings with what is zero in them taken from old.
func (s KindSettings) Over(old KindSettings) KindSettings {
	if s.Strategy == "" {
		s.Strategy = old.Strategy
	}
	if s.Attempts == 0 {
		s.Attempts = old.Attempts
	}
	return s
}

// Validate reports the first rule that the settings break, as a *KindError; nil when they break none. Whether there is a
// strategy of that name is not looked at: that is another question on each version.
func (s *KindSettings) Validate() error {
	if len(s.Strategy) > StrategyBytesMax {
		return &KindError{"strategy", fmt.Sprintf("%d bytes, at most %d are allowed", len(s.Strategy), StrategyBytesMax)}
	}
	if !printable(s.Strategy) {
		return &KindError{"strategy", "it has a space, a control character or bytes that are not UTF-8"}
	}
	if s.Attempts > AttemptsMax {
		return &KindError{"attempts", fmt.Sprintf("%d is over %d", s.Attempts, AttemptsMax)}
	}
	return nil
}
