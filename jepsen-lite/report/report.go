// Package report draws a history as one page that a person looks at: the verdict on top, then what broke, the smallest part of
// the history in which it shows, and one axis of time with everything below each other: rate and latency, faults, servers with
// their roles, terms and leases, and who owned what.
//
// The page is one file. It asks for nothing from anywhere, works without scripts, and in the dark; with scripts a part of the time
// can be dragged out to be looked at closely. What it shows of names it shows as text: a history may have any in it.
//
// A page of a long history is thinned out: it has at most PointsMax points and RowsMax rows of identities, and says so.
package report

import (
	"embed"
	"html/template"
	"io"

	"github.com/seed13d31b7f/berth/jepsen-lite/check"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// Limits of a page.
const (
	// PointsMax is how many operations are drawn in the plot of latency, and NamedMax how many of them say what they are.
	PointsMax, NamedMax = 20_000, 400
	// RowsMax is how many identities, and how many locks, have a row.
	RowsMax = 30
	// SpansMax is how many spans of belief one row has.
	SpansMax = 400
)

//go:embed page.html style.css page.js
var files embed.FS

var page = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"style":  func() template.CSS { return template.CSS(must("style.css")) },
	"script": func() template.JS { return template.JS(must("page.js")) },
}).ParseFS(files, "page.html"))

func must(name string) string {
	b, err := files.ReadFile(name)
	if err != nil {
		panic("report: " + err.Error()) // it is embedded
	}
	return string(b)
}

// Options say what else is on the page.
type Options struct {
	// Orders are the files with the search for an order that was not found, by what it was of: the subject of a result.
	Orders map[string]string
}

// Write writes the page of a history and its results.
func Write(w io.Writer, h *history.History, r *check.Results, o Options) error {
	return page.Execute(w, newPage(h, r, o))
}
