package snapshot

import (
	"bytes"
	"errors"
	"testing"
)

// A snapshot that lacks something is refused, whatever writer left it out: the digest is that of the state.
func TestDecode_ASectionIsLeftOut_IsRefused(t *testing.T) {
	left := map[string]bool{}
	for _, v := range []*View{goldenView(), goldenBlocksView(), goldenTimelineView(), goldenCrashesView()} {
		var whole bytes.Buffer
		if err := v.Encode(&whole); err != nil {
			t.Fatal(err)
		}
		sections := []struct {
			name   string
			encode func(*frameWriter) error
		}{
			{"header", v.encodeHeader}, {"kinds", v.encodeKinds}, {"servers", v.encodeServers}, {"slots", v.encodeSlots}, {"results", v.encodeResults},
			{"placements", v.encodePlacements}, {"blocks", v.encodeBlocks}, {"moves", v.encodeMoves}, {"timeline", v.encodeTimeline}, {"crashes", v.encodeCrashes},
		}
		for out := range sections {
			var b bytes.Buffer
			f, err := newFrameWriter(&b)
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range sections {
				if i != out {
					err = errors.Join(err, s.encode(f))
				}
			}
			if err := errors.Join(err, f.end()); err != nil {
				t.Fatal(err)
			}
			if b.Len() == whole.Len() {
				continue // there is nothing of it
			}
			left[sections[out].name] = true
			var c *CorruptError
			if got, err := Decode(&b); !errors.As(err, &c) {
				t.Errorf("without its %s it is %v, %v", sections[out].name, got != nil, err)
			}
		}
	}
	if len(left) != 10 {
		t.Errorf("left out were %v", left)
	}
}
