package contract

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/placement"
)

// Activator is a cluster whose members have joined it, as a placement.Activator.
type Activator struct{ client *lookupclient.Client }

var _ placement.Activator = Activator{}

// NewActivator returns the client's cluster, which the caller closes.
func NewActivator(client *lookupclient.Client) Activator { return Activator{client} }

// Ensure is that of placement.Activator. Besides, it fails as Client.Place does.
func (a Activator) Ensure(ctx context.Context, id placement.Identity) (placement.Activated, error) {
	if err := begin(ctx, id); err != nil {
		return placement.Activated{}, err
	}
	p, _, err := a.client.Place(ctx, id)
	if errors.Is(err, lookupclient.ErrNoMember) {
		return placement.Activated{}, fmt.Errorf("%w: %w", placement.ErrNoHost, err)
	}
	if err != nil {
		return placement.Activated{}, failed(ctx, "ensure", err)
	}
	return placement.Activated{Identity: id, Member: p.Member, Address: p.Address, Epoch: p.Epoch}, nil
}

// End is that of placement.Activator. When ctx ends first it goes on without the caller. Besides, it fails as Client.Remove
// does.
func (a Activator) End(ctx context.Context, x placement.Activated) error {
	if err := begin(ctx, x.Identity); err != nil {
		return err
	}
	if x.Epoch == 0 {
		return nil // an epoch of zero would remove whatever is there
	}
	err := a.client.Remove(ctx, x.Identity, x.Epoch, nil)
	if err == nil || errors.Is(err, lookupclient.ErrNotPlaced) || errors.Is(err, lookupclient.ErrFenced) {
		return nil
	}
	return failed(ctx, "end", err)
}

// begin checks what every call begins with.
func begin(ctx context.Context, id placement.Identity) error {
	if err := id.Validate(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// failed is the error of a call: with the context's, when that has ended.
func failed(ctx context.Context, what string, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%s: %w: %w", what, cause, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
