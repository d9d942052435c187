package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"postseal"
	"postseal/bundle"
	"postseal/internal/app/conf"
	"postseal/internal/app/explain"
	"postseal/internal/app/view"
	"postseal/store/evidence"
)

// evidenceCommands read the evidence that the daemon kept: explain, exempt, whatif, trial.
type evidenceCommands struct{ *app }

func (a evidenceCommands) explainCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "explain BUNDLE|REF|QUEUE-ID|MESSAGE-ID",
		Short: "Explain a verdict, step by step",
		Long: `Explain re-evaluates the evidence for a verdict and shows every step: SPF term by term, each
signature, the tree walk, alignment, the decision with the rule for it, and what the sender
has to change. The evidence is a bundle file, or one that the daemon kept. Name that one by
the reference in the reply, the log and X-Postseal-Verdict, or by the queue id, or by the
Message-ID where [store] message_id_key_file is set.

Exit codes: 0 explained, 65 not a bundle, 66 no such bundle.`,
		Example: `  postseal explain 7KQ2-9F3M
  postseal explain a.bundle`,
		Args: exactly("BUNDLE"),
		RunE: func(c *cobra.Command, args []string) error { return a.explain(c.Context(), args[0], dir) },
	}
	c.Flags().StringVar(&dir, "bundles", "", "`DIR` of the daemon's bundles (default: from the configuration)")
	return c
}

// findBundle reads a bundle by file name, reference or queue id.
func (a evidenceCommands) findBundle(id, dir string) (*bundle.Bundle, string, error) {
	if _, err := os.Stat(id); err == nil || id == "-" || strings.ContainsAny(id, "./") {
		b, err := a.readBundle(id)
		return b, id, err
	}
	if dir == "" {
		if err := a.usualConfig(); err != nil {
			return nil, "", err
		}
		if dir = a.config.Bundles.Dir; dir == "" {
			return nil, "", failf(exitNoInput, "%s: no such file, and [bundles] dir keeps no evidence of verdicts", id).
				or("take [bundles] dir = \"none\" out of the configuration to keep it from now on")
		}
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && a.flags.config == "" && a.getenv("STATE_DIRECTORY") == "" {
			dir = conf.BundlesIn(conf.SystemState) // of the daemon that the system runs
		}
	}
	data, path, err := evidence.Find(dir, id)
	switch {
	case errors.Is(err, evidence.ErrNotFound):
		return nil, "", failf(exitNoInput, "%s: no bundle in %s has this reference or queue id", id, dir).
			or("the daemon keeps the evidence of verdicts that are not accept, oldest deleted first; [bundles] keep = \"all\" keeps every verdict")
	case errors.Is(err, fs.ErrNotExist):
		return nil, "", failf(exitNoInput, "%s: no such file, and no evidence is kept: %s does not exist", id, dir).
			or("use --config FILE or --bundles DIR if the daemon keeps it elsewhere; [bundles] dir turns it on")
	case errors.Is(err, fs.ErrPermission):
		return nil, "", openFailure(dir, err).or("run it as root or as the user of the daemon")
	case err != nil:
		return nil, "", openFailure(dir, err)
	}
	b, err := bundle.Parse(data)
	if err != nil {
		return nil, "", failf(exitData, "%s: %v", path, err)
	}
	return b, path, nil
}

func (a evidenceCommands) explain(ctx context.Context, id, dir string) error {
	if _, err := os.Stat(id); err != nil && strings.Contains(id, "@") {
		if id, err = historyCommands(a).refOf(ctx, id); err != nil {
			return err
		}
	}
	b, path, err := a.findBundle(id, dir)
	if err != nil {
		return historyCommands(a).explainFromHistory(ctx, id, err)
	}
	r, v, err := evaluate(ctx, path, b, func(c *postseal.Config) { c.Trace = true })
	if err != nil {
		return err
	}
	config := v.Config()
	story := explain.Of(r, &config)
	story.QueueID = evidence.QueueID(path)
	return a.page().Explain(&view.Explanation{Explanation: story, File: path, Missing: bundle.Missing(r), Differences: b.Check(r)})
}
