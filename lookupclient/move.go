package lookupclient

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// MoveRequest says which identity is to go where.
type MoveRequest struct {
	Identity placement.Identity
	// To is the name of the member that is to own it.
	To placement.MemberID
	// Epoch, unless it is zero, is the only placement that is to be moved.
	Epoch placement.Epoch
	// OnWaiting, unless it is nil, is told now and then what is waited for.
	OnWaiting func(what string)
}

// Move has another member own an identity: the owner is asked to stop and to release it, then the member is given it, under
// another epoch. It waits until it is settled there. When the member cannot be given it any more by then, another one owns
// it: look at the placement. When ctx ends first the error wraps its cause, and the move goes on: whoever places the
// identity next finds it at the member. It fails with ErrNotPlaced, ErrFenced, ErrMemberUnknown, ErrNoMember, ErrBlocked,
// ErrUnavailable, ErrUnknown or ErrInvalid.
func (c *Client) Move(ctx context.Context, r MoveRequest) (Placement, error) {
	said := ""
	epoch := r.Epoch
	for {
		call, cancel := context.WithTimeout(ctx, removeWait+c.conn.config.Timeout)
		resp, err := c.api.Move(call, &apiv1.MoveRequest{
			Kind: r.Identity.Kind, Key: r.Identity.Key, To: string(r.To), Epoch: uint64(epoch), Wait: durationpb.New(waitWithin(ctx)),
		})
		cancel()
		if err != nil && said != "" && ctx.Err() != nil {
			return Placement{}, fmt.Errorf("move of %v goes on, waiting for %s: %w", r.Identity, said, context.Cause(ctx))
		}
		if err != nil {
			return Placement{}, err
		}
		if resp.Done {
			return placementOf(resp.Placement, resp.Read), nil
		}
		epoch = 0 // it was looked at, and the placement that follows has another
		if said = resp.WaitsFor; r.OnWaiting != nil {
			r.OnWaiting(said)
		}
		if ctx.Err() != nil {
			return Placement{}, fmt.Errorf("move of %v goes on, waiting for %s: %w", r.Identity, said, context.Cause(ctx))
		}
	}
}
