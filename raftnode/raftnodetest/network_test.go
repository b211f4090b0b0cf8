package raftnodetest

import (
	"context"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
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
