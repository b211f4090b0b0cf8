package snapshot

import (
	"bytes"
	"hash/crc32"
	"io"
	"testing"
)

type countingWriter struct{ n int64 }

func (w *countingWriter) Write(b []byte) (int, error) {
	w.n += int64(len(b))
	return len(b), nil
}

// BenchmarkEncode writes the view as a file, to nowhere.
func BenchmarkEncode(b *testing.B) {
	v := benchEditor().Publish()
	w := &countingWriter{}
	for b.Loop() {
		w.n = 0
		if err := v.Encode(w); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(w.n)/float64(*identities), "B/identity")
}

// BenchmarkDecode makes a view that is ready of a file in memory.
func BenchmarkDecode(b *testing.B) {
	var file bytes.Buffer
	if err := benchEditor().Publish().Encode(&file); err != nil {
		b.Fatal(err)
	}
	b.Run("view", func(b *testing.B) {
		for b.Loop() {
			if _, err := Decode(bytes.NewReader(file.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("editor", func(b *testing.B) { // what a server needs before it applies the next entry
		for b.Loop() {
			v, err := Decode(bytes.NewReader(file.Bytes()))
			if err != nil {
				b.Fatal(err)
			}
			NewEditor(v)
		}
	})
	b.Run("crc32c", func(b *testing.B) { // the bound: to read it all and check it once
		h := crc32.New(castagnoli)
		for b.Loop() {
			if _, err := io.Copy(h, bytes.NewReader(file.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
	})
}
