package workload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/lookupclient"
)

// AskerConfig says what a process is in which clients ask, as those of Clients do, about identities that some of those ask about as well.
type AskerConfig struct {
	Name    string
	Servers []string
	// Members are the names to which identities are moved.
	Members []string
	// Kind is that of the identities.
	Kind string
	// Every is how long a client rests between two operations, at the mean.
	Every time.Duration
	// Seed decides what they do.
	Seed uint64
	// Dir and Start are those of MemberConfig.
	Dir   string
	Start int64
}

// askersEach is how many clients ask in one process.
const askersEach = 2

// RunAsker has clients ask until ctx ends, and one watch. ready is called when they begin. When their history cannot be written it ends at
// once, with an error.
func RunAsker(ctx context.Context, c AskerConfig, ready func()) (err error) {
	file, err := NewFile(c.Dir, c.Name, c.Start)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	client, err := lookupclient.Open(lookupclient.Config{Servers: c.Servers, GiveUpAfter: giveUpAfter})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &Clients{config: ClientsConfig{Members: c.Members, Kind: c.Kind, Every: c.Every, Seed: c.Seed, Recorder: file.Recorder}}
	ready()
	var group sync.WaitGroup
	for i := range askersEach {
		// Each life has names of its own: what the former one asked for may not be over.
		a := w.asker(client, fmt.Sprintf("%s.%d.%d", c.Name, file.Life, i+1), clientsOfOne*file.Life+i)
		a.pool = common{history.Clock(c.Start)}
		group.Go(func() { a.run(ctx) })
	}
	x := &watcher{Clients: w, client: client, config: lookupclient.WatchConfig{Kind: c.Kind}, rng: w.random(clientsOfOne*file.Life + askersEach)}
	group.Go(func() { x.run(ctx) })
	group.Go(func() {
		select {
		case <-file.Failed():
			cancel()
		case <-ctx.Done():
		}
	})
	group.Wait()
	return nil
}
