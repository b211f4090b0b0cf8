package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/workload"
)

// Identities are some that clients ask about.
func (k *cluster) Identities() []string { return k.identities() }

// operator is who blocks, as the history and the block list have it.
const operator = "operator"

// Block puts a member, or an identity, on the block list, or takes it off, by any server that can. A block of an identity asks
// its owner to stop: the history has it as a removal of which nobody is told when it comes about.
func (k *cluster) Block(ctx context.Context, name string, on bool) error {
	client := fmt.Sprintf("%s-%d", operator, k.rec.Now())
	if on && strings.Contains(name, "/") {
		op := k.rec.Invoke(history.Call{Client: client + "-removes", F: history.Remove, Identity: name})
		defer k.rec.Unknown(history.Answer{Op: op, Message: "it is on the block list"})
	}
	ctx, cancel := context.WithTimeout(ctx, healTimeout)
	defer cancel()
	last := errors.New("nobody was asked")
	done := k.await(ctx, func() bool {
		for _, s := range k.list() {
			c, err := k.client(s)
			if err != nil {
				last = err
				continue
			}
			asking, stop := context.WithTimeout(ctx, operateTimeout)
			err = workload.Block(asking, k.rec, client, c.Conn(), name, on)
			stop()
			if last = errors.Join(err, c.Close()); last == nil {
				return true
			}
		}
		return false
	})
	if !done {
		return fmt.Errorf("%s on the block list (%t): not within %v: %w", name, on, healTimeout, last)
	}
	return nil
}
