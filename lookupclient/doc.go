// Package lookupclient is what applications import: it asks a berth cluster who owns an identity, has identities placed
// and removed, and hosts activations.
//
// # Looking up
//
// Open a Client with the gRPC addresses of the servers. Client.Lookup is linearizable on every server: it returns an
// owner that was the owner at a moment during the call, or says why there is none. It never guesses. Send the placement's
// Epoch with what you ask of the owner: the owner, and every resource behind it, refuses a smaller one than it has seen.
//
// # Hosting
//
// Client.Join makes the process a member. It is told what to activate, confirms, and from then on the Activation's
// context is the promise: while it has not ended, nobody else owns the identity. It ends by the process's own clock when
// the cluster cannot be reached for the length of a lease, before anybody else can be chosen. Check right before an
// effect what no context can tell in time: that the process was not stopped for a while.
//
// # Errors
//
// Every error of a call is an *Error with a reason of a closed list. Three outcomes are kept apart: done; refused, when
// nothing was changed (ErrUnavailable, ErrOverloaded, ErrInvalid …); and ErrUnknown. Calls are tried again by themselves
// as long as that is safe: a change carries a request id and is carried out once, however often it has to be asked for.
package lookupclient
