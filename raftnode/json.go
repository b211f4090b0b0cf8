package raftnode

import (
	"bytes"
	"encoding/json"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
)

// compactJSON is JSON with the same bytes for the same message, a line each. protojson varies its spaces from build to
// build on purpose.
type compactJSON struct{ runtime.JSONPb }

// Marshal gives one line.
func (c *compactJSON) Marshal(v any) ([]byte, error) {
	b, err := c.JSONPb.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// Delimiter is nothing: each message of a stream is a line already.
func (c *compactJSON) Delimiter() []byte { return nil }
