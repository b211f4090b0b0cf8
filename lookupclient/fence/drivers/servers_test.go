package drivers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// places says where each database is.
var places = map[string]string{}

func TestMain(m *testing.M) {
	if where := os.Getenv("FENCE_WRITER"); where != "" {
		writer(where)
		return
	}
	code, err := withServers(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "fence: ", err)
		code = 1
	}
	os.Exit(code)
}

// withServers starts a PostgreSQL and a Redis for the tests, and ends them.
func withServers(run func() int) (code int, err error) {
	dir, err := os.MkdirTemp("", "fence-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // the database runs as another user
		return 1, err
	}
	places["sqlite"] = filepath.Join(dir, "fence.sqlite")
	places["redis"] = filepath.Join(dir, "redis.sock")
	redis, err := start(exec.Command("redis-server", "--port", "0", "--unixsocket", places["redis"], "--save", "", "--dir", dir))
	if err != nil {
		return 1, err
	}
	defer redis()
	places["postgres"] = filepath.Join(dir, "postgres")
	postgres, err := startPostgres(places["postgres"])
	if err != nil {
		return 1, err
	}
	defer postgres()
	for _, name := range []string{"redis", "postgres"} {
		if err := answers(name); err != nil {
			return 1, err
		}
	}
	return run(), nil
}

// start starts a process that ends with the tests. stop ends it and waits.
func start(c *exec.Cmd) (stop func(), err error) {
	var out strings.Builder
	c.Stdout, c.Stderr = &out, &out
	if c.SysProcAttr == nil {
		c.SysProcAttr = &syscall.SysProcAttr{}
	}
	c.SysProcAttr.Pdeathsig = syscall.SIGINT
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("%w; `make databases` installs what is missing", err)
	}
	return func() {
		_ = c.Process.Signal(syscall.SIGINT)
		_ = c.Wait()
	}, nil
}

// startPostgres makes a database in dir and starts it there, with a socket alone. It does not run as root.
func startPostgres(dir string) (stop func(), err error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	initdb, err := exec.LookPath("initdb")
	if err != nil && len(found) == 0 {
		return nil, errors.New("there is no PostgreSQL; `make databases` installs it")
	}
	if err != nil {
		initdb = found[len(found)-1]
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	as := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			return nil, err
		}
	}
	data := filepath.Join(dir, "data")
	c := exec.Command(initdb, "-D", data, "-U", "fence", "--auth=trust", "--no-sync")
	c.SysProcAttr, c.Dir = as, dir
	if out, err := c.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	c = exec.Command(filepath.Join(filepath.Dir(initdb), "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off")
	c.SysProcAttr, c.Dir = as, dir
	return start(c)
}

// answers waits until a database does, half a minute at most. It starts in a process of its own, so there is nothing else to wait
// for.
func answers(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		s, err := open(name + "=" + places[name])
		if err == nil {
			if err = s.reset(ctx); err == nil {
				return nil
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s does not answer: %w", name, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
