package sim

import (
	"context"
	"strings"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/workload"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// watching watches all that happens until the context ends. After a while it leaves off, and goes on behind something that it
// was told before, at any server, as one who starts again; each time is a stream of its own.
func (c *caller) watching(ctx context.Context) {
	var since *lookupclient.Position
	for ctx.Err() == nil {
		since = c.stream(ctx, since)
	}
}

// stream watches for a while, behind a position or from now on, and returns one to go on from, nil for none.
func (c *caller) stream(ctx context.Context, since *lookupclient.Position) *lookupclient.Position {
	ctx, cancel := context.WithTimeout(ctx, c.below(2*useFor))
	defer cancel()
	number := c.w.streams.Add(1)
	says := func(x history.Watch) {
		x.Stream = number
		c.w.journal.Record(history.Event{Watch: &x})
	}
	began := since != nil // the stream has an opening
	if began {
		says(history.Watch{What: history.WatchOpen, Index: since.Index})
	}
	var records []*apiv1.WatchRecord
	reset := false
	for u, err := range c.client.Watch(ctx, lookupclient.WatchConfig{Since: since}) {
		if err != nil {
			break
		}
		reset = reset || u.Reset != 0
		if records = append(records, u.Records...); u.Partial {
			continue
		}
		switch {
		case reset: // the server does not know what came before: here is what is so
			says(history.Watch{What: history.WatchReset, Index: u.Position.Index})
			for _, r := range records {
				if entry, ok := workload.WatchEntry(r, u.Position.Index); ok {
					says(entry)
				}
			}
		case !began && len(u.Events) > 0:
			says(history.Watch{What: history.WatchOpen, Index: u.Events[0].Index - 1})
		case !began:
			says(history.Watch{What: history.WatchOpen, Index: u.Position.Index})
		}
		began, reset, records = true, false, nil
		for _, e := range u.Events {
			says(watched(e))
		}
		says(history.Watch{What: history.WatchMark, Server: u.ServedBy, Index: u.Position.Index})
		if since == nil || c.random.IntN(10) == 0 {
			since = &u.Position
		}
	}
	if ctx.Err() == nil {
		return nil // what follows is not known any more
	}
	return since
}

// watched is an event as a history has it.
func watched(e *apiv1.Event) history.Watch {
	x := history.Watch{
		What: history.WatchEvent, Index: e.Index, Type: strings.ToLower(e.Type.String()), Lock: e.Lock,
		Member: e.Member, Incarnation: e.Incarnation, Epoch: e.Epoch, Session: e.Session,
	}
	if e.Key != "" {
		x.Identity = e.Kind + "/" + e.Key
	}
	return x
}
