package runner

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

const (
	goroutinesMetric  = "go_goroutines"
	descriptorsMetric = "process_open_fds"
)

// usage is what a server has in use, as its metrics say.
func (k *cluster) usage(ctx context.Context, s *server) (*history.Usage, error) {
	ctx, cancel := context.WithTimeout(ctx, operateTimeout)
	defer cancel()
	dial := k.dial(s.Name)
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, "tcp", s.http) }}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.http+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("the metrics of %s: %w", s.Name, err)
	}
	defer func() { _ = response.Body.Close() }()
	u, err := readUsage(response.Body)
	if err != nil {
		return nil, fmt.Errorf("the metrics of %s, %s: %w", s.Name, response.Status, err)
	}
	u.Server = s.Name
	return u, nil
}

// readUsage reads what is in use out of metrics in Prometheus' text format.
func readUsage(r io.Reader) (*history.Usage, error) {
	u := &history.Usage{}
	fields := map[string]*int{goroutinesMetric: &u.Goroutines, descriptorsMetric: &u.Descriptors}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if field := fields[name]; field != nil {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			*field = int(n)
		}
	}
	for name, field := range fields {
		if *field <= 0 {
			return nil, fmt.Errorf("there is no %s: %w", name, lines.Err())
		}
	}
	return u, lines.Err()
}

const (
	// goroutinesMore and descriptorsMore are how many a server may have more in the end than the one that had most before there were
	// clients, which led. Members are connected both times, and clients neither time. Room for what comes and goes: a snapshot, a call, spare
	// connections between servers, which are kept after faults (7 more were seen).
	goroutinesMore, descriptorsMore = 20, 20
	// usageSettles is how long what clients and faults left may take to end: a server notices after seconds that a machine vanished.
	usageSettles = 20 * time.Second
)

// noteUsage records what each server has in use before there are clients.
func (k *cluster) noteUsage(ctx context.Context) error {
	for _, s := range k.list() {
		u, err := k.usage(ctx, s)
		if err != nil {
			return err
		}
		k.mu.Lock()
		k.mu.most.Goroutines, k.mu.most.Descriptors = max(k.mu.most.Goroutines, u.Goroutines), max(k.mu.most.Descriptors, u.Descriptors)
		k.mu.Unlock()
		k.rec.Record(history.Event{Usage: u})
	}
	return nil
}

// noteFinalUsage records what each server has in use when the clients have left, as soon as that is within the bounds. Whether it is too
// much otherwise is for the checkers to say.
func (k *cluster) noteFinalUsage(ctx context.Context) error {
	settling, cancel := context.WithTimeout(ctx, usageSettles)
	defer cancel()
	k.mu.Lock()
	most := k.mu.most
	k.mu.Unlock()
	for _, s := range k.list() {
		var u *history.Usage
		var err error
		k.await(settling, func() bool {
			u, err = k.usage(ctx, s)
			return err == nil && u.Goroutines <= most.Goroutines+goroutinesMore && u.Descriptors <= most.Descriptors+descriptorsMore
		})
		if err != nil {
			return err
		}
		u.Final = true
		k.rec.Record(history.Event{Usage: u})
	}
	return nil
}
