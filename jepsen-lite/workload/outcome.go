package workload

import (
	"errors"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// answerOf is how an operation that may change something failed, and whether it may have happened all the same. Only an error
// with a reason other than OUTCOME_UNKNOWN says that nothing was changed; one without a reason, as that of a deadline, says
// nothing.
func answerOf(op uint64, err error) (a history.Answer, unknown bool) {
	a = history.Answer{Op: op, Message: shorten(err.Error())}
	var e *lookupclient.Error
	if !errors.As(err, &e) {
		return a, true
	}
	a.Reason = string(e.Reason)
	return a, e.Reason == apiv1.ReasonOutcomeUnknown
}

// messageBytesMax is how much of an error is recorded.
const messageBytesMax = 300

func shorten(s string) string { return s[:min(len(s), messageBytesMax)] }
