package placement

// FailureCode says why an activation did not come about. The numbers are part of the log: a code is never renumbered.
type FailureCode uint8

// The codes.
const (
	// FailureUnspecified: nobody said why.
	FailureUnspecified FailureCode = 0
	// FailureActivation: the owner tried, and its program reported an error.
	FailureActivation FailureCode = 1
	// FailureTimeout: the owner did not confirm in time.
	FailureTimeout FailureCode = 2
	// FailureRefused: the owner did not try.
	FailureRefused FailureCode = 3
	// FailureCrash: it was active, and its program ended it by a fault.
	FailureCrash FailureCode = 4
)

var failureCodes = [...]string{"failed", "failed", "did not confirm in time", "refused", "crashed"}

// String is the code in words, lower case.
func (c FailureCode) String() string {
	if int(c) < len(failureCodes) {
		return failureCodes[c]
	}
	return "unknown"
}

// Known says whether the code is one of those above.
func (c FailureCode) Known() bool { return int(c) < len(failureCodes) }

// Failure is why one candidate did not become the owner, or did not stay it.
type Failure struct {
	Code FailureCode
	// Text says more, for people; ValidateText takes it with ReasonBytesMax. Empty when there is nothing to add.
	Text string
}

// String is the code, and the text when there is one.
func (f Failure) String() string {
	if f.Text == "" {
		return f.Code.String()
	}
	return f.Code.String() + ": " + f.Text
}
