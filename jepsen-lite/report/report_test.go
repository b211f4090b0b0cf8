package report

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/check"
	"github.com/seed13d31b7f/berth/jepsen-lite/checktest"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// pageOf is the page of a history, which a test may change before.
func pageOf(t *testing.T, change func(events []history.Event) []history.Event) (string, *check.Results) {
	t.Helper()
	w := checktest.Make(checktest.Config{Seed: 4, Ops: 1500, Clients: 6, Identities: 12, Unknown: 3, Kills: 4})
	h, err := history.FromEvents(change(w.Events))
	if err != nil {
		t.Fatal(err)
	}
	r := check.Run(h, check.Options{Search: time.Minute})
	var b bytes.Buffer
	if err := Write(&b, h, r, Options{Orders: map[string]string{"cart/1": "order-1.html"}}); err != nil {
		t.Fatal(err)
	}
	if path := os.Getenv("REPORT_PAGE"); path != "" { // to be looked at
		if err := os.WriteFile(path+"/"+strings.ReplaceAll(t.Name(), "/", "-")+".html", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return b.String(), r
}

func same(events []history.Event) []history.Event { return events }

// spoil makes an activation last into the next, and a look-up see what was over.
func spoil(events []history.Event) []history.Event {
	var last *history.Hold
	for i := range events {
		x := events[i].Hold
		if x == nil || x.Identity != "cart/3" {
			continue
		}
		if last != nil && last.Epoch != x.Epoch && last.To < x.From {
			last.To = x.From + (x.To-x.From)/2
			break
		}
		last = x
	}
	seen := map[string]*history.Answer{}
	identities := map[uint64]string{}
	spoiled := 0
	for i := range events {
		if c := events[i].Invoke; c != nil {
			identities[c.Op] = c.Identity
		}
		a := events[i].OK
		if a == nil || a.Phase != history.Settled || identities[a.Op] != "cart/5" {
			continue
		}
		if old := seen["cart/5"]; old != nil && old.Epoch < a.Epoch && !a.Created {
			if spoiled++; spoiled == 4 {
				op := a.Op
				*a = *old
				a.Op = op
			}
		} else if old == nil {
			seen["cart/5"] = a
		}
	}
	return events
}

func TestWrite_ValidHistory_SaysSoOnTop(t *testing.T) {
	page, r := pageOf(t, same)
	if !r.Passed || !strings.Contains(page, "<h1>Every promise was kept</h1>") {
		t.Errorf("passed is %t, and the page begins with %.600s", r.Passed, page)
	}
	for _, c := range r.Checkers {
		if !strings.Contains(page, `data-checker="`+c.Checker+`" data-valid="`+string(c.Valid)+`"`) {
			t.Errorf("the page does not say that %s is %s", c.Checker, c.Valid)
		}
	}
	if strings.Contains(page, `class="failure"`) {
		t.Error("the page shows a violation")
	}
}

func TestWrite_Violation_ShowsItsWindow(t *testing.T) {
	page, r := pageOf(t, spoil)
	if r.Valid != check.False || !strings.Contains(page, "<h1>A promise was broken</h1>") {
		t.Errorf("valid is %s, and the page begins with %.600s", r.Valid, page)
	}
	for _, c := range r.Checkers {
		if c.Valid != check.False {
			continue
		}
		_, after, ok := strings.Cut(page, `<section class="failure" data-checker="`+c.Checker+`">`)
		if !ok {
			t.Errorf("the page does not show what %s found", c.Checker)
			continue
		}
		section, _, _ := strings.Cut(after, "</section>")
		if !strings.Contains(section, "bar") || !strings.Contains(section, "named") {
			t.Errorf("the window of %s is empty: %s", c.Checker, section)
		}
	}
	if !strings.Contains(page, `class="span overlap"`) {
		t.Error("the two owners are not drawn")
	}
}

// Names are text, whatever is in them, and the page asks nobody for anything.
func TestWrite_HostileNames_AreText(t *testing.T) {
	hostile := `"><script>alert(1)</script><img src=http://x.example/>`
	page, _ := pageOf(t, func(events []history.Event) []history.Event {
		events[0].Run.Scenario, events[0].Run.Command = hostile, hostile
		for i := range events {
			switch e := &events[i]; {
			case e.Hold != nil:
				e.Hold.Member, e.Hold.Why = hostile, hostile
			case e.Fault != nil:
				e.Fault.Kind, e.Fault.Detail, e.Fault.Targets = hostile, hostile, []string{hostile}
			case e.Invoke != nil:
				e.Invoke.Client = hostile
			}
		}
		return events
	})
	if strings.Count(page, "<script") != 1 || strings.Contains(page, "<img") {
		t.Error("a name became a part of the page")
	}
	for _, x := range regexp.MustCompile(`(src|href)="[^"]*"|url\([^)]*\)|@import`).FindAllString(page, -1) {
		if x != `href="order-1.html"` {
			t.Errorf("the page asks for %s", x)
		}
	}
	if !strings.Contains(page, `default-src 'none'`) {
		t.Error("the page does not forbid to ask")
	}
}

// The drawings are well formed.
func TestWrite_Drawings_AreWellFormed(t *testing.T) {
	page, _ := pageOf(t, spoil)
	drawings := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(page, -1)
	if len(drawings) < 10 {
		t.Fatalf("there are %d drawings", len(drawings))
	}
	for _, s := range drawings {
		d := xml.NewDecoder(strings.NewReader(s))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%v in %.300s", err, s)
			}
		}
		if strings.Contains(s, "NaN") || strings.Contains(s, "Inf") || strings.Contains(s, "ZgotmplZ") {
			t.Errorf("a number is none: %.300s", s)
		}
	}
}

