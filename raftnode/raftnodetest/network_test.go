package raftnodetest

import (
	"context"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// A process that is killed has no connection any more, also none that somebody was just opening.
func TestNetwork_Reset_LeavesNoConnection(t *testing.T) {
	for i := range 300 {
		synctest.Test(t, func(t *testing.T) {
			n := NewNetwork()
			l, err := n.Host("b").Listen("b:1")
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() { _, _ = io.Copy(io.Discard, c) }()
				}
			}()
			open := make(chan net.Conn, 1000)
			for range 4 {
				go func() {
					for range 200 {
						c, err := n.Host("a").Dial(context.Background(), "b:1")
						if err != nil {
							return
						}
						open <- c
					}
				}()
			}
			for range i {
				runtime.Gosched()
			}
			n.Reset("b")
			synctest.Wait()
			for len(open) > 0 {
				c := <-open
				if _, err := c.Write([]byte("x")); err == nil {
					t.Fatal("a connection to a killed process is open")
				}
			}
		})
	}
}

// Whose other end is closed reads to the end of what came, as with TCP, whether it begins to read before or after.
func TestNetwork_OtherEndCloses_ReadsEOF(t *testing.T) {
	for name, breaks := range map[string]bool{"closes": false, "breaks": true} {
		for range 50 {
			synctest.Test(t, func(t *testing.T) {
				n := NewNetwork()
				l, err := n.Host("b").Listen("b:1")
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					c, err := l.Accept()
					if err != nil {
						t.Error(err)
						return
					}
					time.Sleep(time.Second)
					if breaks {
						n.Break("b")
					}
					_ = c.Close()
				}()
				c, err := n.Host("a").Dial(context.Background(), "b:1")
				if err != nil {
					t.Fatal(err)
				}
				for _, when := range []time.Duration{0, 2 * time.Second} {
					time.Sleep(when)
					if _, err := c.Read(make([]byte, 1)); err != io.EOF {
						t.Fatalf("the other end %s: after %v: %v", name, when, err)
					}
				}
				_ = c.Close()
				if _, err := c.Read(make([]byte, 1)); err != io.ErrClosedPipe {
					t.Fatalf("closed: %v", err)
				}
			})
		}
	}
}
