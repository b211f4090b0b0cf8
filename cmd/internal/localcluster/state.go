package localcluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Server is one server of the cluster.
type Server struct {
	Name string `json:"name"`
	// Role is leader, follower, nonvoter or forming, when it was last asked.
	Role string `json:"role,omitempty"`
	// GRPC, HTTP and Raft are addresses, host:port.
	GRPC string `json:"grpc"`
	HTTP string `json:"http"`
	Raft string `json:"raft"`
	// PID is zero for a server that does not run.
	PID int `json:"pid"`
	// Args is the server's command line, the binary first.
	Args []string `json:"args"`
}

// Host is one demo member.
type Host struct {
	Name string   `json:"name"`
	PID  int      `json:"pid"`
	Args []string `json:"args"`
}

// State says what a cluster consists of.
type State struct {
	Servers   []Server `json:"servers"`
	Hosts     []Host   `json:"hosts"`
	Directory string   `json:"directory"`
	// Ephemeral clusters lose their directory when they stop.
	Ephemeral bool `json:"ephemeral,omitempty"`
	// Kinds are what the demo members host.
	Kinds []string `json:"kinds,omitempty"`
	// Born tells the processes from later ones with the same numbers.
	Born map[int]string `json:"born,omitempty"`
}

const stateFile = "cluster.json"

// DefaultDir is where a cluster is kept unless it is told otherwise: berth/dev below XDG_DATA_HOME or ~/.local/share.
func DefaultDir() string { return filepath.Join(baseDir(), "dev") }

// EphemeralDir is where a cluster is that is not to be kept.
func EphemeralDir() string { return filepath.Join(baseDir(), "ephemeral") }

func baseDir() string {
	base := os.Getenv("XDG_DATA_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			home = os.TempDir()
		}
		base = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(base, "berth")
}

// ErrNone: there is no cluster in the directory.
var ErrNone = errors.New("there is no local cluster")

// Load reads what a directory's cluster consists of. Processes that have ended have the number zero.
func Load(dir string) (*State, error) {
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s", ErrNone, dir)
	}
	if err != nil {
		return nil, err
	}
	s := &State{}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, stateFile), err)
	}
	for i := range s.Servers {
		s.Servers[i].PID = s.living(s.Servers[i].PID)
	}
	for i := range s.Hosts {
		s.Hosts[i].PID = s.living(s.Hosts[i].PID)
	}
	return s, nil
}

// living returns the number of a process that still runs, or zero.
func (s *State) living(pid int) int {
	if pid == 0 || !alive(pid) || s.Born[pid] != birth(pid) {
		return 0
	}
	return pid
}

// Runs says whether any process of the cluster does.
func (s *State) Runs() bool { return len(s.pids()) > 0 }

// Complete says whether every process of the cluster runs.
func (s *State) Complete() bool { return len(s.pids()) == len(s.Servers)+len(s.Hosts) }

// pids are the processes that run, members first.
func (s *State) pids() []int {
	var list []int
	for _, h := range s.Hosts {
		if h.PID != 0 {
			list = append(list, h.PID)
		}
	}
	for _, x := range s.Servers {
		if x.PID != 0 {
			list = append(list, x.PID)
		}
	}
	return list
}

// save writes the state for others to read, in one step.
func (s *State) save() error {
	s.Born = map[int]string{}
	for _, pid := range s.pids() {
		s.Born[pid] = birth(pid)
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(s.Directory, stateFile)
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// end has the processes that run end in order: SIGTERM to all of a kind, members before servers, and SIGKILL to those
// that do not heed it.
func (s *State) end(patience time.Duration) {
	var hosts, servers []int
	for _, h := range s.Hosts {
		hosts = append(hosts, h.PID)
	}
	for _, x := range s.Servers {
		servers = append(servers, x.PID)
	}
	for _, pids := range [][]int{hosts, servers} {
		s.endAll(pids, time.Now().Add(patience))
	}
}

func (s *State) endAll(pids []int, deadline time.Time) {
	for _, pid := range pids {
		if s.living(pid) != 0 {
			_ = syscall.Kill(pid, syscall.SIGTERM)
		}
	}
	for _, pid := range pids {
		for s.living(pid) != 0 {
			if time.Now().After(deadline) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// Addresses are the gRPC addresses of a cluster's servers.
func (s *State) Addresses() []string {
	var list []string
	for _, x := range s.Servers {
		list = append(list, x.GRPC)
	}
	return list
}

// Running is the cluster that runs in one of the places where clusters are kept by default; nil when there is none.
func Running() *State {
	for _, dir := range []string{DefaultDir(), EphemeralDir()} {
		if s, err := Load(dir); err == nil && s.Runs() {
			return s
		}
	}
	return nil
}