// A history that was broken off at its beginning has a page too.
func TestWrite_AlmostNothing_HasAPage(t *testing.T) {
	h, err := history.FromEvents([]history.Event{{Run: &history.Run{Format: 1, Scenario: "x"}}})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Write(&b, h, check.Run(h, check.Options{}), Options{}); err != nil || !strings.Contains(b.String(), "Not proved") || strings.Contains(b.String(), "NaN") {
		t.Errorf("%v: %s", err, b.String())
	}
}

// The page of a long history does not grow with it for ever.
func TestWrite_LongHistory_PageIsBounded(t *testing.T) {
	events := []history.Event{{Run: &history.Run{Format: 1, Scenario: "x"}}}
	for i := range uint64(100_000) {
		at := int64(i) * 1000
		events = append(events, history.Event{At: at, Invoke: &history.Call{Op: i + 1, Client: "c", F: history.Lookup, Identity: "cart/1"}},
			history.Event{At: at + 500, OK: &history.Answer{Op: i + 1, Phase: history.Absent}})
	}
	h, err := history.FromEvents(events)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Write(&b, h, check.Run(h, check.Options{Only: []string{"run"}}), Options{}); err != nil || b.Len() > 2<<20 {
		t.Errorf("%d bytes, %v", b.Len(), err)
	}
}

