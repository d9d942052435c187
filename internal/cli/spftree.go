package cli

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"postseal/internal/domain"
	"postseal/internal/term"
	"postseal/spf"
)

func (a *app) spfTreeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "tree DOMAIN",
		Short: "Show what an SPF record comes to: includes, lookups, addresses",
		Long: `Tree follows every include and redirect of a record and counts the most that a check
can cost. More than 10 lookups or 2 void lookups are a permerror for receivers.

Exit codes: 0 fine, 1 receivers may answer permerror or none, 2 DNS trouble.`,
		Args: exactly("DOMAIN"),
		RunE: func(c *cobra.Command, args []string) error { return a.spfTree(c.Context(), args[0]) },
	}
}

type treeJSON struct {
	Schema      string    `json:"schema"`
	Lookups     int       `json:"lookups"`
	VoidLookups int       `json:"void_lookups"`
	Incomplete  bool      `json:"incomplete"`
	Root        *nodeJSON `json:"root"`
}

type nodeJSON struct {
	Domain  string     `json:"domain"`
	Result  string     `json:"result"`
	Reason  string     `json:"reason"`
	Problem string     `json:"problem"`
	Record  string     `json:"record"`
	Lookups int        `json:"lookups"`
	Terms   []termJSON `json:"terms"`
}

type termJSON struct {
	Text      string         `json:"text"`
	Offset    int            `json:"offset"`
	Lookup    int            `json:"lookup"`
	Name      string         `json:"name"`
	Addresses []netip.Prefix `json:"addresses"`
	Void      bool           `json:"void"`
	Problem   string         `json:"problem"`
	Child     *nodeJSON      `json:"child,omitempty"`
}

func makeNodeJSON(n *spf.Node) *nodeJSON {
	if n == nil {
		return nil
	}
	j := &nodeJSON{Domain: n.Domain, Result: string(n.Code), Reason: string(n.Reason), Problem: n.Problem, Record: n.Text,
		Lookups: n.Lookups, Terms: []termJSON{}}
	for i := range n.Terms {
		t := &n.Terms[i]
		addresses := t.Addresses
		if addresses == nil {
			addresses = []netip.Prefix{}
		}
		j.Terms = append(j.Terms, termJSON{t.Text, t.Offset, t.Lookup, t.Name, addresses, t.Void(), t.Problem, makeNodeJSON(t.Child)})
	}
	return j
}

func (a *app) spfTree(ctx context.Context, name string) error {
	if _, err := domain.Parse(name); err != nil {
		return usage("DOMAIN: %v", err)
	}
	dns, clock, err := a.dns(ctx)
	if err != nil {
		return err
	}
	defer dns.Close()
	tree := (&spf.Checker{Resolver: dns, Now: clock}).Explore(ctx, name)
	switch {
	case tree.Root.Code == spf.TempError:
		a.raise(exitUndecided)
	case tree.Root.Code != "" || tree.Lookups > spf.DefaultLookups || tree.VoidLookups > spf.DefaultVoidLookups:
		a.raise(exitNo)
	}
	if a.wantJSON() {
		return a.json(treeJSON{"postseal.spf-tree/1", tree.Lookups, tree.VoidLookups, tree.Incomplete, makeNodeJSON(tree.Root)})
	}
	a.showTree(tree)
	return nil
}

func (a *app) showTree(tree *spf.Tree) {
	v := &view{app: a, style: a.style, width: 4}
	tone, word := term.Good, "ok"
	if tree.Root.Code != "" {
		tone, word = term.Bad, string(tree.Root.Code)
	} else if tree.Lookups > spf.DefaultLookups || tree.VoidLookups > spf.DefaultVoidLookups {
		tone, word = term.Bad, string(spf.PermError)
	}
	v.width = len(word)
	v.result(tone, "SPF", word, v.clean(tree.Root.Domain), fmt.Sprintf("%d/%d lookups, %d/%d void", tree.Lookups, spf.DefaultLookups,
		tree.VoidLookups, spf.DefaultVoidLookups))
	v.node(tree.Root, " ")
	if tree.Incomplete {
		v.line(" %s", v.style.Yellow("the tree goes on; not all of it was followed"))
	}
}

func (v *view) node(n *spf.Node, indent string) {
	if n.Problem != "" {
		v.line("%s%s %s", indent, v.style.Symbol(term.Bad), v.clean(n.Problem))
		return
	}
	for _, l := range wrap(v.clean(n.Text), max(term.Width-term.Columns(indent), 20)) {
		v.line("%s%s", indent, v.style.Dim(l))
	}
	for i := range n.Terms {
		branch, below := "├─ ", "│  "
		if i == len(n.Terms)-1 {
			branch, below = "└─ ", "   "
		}
		v.term(&n.Terms[i], indent+v.style.Text(branch))
		if c := n.Terms[i].Child; c != nil {
			v.node(c, indent+v.style.Text(below))
		}
	}
}

func (v *view) term(t *spf.Term, prefix string) {
	text := prefix + v.style.Clean(t.Text, 60)
	switch {
	case t.Problem != "":
		text += "  " + v.style.Red(v.clean(t.Problem))
	case t.Void():
		text += "  " + v.style.Yellow("void: resolves to nothing")
	case t.Name == "" && t.Lookup > 0:
		text += "  " + v.style.Dim("depends on the client and sender")
	case t.Mechanism == spf.A || t.Mechanism == spf.MX:
		text += "  " + v.style.Dim(plural(len(t.Addresses), "address", "addresses"))
	}
	right := ""
	if t.Lookup > 0 {
		right = fmt.Sprintf("lookup %d", t.Lookup)
		if t.Child != nil && t.Child.Lookups > 0 {
			right = fmt.Sprintf("lookup %d + %d below", t.Lookup, t.Child.Lookups)
		}
	}
	gap := max(term.Width-term.Columns(text)-len(right), 2)
	if right == "" {
		v.line("%s", text)
		return
	}
	v.line("%s%*s%s", text, gap, "", v.style.Dim(right))
}
