package lookupclient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// DefaultServer is where a server of berth listens for gRPC unless it is told otherwise.
const DefaultServer = "127.0.0.1:7420"

// Config says which cluster a client is of, and how it behaves. The zero value of a field is its default.
type Config struct {
	// Servers are the gRPC addresses of servers of the cluster, host:port; any one is enough, more survive the loss of
	// one. Default: DefaultServer. The cluster is asked now and then which others it has. Those are asked as well while fewer than two of
	// Servers can be reached, or none when there is one.
	Servers []string
	// ServersOnly has no server asked that Servers does not name, but by a member, which follows those to the leader. Default: the
	// cluster is followed.
	ServersOnly bool
	// Cluster is the id of the cluster that the client is of; servers of another one refuse its calls. Default: the one that
	// answers first, for the life of the client.
	Cluster string
	// Timeout bounds a call whose context has no deadline. Default 5 s; at most a minute.
	Timeout time.Duration
	// GiveUpAfter ends a call, with ErrUnavailable, when for so long no server at all could be reached. Default: it goes on
	// trying as long as its context lasts.
	GiveUpAfter time.Duration
	// Attempts is how often a call is made at most, when it fails in a way that lets it be made again. Default 0: as often as its
	// deadline allows. At most AttemptsMax. Keepalives and Watch go on as long as they last.
	Attempts int
	// HedgeAfter is how long a look-up waits for the server that it was sent to before another one is asked as well; four times what
	// the nearest server takes when that is longer. Default 50 ms; negative: never. At most a minute.
	HedgeAfter time.Duration
	// Cache is how many placements Lookup may remember. It drops what it is told of as ended; what it answers is a hint all the
	// same. Default 0: nothing is remembered, and every Lookup is linearizable. At most CacheMax.
	Cache int
	// Hooks are told what the client does. Default: nobody is.
	Hooks Hooks
	// TracerProvider gets a span of each call and of each of its attempts, and the servers are told of it (W3C Trace Context); a
	// member's has one of each activation. What the cache answers has none. Default: nothing is traced, also where there is a
	// global provider.
	TracerProvider trace.TracerProvider
	// Logger gets warnings of calls that the cluster did not answer, also when they are made again, and of members without a session:
	// of each reason the first, and then one every ten seconds, with how many more there were. Default: nothing is logged.
	Logger *slog.Logger
	// Dial takes the place of TCP, in tests.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// AttemptsMax is the most that Config.Attempts may be.
const AttemptsMax = 1000

const (
	timeoutDefault = 5 * time.Second
	timeoutMax     = time.Minute

	clusterBytesMax = 64
)

func (c Config) withDefaults() Config {
	if len(c.Servers) == 0 {
		c.Servers = []string{DefaultServer}
	}
	if c.Timeout == 0 {
		c.Timeout = timeoutDefault
	}
	if c.HedgeAfter == 0 {
		c.HedgeAfter = hedgeAfterDefault
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports every fault of the Config at once.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	for _, s := range c.Servers {
		if host, port, err := net.SplitHostPort(s); err != nil || host == "" || port == "" {
			errs = append(errs, fmt.Errorf("config: Servers %q: want host:port, the gRPC address of a server", s))
		}
	}
	if c.Timeout < 0 || c.Timeout > timeoutMax {
		errs = append(errs, fmt.Errorf("config: Timeout %v: 0 to %v is allowed", c.Timeout, timeoutMax))
	}
	if i := strings.IndexFunc(c.Cluster, func(r rune) bool { return r <= ' ' || r > '~' }); i >= 0 || len(c.Cluster) > clusterBytesMax {
		errs = append(errs, fmt.Errorf("config: Cluster %.80q: want the id that berth status shows", c.Cluster))
	}
	if c.GiveUpAfter < 0 {
		errs = append(errs, fmt.Errorf("config: GiveUpAfter %v: it cannot be negative", c.GiveUpAfter))
	}
	if c.Attempts < 0 || c.Attempts > AttemptsMax {
		errs = append(errs, fmt.Errorf("config: Attempts %d: 0 to %d is allowed", c.Attempts, AttemptsMax))
	}
	if c.HedgeAfter > timeoutMax {
		errs = append(errs, fmt.Errorf("config: HedgeAfter %v: at most %v is allowed; negative for never", c.HedgeAfter, timeoutMax))
	}
	if c.Cache < 0 || c.Cache > CacheMax {
		errs = append(errs, fmt.Errorf("config: Cache %d: 0 to %d is allowed", c.Cache, CacheMax))
	}
	return errors.Join(errs...)
}
