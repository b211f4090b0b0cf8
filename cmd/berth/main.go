// Command berth is the one binary: a server of a cluster, a demo member, and everything that a person or a script asks
// a cluster. Run `berth help`, or begin with `berth dev`.
//
// The files follow the commands. What they share is in app.go (flags, environment, the client), exit.go (errors and exit
// codes) and stream.go (identities by the thousand). cmd/internal/output prints, cmd/internal/localcluster runs the
// servers and members of `berth dev` and `berth demo` as processes.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, cancel) // a second signal ends the process at once
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	os.Exit(a.run(ctx, os.Args[1:]))
}
