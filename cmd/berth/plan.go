package main

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

func (a *app) planCommand() *cobra.Command {
	p := &planning{app: a}
	c := command("plan", "Say what a change of the members would move", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return p.run(ctx)
	})
	c.Long = `Say what would move if members left, joined or had other weights. Nothing is changed: the state is fetched from the cluster,
or read from a file, and the change is carried out on a copy, by the code that decides in the cluster.

What a member owns ends when it leaves, and is placed anew when somebody asks for it: that is what moves. A member that joins,
or joins again with another weight, takes nothing from anybody who lives: what is placed stays. --remove and --weight of one
member together are its restart. With --replace-all every identity is taken to be released and placed anew, which says where
all of them would go.

How sure it is stands beside each kind. "always": the owners depend on the members alone. "in-order": they depend on what
members own by then (least-loaded, capacities), and identities are taken to be placed in ascending order. "drawn": they are
drawn by the position in the log (random-by-index), so this is an example. All of it takes nothing else to change meanwhile.`
	c.Example = `  berth plan --remove m3
  berth plan --remove m3 --weight m1=200 --add m9,kinds=cart+room,weight=100,labels=zone=a
  berth plan --snapshot before.berth --add m9 --replace-all -o jsonl`
	f := c.Flags()
	f.StringSliceVar(&p.remove, "remove", nil, "members that leave")
	f.StringSliceVar(&p.weigh, "weight", nil, "members that join again with another weight, NAME=WEIGHT")
	f.StringArrayVar(&p.add, "add", nil, "a member that joins, NAME[,kinds=A+B][,weight=N][,capacity=N][,address=HOST:PORT][,labels=A=B+C=D]; it hosts all kinds unless told")
	f.StringVar(&p.kind, "kind", "", "only show this kind")
	f.BoolVar(&p.what.ReplaceAll, "replace-all", false, "take every identity to be released and placed anew")
	f.StringVar(&p.near, "near", "", "where the requests come from: a member's NAME, or LABEL=VALUE of the members near by")
	f.StringVar(&p.file, "snapshot", "", "the state: a snapshot file (default: that of the cluster)")
	a.asking(c)
	return c
}

// planning is one run of the command.
type planning struct {
	*app
	remove, weigh, add []string
	kind, near, file   string
	what               fsm.WhatIf
}

func (p *planning) run(ctx context.Context) error {
	if len(p.remove)+len(p.weigh)+len(p.add) == 0 && !p.what.ReplaceAll {
		return usage("nothing would change: give --remove, --weight, --add or --replace-all")
	}
	if n := nearFlag(p.near); n != nil {
		p.what.Near = placement.Near{Member: placement.MemberID(n.Member), Label: placement.Label{Name: n.Label, Value: n.Value}}
		if err := p.what.Near.Validate(); err != nil {
			return usage("--near %.80q: %v", p.near, err)
		}
	}
	v, err := p.view(ctx)
	if err != nil {
		return err
	}
	if p.kind != "" && !v.HasKind(p.kind) {
		return usage("--kind %.80q: the cluster does not know it", p.kind)
	}
	if err := p.read(v); err != nil {
		return err
	}
	var predicted *fsm.Prediction
	p.during("predicting", func() { predicted, err = fsm.Predict(v, p.what) })
	var fault *fsm.WhatIfError
	if errors.As(err, &fault) {
		return usage("%v", err)
	}
	if err != nil {
		return err
	}
	if p.printer.Format == output.JSONL {
		return p.lines(predicted)
	}
	plan := p.sum(predicted)
	return p.printer.Print(plan, func(r *output.Rows) { planTable(r, plan) })
}

// view is the state to begin with.
func (p *planning) view(ctx context.Context) (v *snapshot.View, err error) {
	if p.file != "" {
		_, v, err = p.openSnapshot(p.file)
		return v, err
	}
	err = p.ask(func(c *lookupclient.Client) error {
		v, err = p.fetch(ctx, c)
		return err
	})
	return v, err
}

// read reads the flags that speak of members.
func (p *planning) read(v *snapshot.View) error {
	for _, name := range p.remove {
		p.what.Remove = append(p.what.Remove, placement.MemberID(name))
	}
	for _, text := range p.weigh {
		name, weight, _ := strings.Cut(text, "=")
		n, err := strconv.ParseUint(weight, 10, 32)
		if err != nil {
			return usage("--weight %.80q: want NAME=WEIGHT", text)
		}
		p.what.Weigh = append(p.what.Weigh, fsm.Weighed{Member: placement.MemberID(name), Weight: uint32(n)})
	}
	for _, text := range p.add {
		m, err := newMember(v, text)
		if err != nil {
			return usage("--add %.80q: %v", text, err)
		}
		p.what.Add = append(p.what.Add, m)
	}
	return nil
}

// noAddress stands for the address of a member that does not exist yet. Only one strategy looks at addresses.
const noAddress = "unknown.invalid:1"

// newMember reads a member that would join.
func newMember(v *snapshot.View, text string) (m placement.Member, err error) {
	name, rest, _ := strings.Cut(text, ",")
	m.ID, m.Address = placement.MemberID(name), noAddress
	for _, part := range strings.Split(rest, ",") {
		if part == "" {
			continue
		}
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "kinds":
			m.Kinds = strings.Split(value, "+")
		case "weight":
			m.Weight, err = number(value, placement.WeightMax)
		case "capacity":
			m.Capacity, err = number(value, 1<<32-1)
		case "address":
			m.Address = value
		case "labels":
			for _, l := range strings.Split(value, "+") {
				name, value, _ := strings.Cut(l, "=")
				m.Labels = append(m.Labels, placement.Label{Name: name, Value: value})
			}
		default:
			return m, errors.New("there are kinds, weight, capacity, address and labels, not " + strconv.Quote(key))
		}
		if err != nil {
			return m, errors.New(key + ": " + err.Error())
		}
	}
	if m.Kinds == nil {
		for kind := range v.Kinds() {
			m.Kinds = append(m.Kinds, kind)
		}
	}
	m.Normalize()
	if err := m.Validate(); err != nil {
		return m, err
	}
	for _, kind := range m.Kinds {
		if m.Address == noAddress && v.KindSettings(kind).Strategy == (placement.ProtoActorGo1{}).Name() {
			return m, errors.New("the kind " + kind + " is placed by address: give it address=HOST:PORT")
		}
	}
	return m, nil
}

// number reads a number from 1 to most.
func number(text string, most uint64) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 || n > most {
		return 0, errors.New("want a number from 1 to " + strconv.FormatUint(most, 10))
	}
	return uint32(n), nil
}

// lines prints each move.
func (p *planning) lines(predicted *fsm.Prediction) error {
	certain := map[string]string{}
	for _, kind := range predicted.Kinds {
		certain[kind] = predicted.Certainty(kind).String()
	}
	for m := range predicted.Moves() {
		if p.kind != "" && m.Identity.Kind != p.kind {
			continue
		}
		line := &apiv1.PlanMove{Kind: m.Identity.Kind, Key: m.Identity.Key, From: string(m.From.ID), Certain: certain[m.Identity.Kind]}
		if m.To != nil {
			line.To, line.Reason = string(m.To.ID), m.Reason.String()
		}
		if err := p.printer.Print(line, nil); err != nil {
			return err
		}
	}
	return nil
}
