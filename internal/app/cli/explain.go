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
	"postseal/internal/app/view"
	"postseal/store/evidence"
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
	data, path, err := evidence.Find(dir, id)
	switch {
	case errors.Is(err, evidence.ErrNotFound):
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
	return a.page().Story(&view.Story{Story: explain.Tell(r, &config), File: path, Missing: bundle.Missing(r), Differences: b.Check(r)})
}
