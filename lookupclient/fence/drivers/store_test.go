package drivers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/redis/go-redis/v9"
	"modernc.org/sqlite"
)

// The texts that are checked.
func text(name string) string {
	b, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		panic(err)
	}
	return string(b)
}

var errStale = errors.New("stale")

// store is a resource in a database: a value, and a journal of who wrote it.
type store interface {
	// write writes with a token. Unless guarded, nobody looks at it. It fails with errStale.
	write(ctx context.Context, token uint64, guarded bool) error
	// journal are the tokens in the order of the writes; the last one is the value's.
	journal(ctx context.Context) ([]uint64, error)
	// reset makes it new.
	reset(ctx context.Context) error
}

// sqlStore is one in an SQL database.
type sqlStore struct {
	db     *sql.DB
	create []string
	again  func(error) bool // the database asks for the transaction to be tried again
}

func (s *sqlStore) reset(ctx context.Context) error {
	for _, q := range append([]string{"DROP TABLE IF EXISTS berth_fence", "DROP TABLE IF EXISTS journal", text("table.sql")}, s.create...) {
		if _, err := s.db.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	return nil
}

func (s *sqlStore) write(ctx context.Context, token uint64, guarded bool) error {
	for {
		err := s.try(ctx, token, guarded)
		if err == nil || ctx.Err() != nil || !s.again(err) {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *sqlStore) try(ctx context.Context, token uint64, guarded bool) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if guarded {
		result, err := tx.ExecContext(ctx, text("fence.sql"), "report", int64(token))
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, errStale)
		}
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO journal (token) VALUES ($1)", int64(token)); err != nil {
		return err
	}
	return tx.Commit()
}

func (s *sqlStore) journal(ctx context.Context) (tokens []uint64, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT token FROM journal ORDER BY seq")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var token int64
		if err := rows.Scan(&token); err != nil {
			return nil, err
		}
		tokens = append(tokens, uint64(token))
	}
	return tokens, rows.Err()
}

func openSQLite(path string) (store, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	const busy = 5
	return &sqlStore{db, []string{"CREATE TABLE journal (seq INTEGER PRIMARY KEY AUTOINCREMENT, token BIGINT)"}, func(err error) bool {
		var e *sqlite.Error
		return errors.As(err, &e) && e.Code()&0xff == busy
	}}, nil
}

// openPostgres opens a database over a socket in dir. The journal's order is that of the commits, since a guarded write has
// the row of its resource until it commits.
func openPostgres(dir string) (store, error) {
	db, err := sql.Open("postgres", "host="+dir+" user=fence dbname=postgres sslmode=disable")
	if err != nil {
		return nil, err
	}
	return &sqlStore{db, []string{"CREATE TABLE journal (seq BIGSERIAL PRIMARY KEY, token BIGINT)"}, func(err error) bool {
		var e *pq.Error
		return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01")
	}}, nil
}

// redisStore is one in Redis.
type redisStore struct{ client *redis.Client }

func openRedis(socket string) store {
	return &redisStore{redis.NewClient(&redis.Options{Network: "unix", Addr: socket})}
}

func (s *redisStore) reset(ctx context.Context) error { return s.client.FlushAll(ctx).Err() }

func (s *redisStore) write(ctx context.Context, token uint64, guarded bool) error {
	script := "redis.call('RPUSH', KEYS[2], ARGV[2]) return 1"
	if guarded {
		script = text("fence.lua") + "\n" + script
	}
	err := s.client.Eval(ctx, script, []string{"{report}:fence", "{report}:journal"}, fmt.Sprintf("%020d", token), fmt.Sprint(token)).Err()
	if err != nil && strings.Contains(err.Error(), "STALE ") {
		return errStale
	}
	return err
}

func (s *redisStore) journal(ctx context.Context) (tokens []uint64, err error) {
	err = s.client.LRange(ctx, "{report}:journal", 0, -1).ScanSlice(&tokens)
	return tokens, err
}

// open opens a store of which where is a name and a place.
func open(where string) (store, error) {
	name, place, _ := strings.Cut(where, "=")
	switch name {
	case "sqlite":
		return openSQLite(place)
	case "postgres":
		return openPostgres(place)
	case "redis":
		return openRedis(place), nil
	}
	return nil, fmt.Errorf("%q is no store", where)
}

// each runs a test in every database.
func each(t *testing.T, f func(t *testing.T, s store, where string)) {
	for _, name := range []string{"sqlite", "postgres", "redis"} {
		t.Run(name, func(t *testing.T) {
			where := name + "=" + places[name]
			s, err := open(where)
			if err == nil {
				err = s.reset(t.Context())
			}
			if err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			f(t, s, where)
		})
	}
}
