// Command measure says how long things take by its own clock; what reads it has the true one.
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"time"
)

// things take a fifth of a second each.
var things = map[string]func(){
	"sleep": func() { time.Sleep(200 * time.Millisecond) },
	"ticks": func() {
		t := time.NewTicker(20 * time.Millisecond)
		defer t.Stop()
		for range 10 {
			<-t.C
		}
	},
	"context": func() {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		<-ctx.Done()
	},
	"deadline": func() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			panic(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, _ = c.Read(make([]byte, 1))
		_ = c.Close()
		_ = l.Close()
	},
}

func main() {
	for r := bufio.NewScanner(os.Stdin); r.Scan(); {
		begin := time.Now()
		fmt.Println("begun")
		if f := things[r.Text()]; f != nil {
			f()
		}
		fmt.Println(time.Since(begin).Nanoseconds(), time.Now().UnixNano())
	}
}
