package view

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"postseal/internal/app/term"
	"postseal/internal/core/spfrecord"
	"postseal/internal/core/spftree"
	"postseal/spf"
)

// maxDepth limits what is shown: 10 lookups cannot go deeper.
const maxDepth = 11

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

func makeNodeJSON(n *spftree.Node) *nodeJSON {
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

// Tree writes an explored record; result is "" if receivers can use it.
func (p *Page) Tree(tree *spftree.Tree, result spf.Code) error {
	if p.JSON() {
		return p.Object(treeJSON{"postseal.spf-tree/1", tree.Lookups, tree.VoidLookups, tree.Incomplete, makeNodeJSON(tree.Root)})
	}
	v := &treeView{Page: p, seen: map[string]bool{}}
	tone, word := term.Bad, string(result)
	switch result {
	case "":
		tone, word = term.Good, "ok"
	case spf.TempError:
		tone = term.Warn
	}
	v.width = v.resultWidth(word)
	v.result(tone, "SPF", word, v.clean(tree.Root.Domain), fmt.Sprintf("%d/%d lookups, %d/%d void", tree.Lookups, spf.DefaultLookups,
		tree.VoidLookups, spf.DefaultVoidLookups))
	v.node(tree.Root, " ", 0)
	if tree.Incomplete {
		v.line(" %s", v.Style.Yellow("the tree continues; only a part of it was followed"))
	}
	return nil
}

// treeView draws a tree.
type treeView struct {
	*Page
	seen map[string]bool // domains whose record was shown
}

func (v *treeView) node(n *spftree.Node, indent string, depth int) {
	if n.Problem != "" {
		v.branch(indent, v.Style.Symbol(term.Bad)+" ", v.clean(n.Problem))
		v.caret(n, indent)
		return
	}
	again := v.seen[n.Domain]
	v.seen[n.Domain] = true
	switch {
	case depth >= maxDepth:
		v.branch(indent, "", v.Style.Text("…"))
		return
	case again:
		v.branch(indent, "", v.Style.Dim("shown above"))
		return
	case depth == 0:
		v.branch(indent, "", v.Style.Dim(v.clean(n.Text)))
	}
	for i := 0; i < len(n.Terms); {
		next := i + addressRun(n.Terms[i:])
		joint, below := "├─ ", "│  "
		if next == len(n.Terms) {
			joint, below = "└─ ", "   "
		}
		if next-i > 1 {
			v.addresses(n.Terms[i:next], indent+v.Style.Text(joint), indent+v.Style.Text(below))
		} else {
			v.term(&n.Terms[i], indent+v.Style.Text(joint), indent+v.Style.Text(below), depth)
		}
		i = next
	}
}

// caret marks where a record cannot be read.
func (v *treeView) caret(n *spftree.Node, indent string) {
	_, err := spfrecord.Parse(n.Text)
	var syntax *spfrecord.SyntaxError
	if n.Text == "" || !errors.As(err, &syntax) || syntax.Offset > len(n.Text) {
		return
	}
	excerpt, column := v.excerpt(n.Text, syntax.Offset, term.Columns(indent)+2)
	v.line("%s  %s", indent, v.Style.Dim(excerpt))
	v.line("%s  %*s%s", indent, column, "", v.Style.Paint(term.Bad, "^"))
}

// branch writes text, wrapped, at its position in the tree.
func (v *treeView) branch(indent, lead, text string) {
	for _, l := range wrap(text, max(term.Width-term.Columns(indent)-term.Columns(lead), 20)) {
		v.line("%s%s%s", indent, lead, l)
		lead = strings.Repeat(" ", term.Columns(lead))
	}
}

// addressRun returns how many terms from the start are plain addresses, at least 1.
func addressRun(terms []spftree.Term) int {
	n := 0
	for n < len(terms) && (terms[n].Mechanism == spfrecord.IP4 || terms[n].Mechanism == spfrecord.IP6) && !terms[n].Unused {
		n++
	}
	return max(n, 1)
}

// addresses writes several networks on as few lines as they need.
func (v *treeView) addresses(terms []spftree.Term, first, indent string) {
	words := make([]string, len(terms))
	for i := range terms {
		words[i] = v.Style.Sanitize(terms[i].Text, 60)
	}
	for _, l := range wrap(strings.Join(words, " "), max(term.Width-term.Columns(indent), 20)) {
		v.line("%s%s", first, l)
		first = indent
	}
}

func (v *treeView) term(t *spftree.Term, joint, below string, depth int) {
	text := joint + v.Style.Sanitize(t.Text, 50)
	note, tone := termNote(t)
	if note != "" && tone != term.Bad {
		text += "  " + v.Style.Paint(tone, v.Style.Text(note))
	}
	v.counted(text, t)
	if tone == term.Bad {
		v.branch(below, v.Style.Symbol(term.Bad)+" ", v.clean(note))
	}
	if t.Child != nil {
		v.node(t.Child, below, depth+1)
	}
}

// counted writes a line of the tree with the lookups of t at the right edge. From the 11th on
// they exceed the limit.
func (v *treeView) counted(text string, t *spftree.Term) {
	if t.Lookup == 0 {
		v.line("%s", text)
		return
	}
	right := fmt.Sprintf("lookup %d", t.Lookup)
	if t.Child != nil && t.Child.Lookups > 0 {
		right = fmt.Sprintf("lookup %d + %d below", t.Lookup, t.Child.Lookups)
	}
	gap := term.Width - term.Columns(text) - len(right)
	if gap < 2 {
		v.line("%s", text)
		text, gap = "", term.Width-len(right)
	}
	tone := term.Muted
	if t.Lookup > spf.DefaultLookups {
		tone = term.Bad
	}
	v.line("%s%*s%s", text, gap, "", v.Style.Paint(tone, right))
}

// termNote describes a term.
func termNote(t *spftree.Term) (string, term.Tone) {
	switch {
	case t.Problem != "":
		return t.Problem, term.Bad
	case t.Unused:
		return "after \"all\": never reached", term.Warn
	case t.Void4 && t.Void6:
		return "void: resolves to nothing", term.Warn
	case t.Void4:
		return "void for IPv4 clients", term.Warn
	case t.Void6:
		return "void for IPv6 clients", term.Muted
	case t.Name == "" && t.Lookup > 0:
		return "depends on the client and sender", term.Muted
	case t.Mechanism == spfrecord.A || t.Mechanism == spfrecord.MX:
		return Plural(len(t.Addresses), "address", "addresses"), term.Muted
	}
	return "", term.Muted
}
