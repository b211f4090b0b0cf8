package fence_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"

	"github.com/seed13d31b7f/berth/lookupclient/fence"
	"github.com/seed13d31b7f/berth/placement"
)

// database answers one statement. What the statements do in real databases the module in drivers shows.
type database struct {
	rows  int64
	err   error
	query string
	args  []any
}

func (d *database) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	d.query, d.args = query, args
	return driver.RowsAffected(d.rows), d.err
}

func TestSQL_Outcomes(t *testing.T) {
	broken := errors.New("connection lost")
	for _, tt := range []struct {
		name  string
		token placement.Epoch
		d     database
		want  func(error) bool
		asked bool
	}{
		{"accepted", 5, database{rows: 1}, func(err error) bool { return err == nil }, true},
		{"stale", 5, database{}, func(err error) bool {
			var stale *fence.StaleError
			return errors.As(err, &stale) && stale.Resource == "report" && stale.Token == 5
		}, true},
		{"fails", 5, database{err: broken}, func(err error) bool { return errors.Is(err, broken) }, true},
		{"none", 0, database{rows: 1}, func(err error) bool { return errors.Is(err, fence.ErrNoToken) }, false},
		{"largest", fence.TokenMaxSQL, database{rows: 1}, func(err error) bool { return err == nil }, true},
		{"larger", fence.TokenMaxSQL + 1, database{rows: 1}, func(err error) bool { return err != nil }, false},
	} {
		err := fence.SQL(context.Background(), &tt.d, "report", tt.token)
		if !tt.want(err) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if asked := tt.d.query != ""; asked != tt.asked {
			t.Errorf("%s: asked: %t", tt.name, asked)
		}
		if tt.asked && (tt.d.query != fence.FenceSQL || len(tt.d.args) != 2 || tt.d.args[0] != "report" || tt.d.args[1] != int64(tt.token)) {
			t.Errorf("%s: %q %v", tt.name, tt.d.query, tt.d.args)
		}
	}
}

func TestRedis_Outcomes(t *testing.T) {
	ctx := context.Background()
	var script string
	var keys []string
	var args []any
	var fails error
	eval := func(_ context.Context, s string, k []string, a ...any) (any, error) {
		script, keys, args = s, k, a
		return "OK", fails
	}
	set := fence.Script{Text: "return redis.call('SET', KEYS[2], ARGV[2])", Keys: []string{"{report}:body"}, Args: []any{"text"}}
	reply, err := fence.Redis(ctx, eval, "{report}:fence", 1<<60, set)
	if err != nil || reply != "OK" {
		t.Fatalf("%v, %v", reply, err)
	}
	if !strings.HasPrefix(script, fence.FenceLua) || !strings.HasSuffix(script, set.Text) || len(keys) != 2 || keys[0] != "{report}:fence" || len(args) != 2 || args[0] != "01152921504606846976" {
		t.Errorf("%q %q %q", script, keys, args)
	}
	fails = errors.New("STALE 18446744073709551615")
	var stale *fence.StaleError
	if _, err := fence.Redis(ctx, eval, "{report}:fence", 7, set); !errors.As(err, &stale) || stale.Newest != 1<<64-1 || stale.Token != 7 {
		t.Errorf("stale: %v", err)
	}
	fails = errors.New("connection lost")
	if _, err := fence.Redis(ctx, eval, "{report}:fence", 7, set); !errors.Is(err, fails) {
		t.Errorf("fails: %v", err)
	}
	if _, err := fence.Redis(ctx, eval, "{report}:fence", 0, set); !errors.Is(err, fence.ErrNoToken) {
		t.Errorf("none: %v", err)
	}
}
