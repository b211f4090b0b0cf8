package placement

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const (
	// AttemptsDefault is the number of candidates of kinds that name none.
	AttemptsDefault = 3
	// StrategyBytesMax is the length of the longest name of a strategy, in bytes.
	StrategyBytesMax = 64
	// RequireMax is the number of labels that a kind may require. Not larger: settings are values that are copied.
	RequireMax = 4
	// ConfirmMsMin and ConfirmMsMax bound how long an owner may take to confirm: less than the first is over before an
	// answer can come, and more than the second is a placement that nobody waits for any more.
	ConfirmMsMin, ConfirmMsMax = 100, 600_000
)

// SettleMode says when the placement of an identity is settled. The numbers are part of the log and of snapshots: a mode
// is never renumbered.
type SettleMode uint8

// The modes.
const (
	// SettleOnConfirm: when the owner says that it has activated it.
	SettleOnConfirm SettleMode = 1
	// SettleOnPlace: as soon as the owner is chosen, who activates it when it is first used.
	SettleOnPlace SettleMode = 2
)

var settleModes = [...]string{"", "on-confirm", "on-place"}

// String is the mode's word in lower case, empty for zero.
func (s SettleMode) String() string {
	if int(s) < len(settleModes) {
		return settleModes[s]
	}
	return "unknown"
}

// SettleModeNamed returns the mode of a word; zero when there is none.
func SettleModeNamed(word string) SettleMode {
	return SettleMode(max(0, slices.Index(settleModes[:], word)))
}

// KindSettings say how the identities of a kind are placed.
type KindSettings struct {
	// Strategy is the name of the strategy that picks the owner. Empty stands for StrategyDefault.
	Strategy string
	// Attempts is the number of candidates that one placement is offered to before it fails, 1 to AttemptsMax. Zero
	// stands for AttemptsDefault.
	Attempts uint8
	// Settle says when a placement is settled. Zero stands for SettleOnConfirm.
	Settle SettleMode
	// Require are the labels that a member must carry to be given an identity of the kind. Those without a name stand
	// for none.
	Require [RequireMax]Label
	// MemberCapacity is the number of identities of the kind that one member may own at most. Zero is no limit.
	MemberCapacity uint32
	// ConfirmMs is how long an owner may take to confirm, in milliseconds, ConfirmMsMin to ConfirmMsMax. Zero is what
	// the servers are told.
	ConfirmMs uint32
}

// Normalize fills in the defaults and puts the labels into their order, so that equal settings are equal values.
func (s *KindSettings) Normalize() {
	if s.Strategy == "" {
		s.Strategy = StrategyDefault
	}
	if s.Attempts == 0 {
		s.Attempts = AttemptsDefault
	}
	if s.Settle == 0 {
		s.Settle = SettleOnConfirm
	}
	s.order()
}

// order sorts the labels that are required, those without a name last.
func (s *KindSettings) order() {
	slices.SortFunc(s.Require[:], func(a, b Label) int {
		switch none := (Label{}); {
		case a == b:
			return 0
		case a == none:
			return 1
		case b == none:
			return -1
		}
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Value, b.Value))
	})
}

// Over returns the settings with what is zero in them taken from old.
func (s KindSettings) Over(old KindSettings) KindSettings {
	if s.Strategy == "" {
		s.Strategy = old.Strategy
	}
	if s.Attempts == 0 {
		s.Attempts = old.Attempts
	}
	if s.Settle == 0 {
		s.Settle = old.Settle
	}
	if s.Require == ([RequireMax]Label{}) {
		s.Require = old.Require
	}
	if s.MemberCapacity == 0 {
		s.MemberCapacity = old.MemberCapacity
	}
	if s.ConfirmMs == 0 {
		s.ConfirmMs = old.ConfirmMs
	}
	s.order()
	return s
}

// Required are the labels that a member must carry. The slice belongs to the settings, which must be in order.
func (s *KindSettings) Required() []Label {
	for i, l := range s.Require {
		if l == (Label{}) {
			return s.Require[:i]
		}
	}
	return s.Require[:]
}

// Missing returns the first label that is required and that the member does not carry; ok is false when it carries all.
func (s *KindSettings) Missing(m *Member) (l Label, ok bool) {
	for _, l := range s.Require {
		if l != (Label{}) && !slices.Contains(m.Labels, l) {
			return l, true
		}
	}
	return Label{}, false
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
	if int(s.Settle) >= len(settleModes) {
		return &KindError{"settle", fmt.Sprintf("there is no mode %d", s.Settle)}
	}
	ordered := *s
	ordered.order()
	if rule := labelsRule(ordered.Required()); rule != "" {
		return &KindError{"require", rule}
	}
	if s.ConfirmMs != 0 && (s.ConfirmMs < ConfirmMsMin || s.ConfirmMs > ConfirmMsMax) {
		return &KindError{"confirm time", fmt.Sprintf("%d ms, %d to %d are allowed", s.ConfirmMs, ConfirmMsMin, ConfirmMsMax)}
	}
	return nil
}
