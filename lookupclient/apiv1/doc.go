// Package apiv1 is the wire contract of berth, version 1: the services and messages of berth.proto, generated, and the
// closed list of reasons that errors carry.
package apiv1
