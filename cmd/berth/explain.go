package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// explained is a reason as programs get it.
type explained struct {
	Reason     string `json:"reason"`
	Code       string `json:"code"`
	Retry      bool   `json:"retry"`
	ExitStatus int    `json:"exitStatus"`
	Meaning    string `json:"meaning"`
	Check      string `json:"check"`
	Fix        string `json:"fix"`
}

func explain(i apiv1.ReasonInfo) explained {
	return explained{string(i.Reason), i.Code.String(), i.Retry, exitStatus(i.Reason), i.Meaning, i.Check, i.Fix}
}

func (a *app) explainCommand() *cobra.Command {
	c := command("explain [REASON]", "Say what the reason of an error means and what to do", cobra.MaximumNArgs(1), func(_ context.Context, args []string) error {
		if len(args) == 0 {
			return a.explainAll()
		}
		info, ok := apiv1.Reason(strings.ToUpper(args[0])).Info()
		if !ok {
			return usage("there is no reason %q; berth explain lists all", args[0])
		}
		e := explain(info)
		return a.printer.Print(e, func(r *output.Rows) {
			r.Line("%s (%s, retry: %s, exit status %d)", e.Reason, e.Code, yesNo(e.Retry), e.ExitStatus)
			r.Line("  %s", e.Meaning)
			r.Line("Check  %s", e.Check)
			r.Line("Fix    %s", e.Fix)
		})
	})
	c.Long = `Say what the reason of an error means, where to look and what to do. It needs no cluster. Without an argument it lists all
reasons; there are no others.`
	for _, i := range apiv1.Reasons() {
		c.ValidArgs = append(c.ValidArgs, string(i.Reason))
	}
	return c
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (a *app) explainAll() error {
	var all []explained
	for _, i := range apiv1.Reasons() {
		all = append(all, explain(i))
	}
	return output.List(&a.printer, all, all, func(r *output.Rows) {
		r.Row("REASON", "CODE", "RETRY", "EXIT", "MEANING")
		for _, e := range all {
			first, _, _ := strings.Cut(e.Meaning, ". ")
			r.Row(e.Reason, e.Code, yesNo(e.Retry), e.ExitStatus, strings.TrimSuffix(first, ".")+".")
		}
	})
}

// version is what the binary knows of itself.
type version struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Time     string `json:"time,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisVersion() version {
	v := version{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		case "vcs.time":
			v.Time = s.Value
		}
	}
	return v
}

func (a *app) versionCommand() *cobra.Command {
	return command("version", "Say which berth this is", cobra.NoArgs, func(context.Context, []string) error {
		v := thisVersion()
		return a.printer.Print(v, func(r *output.Rows) {
			more := ""
			if v.Revision != "" {
				more = fmt.Sprintf(" (%s, %s)", v.Revision[:min(12, len(v.Revision))], v.Time)
			}
			r.Line("berth %s%s, %s %s", v.Version, more, v.Go, v.Platform)
		})
	})
}
