package cli

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"postseal"
	"postseal/bundle"
	"postseal/internal/app/explain"
	"postseal/internal/app/term"
	"postseal/store"
)

func (a *app) explainCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "explain BUNDLE|REF|QUEUE-ID",
		Short: "Tell the story of a verdict, step by step",
		Long: `Explain runs the evidence of a verdict again and tells every step: SPF term by term, each
signature, the tree walk, alignment, and the decision with the rule behind it, and what the
sender has to change. The evidence is a bundle file, or one that the daemon kept, named by
the reference that stands in the reply, the log and X-Postseal-Verdict, or by the queue id.

Exit codes: 0 told, 65 not a bundle, 66 no such bundle.`,
		Example: `  postseal explain 7KQ2-9F3M
  postseal explain a.bundle`,
		Args: exactly("BUNDLE"),
		RunE: func(c *cobra.Command, args []string) error { return a.explain(c.Context(), args[0], dir) },
	}
	c.Flags().StringVar(&dir, "bundles", "", "`FOLDER` of the daemon's bundles (default: that of the configuration)")
	return c
}

// findBundle reads a bundle by its file, reference or queue id.
func (a *app) findBundle(id, dir string) (*bundle.Bundle, string, error) {
	if _, err := os.Stat(id); err == nil || id == "-" || strings.ContainsAny(id, "./") {
		b, err := a.readBundle(id)
		return b, id, err
	}
	if dir == "" {
		dir = a.config.Bundles.Dir
	}
	if dir == "" {
		return nil, "", failf(exitNoInput, "%s: is no file, and no folder of bundles is known", id).
			or("name the folder with --bundles, or the configuration with --config")
	}
	data, path, err := store.Find(dir, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, "", failf(exitNoInput, "%s: no bundle in %s has this reference or queue id", id, dir).
			or("the daemon keeps bundles of verdicts that are not accept, and the oldest go first")
	case err != nil:
		return nil, "", openFailure(dir, err)
	}
	b, err := bundle.Parse(data)
	if err != nil {
		return nil, "", failf(exitData, "%s: %v", path, err)
	}
	return b, path, nil
}

type storyJSON struct {
	Schema  string   `json:"schema"`
	File    string   `json:"file"`
	Holds   bool     `json:"holds"`
	Missing []string `json:"missing"`
	*explain.Story
}

func (a *app) explain(ctx context.Context, id, dir string) error {
	b, path, err := a.findBundle(id, dir)
	if err != nil {
		return err
	}
	r, v, err := evaluate(ctx, path, b, func(c *postseal.Config) { c.Trace = true })
	if err != nil {
		return err
	}
	config := v.Config()
	story, missing := explain.Tell(r, &config), bundle.Missing(r)
	differences := b.Check(r)
	if a.wantJSON() {
		return a.json(storyJSON{"postseal.explain/1", path, len(differences) == 0, listOf(missing), story})
	}
	v2 := &view{app: a, style: a.style, r: r}
	v2.tell(story)
	for _, m := range missing {
		v2.line(" %s %s", v2.style.Symbol(term.Warn), v2.clean("the bundle holds no answer to "+m+": this may not be what was decided"))
	}
	for _, d := range differences {
		v2.line(" %s %s", v2.style.Symbol(term.Warn), v2.clean("decided otherwise then: "+d))
	}
	return nil
}

var tones = map[explain.Tone]term.Tone{explain.Good: term.Good, explain.Warn: term.Warn, explain.Bad: term.Bad, explain.Plain: term.Muted}

func (v *view) tell(s *explain.Story) {
	v.line(" %s  %s", v.style.Bold("VERDICT "+v.ref()), v.style.Paint(actionTone(s.Applied), string(s.Applied)))
	for _, n := range s.Chapters {
		v.line("")
		v.chapter(n)
	}
	v.line("")
	text := orWord(s.Change, "nothing")
	lines := wrap(v.clean(text), term.Width-len(" TO CHANGE  "))
	for i, l := range lines {
		if i == 0 {
			v.line(" %s  %s", v.style.Bold("TO CHANGE"), l)
			continue
		}
		v.line("%*s%s", len(" TO CHANGE  "), "", l)
	}
}

func (v *view) chapter(n *explain.Node) {
	v.step(n, " ", v.style.Bold(v.clean(n.Title)))
	v.steps(n.Steps, " ")
}

func (v *view) steps(steps []*explain.Node, indent string) {
	for i, n := range steps {
		branch, below := "├─ ", "│  "
		if i == len(steps)-1 {
			branch, below = "└─ ", "   "
		}
		v.step(n, indent+v.style.Text(branch), v.clean(n.Title))
		v.steps(n.Steps, indent+v.style.Text(below))
	}
}

// step writes one line: its sign, title and text, and at the right edge the rule. What does
// not fit goes on below.
func (v *view) step(n *explain.Node, prefix, title string) {
	sign := v.style.Symbol(tones[n.Tone])
	head := prefix + sign + " " + title + "  "
	right := ""
	if n.RFC != "" {
		right = "RFC " + n.RFC
	}
	room := term.Width - term.Columns(head) - len(right) - 2
	text := v.clean(n.Text)
	first := ""
	if lines := wrap(text, max(room, 24)); len(lines) > 0 {
		first = lines[0]
	}
	rest := strings.TrimSpace(strings.TrimPrefix(text, first))
	if !n.Path && n.Tone == explain.Plain {
		first = v.style.Dim(first)
	}
	line := head + first
	if gap := term.Width - term.Columns(line) - len(right); right != "" {
		line += strings.Repeat(" ", max(gap, 2)) + v.style.Dim(right)
	}
	v.line("%s", strings.TrimRight(line, " "))
	indent := strings.Repeat(" ", min(term.Columns(head), 40))
	for _, l := range wrap(rest, term.Width-len(indent)) {
		v.line("%s%s", indent, l)
	}
}
