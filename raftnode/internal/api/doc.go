// Package api serves the API of lookupclient/apiv1 on one server: it checks requests, turns them into commands and reads,
// waits for what they wait for, and answers with a proof or with a reason of the closed list.
//
// A call that only the leader can answer is forwarded to it, once: the leader does not forward it again. While there is
// no leader, or the connection to it breaks, the call is tried again as long as its deadline allows. A change carries a
// request id from the first server on, so that trying again after an unknown outcome does not do it twice. RemoveServer and
// TransferLeadership have none, and are not tried again then.
//
// New makes the Server from a Backend, which is the Node; Register adds its services to a gRPC server. Unary is the
// interceptor of the public port, which forwards, and UnaryPeer that of the port between servers, which does not.
//
// # Goroutines
//
// A session (Members.Session) has one for the member's messages, one for its orders, one that watches its end, and one for
// each report that waits for the log; they end with the stream.
package api
