package placement

import "testing"

func TestMakeEpoch_OrderIsGenerationOffsetPlace(t *testing.T) {
	ordered := []Epoch{
		MakeEpoch(0, 0, 1),
		MakeEpoch(0, 1, 0),
		MakeEpoch(0, 1, BatchCommandsMax-1),
		MakeEpoch(0, 2, 0),
		MakeEpoch(0, GenerationIndexes-1, BatchCommandsMax-1),
		MakeEpoch(1, 0, 0),
		MakeEpoch(65535, GenerationIndexes-1, BatchCommandsMax-1),
	}
	for i := 1; i < len(ordered); i++ {
		if ordered[i-1] >= ordered[i] {
			t.Errorf("epoch %d (%#x) is not under epoch %d (%#x)", i-1, ordered[i-1], i, ordered[i])
		}
	}
	e := MakeEpoch(7, 123456789, 42)
	if e.Generation() != 7 || e.Offset() != 123456789 || e.Place() != 42 {
		t.Errorf("MakeEpoch(7, 123456789, 42) reads back as %d, %d, %d", e.Generation(), e.Offset(), e.Place())
	}
}

func TestMakeEpoch_OutOfRange_Panics(t *testing.T) {
	for name, f := range map[string]func(){
		"offset":   func() { MakeEpoch(0, GenerationIndexes, 0) },
		"place":    func() { MakeEpoch(0, 0, BatchCommandsMax) },
		"negative": func() { MakeEpoch(0, 0, -1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
