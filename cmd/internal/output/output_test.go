package output_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

func list() *apiv1.ListResponse {
	return &apiv1.ListResponse{Placements: []*apiv1.Placement{
		{Kind: "cart", Key: "1", Phase: apiv1.Placement_SETTLED, Epoch: 1 << 60},
		{Kind: "cart", Key: "a\tb\x1b[2J\u202e", Phase: apiv1.Placement_PENDING},
	}}
}

func printed(t *testing.T, f output.Format) string {
	t.Helper()
	var b bytes.Buffer
	p := &output.Printer{Format: f, Out: &b}
	err := output.List(p, list(), list().Placements, func(r *output.Rows) {
		r.Row("IDENTITY", "MEMBER", "EPOCH")
		for _, x := range list().Placements {
			r.Row(x.Kind+"/"+x.Key, x.Member, x.Epoch)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestList_EachFormat(t *testing.T) {
	tests := map[output.Format]string{
		output.JSON: `{
  "placements": [
    {
      "kind": "cart",
      "key": "1",
      "phase": "SETTLED",
      "epoch": "1152921504606846976"
    },
    {
      "kind": "cart",
      "key": "a\tb\u001b[2J` + "\u202e" + `",
      "phase": "PENDING"
    }
  ]
}
`,
		output.JSONL: `{"kind":"cart","key":"1","phase":"SETTLED","epoch":"1152921504606846976"}
{"kind":"cart","key":"a\tb\u001b[2J` + "\u202e" + `","phase":"PENDING"}
`,
		output.Table: "IDENTITY       MEMBER  EPOCH\n" +
			"cart/1         -       1152921504606846976\n" +
			"cart/a�b�[2J�  -       0\n",
	}
	for f, want := range tests {
		if got := printed(t, f); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", f, got, want)
		}
	}
}

func TestFormat_Unknown_NamesThoseThatThereAre(t *testing.T) {
	var f output.Format
	if err := f.Set("yaml"); err == nil || !strings.Contains(err.Error(), "table, json, jsonl") {
		t.Errorf("yaml: %v", err)
	}
}
