// Package output prints what a command found: a table for people, or JSON for programs.
//
// Standard output has the answer and nothing else. A table is borderless columns under a header in capitals, so that
// grep and awk can read it; json is one indented document, the API's own message; jsonl is one object a line. In JSON,
// 64-bit numbers are strings, as everywhere in the API, and a field that is not set is left out.
package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Format is how an answer is printed. It is a pflag.Value.
type Format string

// The formats.
const (
	Table Format = "table"
	JSON  Format = "json"
	JSONL Format = "jsonl"
)

// Formats are all formats.
func Formats() []string { return []string{string(Table), string(JSON), string(JSONL)} }

// String is the format's name.
func (f *Format) String() string { return string(*f) }

// Set takes a format by its name.
func (f *Format) Set(s string) error {
	switch Format(s) {
	case Table, JSON, JSONL:
		*f = Format(s)
		return nil
	}
	return fmt.Errorf("there are %s", strings.Join(Formats(), ", "))
}

// Type is what help calls a format.
func (f *Format) Type() string { return "format" }

// Printer prints in one format.
type Printer struct {
	Format Format
	Out    io.Writer
}

// Print prints a message, or in the format Table what table makes of it.
func (p *Printer) Print(message any, table func(*Rows)) error {
	if p.Format == Table {
		return p.Table(table)
	}
	return p.document(message)
}

// List prints a message that is a list: in the format JSONL each of its items, a line each.
func List[T any](p *Printer, message any, items []T, table func(*Rows)) error {
	if p.Format != JSONL {
		return p.Print(message, table)
	}
	for _, item := range items {
		if err := p.document(item); err != nil {
			return err
		}
	}
	return nil
}

// Table prints rows, whatever the format.
func (p *Printer) Table(fill func(*Rows)) error {
	w := tabwriter.NewWriter(p.Out, 0, 8, 2, ' ', 0)
	fill(&Rows{w: w})
	return w.Flush()
}

func (p *Printer) document(message any) error {
	b, err := Marshal(message, p.Format == JSON)
	if err != nil {
		return err
	}
	_, err = p.Out.Write(append(b, '\n'))
	return err
}

// Marshal gives the JSON of a message: of a proto.Message the one that protobuf defines for it, of any other value
// that of encoding/json.
func Marshal(message any, indent bool) ([]byte, error) {
	var b []byte
	var err error
	if m, ok := message.(proto.Message); ok {
		b, err = protojson.MarshalOptions{}.Marshal(m)
	} else {
		b, err = json.Marshal(message)
	}
	if err != nil {
		return nil, fmt.Errorf("print %T: %w", message, err)
	}
	var out bytes.Buffer
	// protojson varies its spaces on purpose; these are always the same.
	if indent {
		err = json.Indent(&out, b, "", "  ")
	} else {
		err = json.Compact(&out, b)
	}
	return out.Bytes(), err
}

// Rows are the lines of a table.
type Rows struct{ w io.Writer }

// Row adds a line. An empty cell is printed as "-", so that every line has as many words as columns.
func (r *Rows) Row(cells ...any) {
	for i, c := range cells {
		s := fmt.Sprint(c)
		if s == "" {
			s = "-"
		}
		if i > 0 {
			_, _ = io.WriteString(r.w, "\t")
		}
		_, _ = io.WriteString(r.w, printable(s))
	}
	_, _ = io.WriteString(r.w, "\n")
}

// Line adds a line that is no part of the columns.
func (r *Rows) Line(format string, args ...any) {
	_, _ = io.WriteString(r.w, printable(fmt.Sprintf(format, args...))+"\n")
}

// printable keeps what comes from others from moving the cursor, turning the line around or making columns.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