// Faults do not cover each other, nor the name of the one before, as long as there is room; a page has six rows of them.
func TestBands_ManyFaults_HaveRoom(t *testing.T) {
	for _, n := range []int{5, 500} {
		events := []history.Event{{Run: &history.Run{Format: 1, Scenario: "x"}}}
		for i := range n {
			f := history.Fault{Fault: uint64(i + 1), Kind: "slow", Targets: []string{"s1", "s2", "s3", "m1"}}
			end := f
			end.Ends = true
			begin := int64(i) * 1e9
			events = append(events, history.Event{At: begin, Fault: &f}, history.Event{At: begin + 5e8, Fault: &end})
		}
		h, err := history.FromEvents(events)
		if err != nil {
			t.Fatal(err)
		}
		p := newPage(h, check.Run(h, check.Options{Only: []string{"run"}}), Options{})
		named := 0
		last := map[int]band{}
		for _, b := range p.Bands {
			if before, ok := last[b.Row]; ok && before.From+before.Length > b.From {
				t.Errorf("%+v covers %+v", b, before)
			}
			if before := last[b.Row]; before.Kind != "" && b.From-before.From < p.End/float64(letters)*float64(len(before.Kind))-1 && b.Kind != "" {
				t.Errorf("%+v covers the name of %+v", b, before)
			}
			if b.Kind != "" {
				named++
			}
			if b.Kind != "" && b.Kind != "slow 4 hosts" || !strings.HasPrefix(b.Title, "slow s1 s2 s3 m1 from ") {
				t.Errorf("the name is %q, the title %q", b.Kind, b.Title)
			}
			last[b.Row] = b
		}
		if len(p.Bands) != n || p.BandRows() > bandRowsMax || named < min(n, 40) {
			t.Errorf("%d of %d faults, in %d rows, %d have a name", len(p.Bands), n, p.BandRows(), named)
		}
	}
}

// What was broken meanwhile is above the others, the latest first to stay.
func TestWindow_FaultsMeanwhile_AreThere(t *testing.T) {
	events := []history.Event{{Run: &history.Run{Format: 1, Scenario: "x"}}}
	fault := func(n uint64, from, to int64) {
		f := history.Fault{Fault: n, Kind: "cut", Targets: []string{fmt.Sprint("s", n)}}
		end := f
		end.Ends = true
		events = append(events, history.Event{At: from, Fault: &f}, history.Event{At: to, Fault: &end})
	}
	fault(1, 0, 1e9) // over before
	for n := range uint64(windowFaults) + 1 {
		fault(n+2, int64(2e9+n), 21e8)
	}
	events = append(events, history.Event{At: 6e9, Hold: &history.Hold{Identity: "cart/1", Member: "m1", Epoch: 1, From: 2e9, To: 6e9}})
	slices.SortStableFunc(events, func(a, b history.Event) int { return cmp.Compare(a.At, b.At) })
	h, err := history.FromEvents(events)
	if err != nil {
		t.Fatal(err)
	}
	f := newFailure(h, &check.Result{Checker: "owner", Subject: "cart/1", From: 3e9, To: 5e9}, Options{})
	if len(f.Window) != 1 {
		t.Errorf("a window after all faults has %+v", f.Window)
	}
	f = newFailure(h, &check.Result{Checker: "owner", Subject: "cart/1", From: 2e9, To: 5e9}, Options{})
	if len(f.Window) != windowFaults+1 || f.Window[0].Name != "fault" || f.Window[0].Bars[0].Text != "cut s3" || f.Window[windowFaults].Name != "m1" {
		t.Errorf("the window has %+v", f.Window)
	}
}

// Beliefs that meet are one bar of a window.
func TestWindow_BeliefInPieces_IsOneBar(t *testing.T) {
	events := []history.Event{{Run: &history.Run{Format: 1, Scenario: "x"}}}
	hold := func(member string, epoch uint64, from, to int64) {
		events = append(events, history.Event{At: to, Hold: &history.Hold{Identity: "cart/1", Member: member, Epoch: epoch, From: from, To: to}})
	}
	hold("m1", 1, 0, 2e9)
	hold("m1", 1, 2e9, 4e9)
	hold("m2", 2, 3e9, 5e9)
	h, err := history.FromEvents(events)
	if err != nil {
		t.Fatal(err)
	}
	f := newFailure(h, &check.Result{Checker: "owner", Subject: "cart/1", From: 0, To: 5e9}, Options{})
	if len(f.Window) != 2 || len(f.Window[0].Bars) != 1 || len(f.Window[1].Bars) != 1 || f.Window[0].Name != "m1" || f.Window[1].Name != "m2" {
		t.Errorf("the window has %+v", f.Window)
	}
}
