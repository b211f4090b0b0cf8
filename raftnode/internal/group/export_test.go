package group

import (
	"github.com/hashicorp/raft"

	"github.com/seed13d31b7f/berth/fsm"
)

// TimeoutNow asks a server to stand for election, as a leader that transfers its leadership does.
func (g *Group) TimeoutNow(server string) error {
	header := raft.RPCHeader{ProtocolVersion: 3, ID: []byte(g.config.Server), Addr: []byte(g.config.Server)}
	return g.trans.TimeoutNow(raft.ServerID(server), raft.ServerAddress(server), &raft.TimeoutNowRequest{RPCHeader: header}, &raft.TimeoutNowResponse{})
}

// Pipeline asks the transport for a pipeline to a server, as the library does when the server keeps up, and closes it.
func (g *Group) Pipeline(server string) error {
	p, err := raft.Transport(g.trans).AppendEntriesPipeline(raft.ServerID(server), raft.ServerAddress(server))
	if err != nil {
		return err
	}
	return p.Close()
}

// ApplyRaw gives an entry to the library, past the batcher, and does not wait for it.
func (g *Group) ApplyRaw(data []byte) { _ = g.raft.Apply(data, 0) }

// NewMachine returns the library's FSM of a group.
func NewMachine(stop func(error)) raft.BatchingFSM { return newMachine(stop, fsm.FeatureLevel) }
