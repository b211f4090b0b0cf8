package lookupclient

import (
	"time"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// Hooks are told what a client does, for metrics. Each may be nil. They are called by the goroutines that do it, several at a
// time, and must be quick.
type Hooks struct {
	// Lookup is told of each identity that Lookup, LookupAt and LookupAll have looked up: what was found, by Cached and Level from
	// where; or the error; and how long the call took.
	Lookup func(p Placement, err error, took time.Duration)
	// Place is told of each identity that Place and PlaceAll have placed or found: created says that the call made the placement.
	Place func(p Placement, created bool, err error, took time.Duration)
	// Call is told of each unary call to the cluster that ended. One method of Client makes none, when the cache answers, or several.
	Call func(Call)
	// Retry is told why a call is made again, before the pause.
	Retry func(why apiv1.Reason)
	// Gone is told of a placement whose owner a function of Reach did not find there.
	Gone func(p Placement)
	// Hedge is told that another server was asked for a look-up as well.
	Hedge func()
}

// Call is a call to the cluster that ended.
type Call struct {
	// Method is the full name that gRPC gives it: /berth.v1.Placements/Lookup.
	Method string
	// Attempts is how often it was made: once, unless it was made again. A look-up that two servers were asked for at once is one.
	Attempts int
	// Err is nil, or what the caller was told.
	Err error
	// Took is how long all of it took, with the pauses.
	Took time.Duration
}
