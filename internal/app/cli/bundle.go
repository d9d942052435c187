package cli

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"postseal"
	"postseal/bundle"
	"postseal/dmarc"
	"postseal/internal/app/atomicfile"
	"postseal/internal/app/view"
	"postseal/internal/core/attached"
)

// The values of --bundle-with.
const (
	withNothing = "nothing"
	withHeader  = "header"
	withMessage = "message"
)

var bundleWords = []string{withNothing, withHeader, withMessage}

// writeBundle writes the evidence of r to the file of --bundle.
func (f *verifyFlags) writeBundle(v *postseal.Verifier, r *postseal.Report, kept *kept) error {
	if f.bundle == "" {
		return nil
	}
	o := bundle.Options{Private: f.bundleWith != withNothing}
	if f.bundleWith == withMessage {
		if o.Message = kept.message(maxBundle); o.Message == nil {
			return failf(exitCreate, "%s: the message is too long for a bundle", f.bundle).or("--bundle-with header keeps hashes of the body")
		}
	}
	if err := atomicfile.Write(f.bundle, bundle.Of(r, v, o).Format(), atomicfile.Options{Mode: 0o600, Prefix: ".postseal-"}); err != nil {
		return cannotCreate(f.bundle, err)
	}
	return nil
}

func cannotCreate(path string, err error) *failure {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return failf(exitCreate, "%s: cannot write it: %v", path, err)
}

func (a messageCommands) replayBundleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "replay-bundle FILE...|-",
		Short: "Re-evaluate bundles and compare the verdicts",
		Long: `Replay-bundle evaluates each bundle from its own clock, DNS answers and message, with this
version of postseal, and compares the result with what the bundle expects. It does not use
the network. A vector is a bundle too.

Exit codes: 0 every verdict is the same, 1 one differs, 2 a bundle lacks a DNS answer that
the evaluation needs, 65 not a bundle.`,
		Example: `  postseal verify --bundle a.bundle a.eml
  postseal replay-bundle a.bundle
  postseal replay-bundle testdata/vectors/*/*.txtar`,
		Args: func(c *cobra.Command, args []string) error { return exactly("FILE")(c, args[:min(len(args), 1)]) },
		RunE: func(c *cobra.Command, args []string) error {
			for _, path := range args {
				if err := a.replayBundle(c.Context(), path); err != nil {
					a.fail(err)
				}
			}
			return nil
		},
	}
}

// maxBundle limits the size of a bundle that is read.
const maxBundle = 256 << 20

// readBundle reads a bundle file, "-" being stdin.
func (a *app) readBundle(path string) (*bundle.Bundle, error) {
	in := a.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, openFailure(path, err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxBundle+1))
	switch {
	case err != nil:
		return nil, openFailure(path, err)
	case len(data) > maxBundle:
		return nil, failf(exitData, "%s: is larger than 256 MiB", path)
	}
	b, err := bundle.Parse(data)
	if err != nil {
		return nil, failf(exitData, "%s: %v", path, err).or("verify --bundle writes bundles; docs/reference/bundle.md describes them")
	}
	return b, nil
}

// isBundle inspects the beginning of a file. A pipe, which can only be read once, is a message.
func isBundle(path string) bool {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 64<<10)
	n, _ := io.ReadFull(f, head)
	return bundle.Is(head[:n])
}

// evaluate evaluates the bundle at path, with a change to its configuration, and diagnoses why
// signatures broke.
func evaluate(ctx context.Context, path string, b *bundle.Bundle, change func(*postseal.Config)) (*postseal.Report, *postseal.Verifier, error) {
	config, err := b.Config()
	if err != nil {
		return nil, nil, failf(exitData, "%s: %v", path, err)
	}
	change(&config)
	v, err := postseal.New(config)
	if err != nil {
		return nil, nil, failf(exitData, "%s: %v", path, err)
	}
	r, err := b.RunWith(ctx, v)
	if err != nil {
		return nil, nil, failf(exitData, "%s: %v", path, err)
	}
	if err := interrupted(ctx); err != nil {
		return nil, nil, err
	}
	if body := b.Body(); body != nil {
		v.Diagnose(ctx, r, body)
	}
	return r, v, nil
}

// verifyBundle verifies the message of a bundle, at its time and with its DNS answers. Flags
// override its configuration. Because the author of the file chose the answers, the output says
// that it is a bundle, and a message is never read as a bundle if its envelope is given.
func (a messageCommands) verifyBundle(ctx context.Context, f *verifyFlags, path string, n int) error {
	if len(f.foreign) > 0 {
		return usage("%s: a bundle has its own envelope, clock and DNS answers, so it cannot be used with %s", path, strings.Join(f.foreign, ", ")).
			or("--enforce, --discovery and --authserv-id can")
	}
	b, err := a.readBundle(path)
	if err != nil {
		return err
	}
	r, _, err := evaluate(ctx, path, b, func(c *postseal.Config) {
		c.Enforce = cmp.Or(postseal.Enforce(f.enforce), c.Enforce)
		c.Discovery = cmp.Or(dmarc.Discovery(f.discovery), c.Discovery)
		c.AuthservID = cmp.Or(f.authservID, c.AuthservID)
	})
	if err != nil {
		return err
	}
	attached.SetSource(r, attached.Source{File: path})
	code := exitCode(r)
	a.setExit(code)
	for _, m := range bundle.Missing(r) {
		a.hint("%s has no answer to %s: the verdict may differ because of this", path, m)
	}
	a.hint("%s is a bundle: it supplied the envelope, the clock and the DNS answers", path)
	return a.page().Message(&view.Message{Report: r, Name: path, Envelope: []string{"bundle"}, Exit: code, Next: n > 0, Trace: f.trace, Second: f.opinion, Bundle: true})
}

func (a messageCommands) replayBundle(ctx context.Context, path string) error {
	b, err := a.readBundle(path)
	if err != nil {
		return err
	}
	r, err := b.Run(ctx)
	if err != nil {
		return failf(exitData, "%s: %v", path, err)
	}
	if err := interrupted(ctx); err != nil {
		return err
	}
	attached.SetSource(r, attached.Source{File: path})
	differences, missing := b.Check(r), bundle.Missing(r)
	switch {
	case len(missing) > 0:
		a.setExit(exitUndecided)
	case len(differences) > 0:
		a.setExit(exitNo)
	}
	return a.page().Replayed(&view.Replayed{File: path, Bundle: b, Report: r, Differences: differences, Missing: missing})
}
