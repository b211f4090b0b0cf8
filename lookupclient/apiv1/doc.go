// Package apiv1 is the wire contract of berth, version 1: the services and messages of berth.proto, generated, and the
// closed list of reasons that errors carry.
//
// The services are Placements (who owns an identity), Members (the processes that host, and their sessions), Cluster (the
// servers) and Snapshots (the whole state). Every server serves all of them, on its gRPC port, and the unary ones of the
// first three as JSON on its HTTP port. Programs in Go use package lookupclient, whose Conn is a connection for these
// clients that tries again and types its errors:
//
//	api := apiv1.NewClusterClient(client.Conn())
//	status, err := api.Status(ctx, &apiv1.StatusRequest{})
//
// An error of a call has a google.rpc.ErrorInfo of the domain [ErrorDomain]. [ReasonOf] reads the [Reason], [Reasons] lists
// all with what they mean and what to do, and [Status] makes such an error. A request of more than 4 MiB is
// INVALID_ARGUMENT; one of more than 8 MiB is cut off by gRPC itself, with its code RESOURCE_EXHAUSTED and no reason.
//
// Every answer says of which cluster it is, in the header [ClusterHeader]; a call may say there which one it expects.
//
// Fields and reasons are added and never renumbered or given another meaning. go -C .ci/tools run ./protogen makes the
// generated files anew.
package apiv1
