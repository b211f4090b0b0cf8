package apiv1

import (
	"errors"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Status makes the error of a call: a reason, a sentence, and what a program may want to know. retry is how long to wait
// before asking again, for reasons that allow it; zero for none.
func Status(r Reason, message string, metadata map[string]string, retry time.Duration) *status.Status {
	info, ok := r.Info()
	if !ok {
		info.Code = codes.Internal
	}
	s := status.New(info.Code, message)
	detail := &errdetails.ErrorInfo{Reason: string(r), Domain: ErrorDomain, Metadata: metadata}
	with, err := s.WithDetails(detail)
	if retry > 0 {
		with, err = s.WithDetails(detail, &errdetails.RetryInfo{RetryDelay: durationpb.New(retry)})
	}
	if err != nil { // only for a status of code OK
		return s
	}
	return with
}

// ReasonOf returns the reason that an error of a call carries, with its metadata and the time to wait before asking
// again; an empty reason when it carries none.
func ReasonOf(err error) (r Reason, metadata map[string]string, retry time.Duration) {
	var holder interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &holder) {
		return "", nil, 0
	}
	for _, d := range holder.GRPCStatus().Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.Domain == ErrorDomain {
				r, metadata = Reason(d.Reason), d.Metadata
			}
		case *errdetails.RetryInfo:
			retry = d.RetryDelay.AsDuration()
		}
	}
	return r, metadata, retry
}
