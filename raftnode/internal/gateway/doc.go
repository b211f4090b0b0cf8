// Package gateway turns JSON over HTTP into calls of the API, generated from lookupclient/apiv1/berth.proto. It is the server's
// own, so that clients of apiv1 do not link it.
package gateway
