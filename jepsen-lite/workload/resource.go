package workload

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// Resource is what activations and lock holders write to: it accepts a write whose token is not smaller than all that it has
// accepted for the same name, and refuses others, unless it looks at no token. It records each in the order in which it decides.
//
// It listens on a socket of the file system, which works from every network namespace and is cut by no fault of the
// network. Each line of a writer is "NAME WRITER TOKEN VALUE", and is answered with "accepted" or "refused".
type Resource struct {
	rec      *history.Recorder
	unfenced bool
	listener net.Listener
	group    sync.WaitGroup

	mu struct {
		sync.Mutex
		tokens map[string]uint64
		turns  map[string]int // how often a larger token came
		conns  map[net.Conn]bool
		closed bool
	}
}

// writersMax is how many may be connected to a resource.
const writersMax = 1000

// ListenResource returns a resource that listens at a path. One that is unfenced accepts every write. Close it.
func ListenResource(path string, rec *history.Recorder, unfenced bool) (*Resource, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("resource: %w", err)
	}
	r := &Resource{rec: rec, unfenced: unfenced, listener: l}
	r.mu.tokens, r.mu.turns, r.mu.conns = map[string]uint64{}, map[string]int{}, map[net.Conn]bool{}
	r.group.Go(r.accept)
	return r, nil
}

func (r *Resource) accept() {
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		full := r.mu.closed || len(r.mu.conns) >= writersMax
		if !full {
			r.mu.conns[c] = true
		}
		r.mu.Unlock()
		if full {
			_ = c.Close()
			continue
		}
		r.group.Go(func() { r.serve(c) })
	}
}

// serve answers one writer until it goes.
func (r *Resource) serve(c net.Conn) {
	defer func() {
		r.mu.Lock()
		delete(r.mu.conns, c)
		r.mu.Unlock()
		_ = c.Close()
	}()
	for lines := bufio.NewScanner(c); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) != 4 {
			return
		}
		token, err := strconv.ParseUint(f[2], 10, 64)
		if err != nil {
			return
		}
		answer := "refused\n"
		if r.decide(history.Write{Resource: f[0], Writer: f[1], Token: token, Value: f[3]}) {
			answer = "accepted\n"
		}
		if _, err := c.Write([]byte(answer)); err != nil {
			return
		}
	}
}

// decide decides and records a write.
func (r *Resource) decide(w history.Write) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.Accepted = r.unfenced || w.Token >= r.mu.tokens[w.Resource]
	if w.Token > r.mu.tokens[w.Resource] {
		r.mu.tokens[w.Resource] = w.Token
		r.mu.turns[w.Resource]++
	}
	r.rec.Record(history.Event{Write: &w})
	return w.Accepted
}

// Turns is how many owners one after the other have written to a resource.
func (r *Resource) Turns(resource string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.turns[resource]
}

// Close ends the resource; writers that are connected are cut off.
func (r *Resource) Close() error {
	err := r.listener.Close()
	r.mu.Lock()
	r.mu.closed = true
	for c := range r.mu.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.group.Wait()
	return err
}

// Writer writes to a Resource for one process. It is safe for concurrent use.
type Writer struct {
	path string

	mu struct {
		sync.Mutex
		conn  net.Conn
		lines *bufio.Reader
		wrote uint64
	}
}

// NewWriter returns a writer for the resource at a path.
func NewWriter(path string) *Writer { return &Writer{path: path} }

// Write asks the resource in the name of who writes, and returns what it decided. After an error nobody knows.
func (w *Writer) Write(resource, who string, token uint64) (accepted bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.conn == nil {
		c, err := net.Dial("unix", w.path)
		if err != nil {
			return false, err
		}
		w.mu.conn, w.mu.lines = c, bufio.NewReader(c)
	}
	w.mu.wrote++
	_, err = fmt.Fprintf(w.mu.conn, "%s %s %d %s.%d\n", resource, who, token, who, w.mu.wrote)
	if err == nil {
		var answer string
		if answer, err = w.mu.lines.ReadString('\n'); err == nil {
			return answer == "accepted\n", nil
		}
	}
	_ = w.mu.conn.Close()
	w.mu.conn = nil
	return false, err
}

// Close closes the connection.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.conn == nil {
		return nil
	}
	err := w.mu.conn.Close()
	w.mu.conn = nil
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
