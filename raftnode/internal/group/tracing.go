package group

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed13d31b7f/berth/fsm"
)

// The attributes of the spans of commands, beside the term and the index of the log entry.
const (
	spanTerm          = attribute.Key("berth.term")
	spanIndex         = attribute.Key("berth.index")
	spanCommands      = attribute.Key("berth.commands")       // of the call
	spanBatches       = attribute.Key("berth.batches")        // that carried them
	spanBatchCommands = attribute.Key("berth.batch.commands") // of this and of other calls
	spanBatchBytes    = attribute.Key("berth.batch.bytes")
)

// legsMax is how many batches of one call have spans.
const legsMax = 16

// journey is the way of a traced call's commands: out of the queue, in one batch or several, into the state. A nil one notes
// nothing. The spans are made when the call has its outcomes, on its own goroutine, so that nobody else waits for that.
type journey struct {
	tracer trace.Tracer
	ctx    context.Context // has span
	span   trace.Span
	begun  time.Time

	mu    sync.Mutex
	legs  []leg
	count int
}

// leg is one batch that carried commands of the call. One that failed ends without being applied.
type leg struct {
	taken, applied, published time.Time
	term, index               uint64
	commands, bytes           int
	err                       error
}

// timedOutput is what came of an entry, when it was begun with, and when all had it.
type timedOutput struct {
	*fsm.Output
	began, published time.Time
}

// begin begins the journey of a call that is made within a span that somebody records; nil otherwise.
func begin(ctx context.Context, tracer trace.Tracer, commands int) *journey {
	if tracer == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return nil
	}
	j := &journey{tracer: tracer, begun: time.Now()}
	j.ctx, j.span = tracer.Start(ctx, "commit", trace.WithTimestamp(j.begun), trace.WithAttributes(spanCommands.Int(commands)))
	return j
}

// note has the journeys of a batch's commands note what became of it.
func (b *batch) note(future raft.ApplyFuture, err error) {
	var l leg
	var last *journey
	for _, it := range b.items {
		j := it.call.journey
		if j == nil || j == last { // the commands of a call are together
			continue
		}
		if last = j; l.taken.IsZero() {
			l = b.leg(future, err)
		}
		j.add(l)
	}
}

func (b *batch) leg(future raft.ApplyFuture, err error) leg {
	l := leg{taken: b.taken, term: b.tenure.Term, commands: len(b.items), bytes: len(b.data), err: err, published: time.Now()}
	if err != nil {
		return l
	}
	l.index = future.Index()
	if out, ok := future.Response().(*timedOutput); ok {
		l.applied, l.published = out.began, out.published
	}
	return l
}

func (j *journey) add(l leg) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.count++; len(j.legs) < legsMax {
		j.legs = append(j.legs, l)
	}
}

// end makes the spans. err is why the commands were not taken; otherwise the first of the outcomes that is an error counts.
func (j *journey) end(outcomes []Outcome, err error) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, l := range j.legs {
		j.ride(l)
	}
	if n := len(j.legs); n > 0 {
		j.span.SetAttributes(append(j.legs[n-1].attributes(), spanBatches.Int(j.count))...)
	}
	for _, o := range outcomes {
		if err == nil {
			err = o.Err
		}
	}
	fail(j.span, err)
	j.span.End()
}

// ride makes the spans of one batch: its queue, its way to a majority, and into the state.
func (j *journey) ride(l leg) {
	stage := func(name string, from, to time.Time, err error, attributes ...attribute.KeyValue) {
		_, span := j.tracer.Start(j.ctx, name, trace.WithTimestamp(from), trace.WithAttributes(attributes...))
		fail(span, err)
		span.End(trace.WithTimestamp(to))
	}
	stage("queue", j.begun, l.taken, nil)
	if l.applied.IsZero() {
		stage("replicate", l.taken, l.published, l.err, l.attributes()...)
		return
	}
	stage("replicate", l.taken, l.applied, nil, l.attributes()...)
	stage("apply", l.applied, l.published, nil, spanIndex.Int64(int64(l.index)))
}

func (l *leg) attributes() []attribute.KeyValue {
	list := []attribute.KeyValue{spanTerm.Int64(int64(l.term)), spanBatchCommands.Int(l.commands), spanBatchBytes.Int(l.bytes)}
	if l.index != 0 {
		list = append(list, spanIndex.Int64(int64(l.index)))
	}
	return list
}

// fail gives a span an error that may be nil.
func fail(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
}
