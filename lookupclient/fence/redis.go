package fence

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/seed13d31b7f/berth/placement"
)

// FenceLua is the beginning of a script for Redis. Its text says how it is used; Redis runs it with a script of yours behind it.
//
//go:embed fence.lua
var FenceLua string

// Eval runs a script, as a client of Redis does. With github.com/redis/go-redis it is
//
//	func(ctx context.Context, script string, keys []string, args ...any) (any, error) {
//		return client.Eval(ctx, script, keys, args...).Result()
//	}
type Eval func(ctx context.Context, script string, keys []string, args ...any) (any, error)

// Script is what Redis is to do when the token is not stale.
type Script struct {
	// Text is in Lua. In it KEYS[1] and ARGV[1] are the token's; Keys and Args begin with KEYS[2] and ARGV[2].
	Text string
	Keys []string
	Args []any
}

// Redis shows a token at a resource and, when it is not stale, runs the script, in one step. resource is the key under which the
// newest token is kept; in a cluster of Redis all keys must have one slot ({…}). It fails with a *StaleError, with ErrNoToken,
// and with what eval returns.
func Redis(ctx context.Context, eval Eval, resource string, token placement.Epoch, s Script) (any, error) {
	if token == 0 {
		return nil, ErrNoToken
	}
	reply, err := eval(ctx, FenceLua+"\n"+s.Text, append([]string{resource}, s.Keys...), append([]any{RedisToken(token)}, s.Args...)...)
	if err == nil {
		return reply, nil
	}
	if _, newest, ok := strings.Cut(err.Error(), "STALE "); ok {
		n, _ := strconv.ParseUint(newest, 10, 64)
		return nil, &StaleError{Resource: resource, Token: token, Newest: placement.Epoch(n)}
	}
	return nil, fmt.Errorf("fence %.80q: %w", resource, err)
}

// RedisToken is a token as FenceLua compares it.
func RedisToken(token placement.Epoch) string { return fmt.Sprintf("%020d", uint64(token)) }
