package cli

import (
	"bytes"
	"context"
	"strings"

	"github.com/spf13/cobra"

	"postseal/internal/app/conf"
	"postseal/internal/app/inbox"
	"postseal/internal/app/view"
	"postseal/store"
)

func (a *app) reportDigestCommand() *cobra.Command {
	address, name, since, to := "", "", "", ""
	c := &cobra.Command{
		Use:   "digest",
		Short: "Print what changed, and nothing when all is well",
		Long: `Digest compares the reports of the last days with those before: new sources that send in the
name of a domain, known sources whose mail passes less than before, reports that do not
count, a domain that became ready for a stricter policy, and addresses to which our own
reports cannot be delivered. It prints nothing when there is nothing to tell. With --to it
mails what it would print, signed, the way reports are sent.

Exit codes: 0 nothing to tell, 1 something changed, 66 no history, 69 the database cannot be
reached.`,
		Example: "  postseal report digest\n  postseal report digest --domain acme.test --since 7d",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			q, err := a.askedSummary(name, since)
			if err != nil {
				return err
			}
			q.Since++ // whole days: with 7d, seven of them
			return a.withStore(c.Context(), address, func(ctx context.Context, db store.Store) error {
				d, err := inbox.DigestOf(ctx, db, q)
				if err != nil {
					return err
				}
				if len(d.Changes) > 0 {
					a.setExit(exitNo)
				}
				if to != "" {
					return a.mailDigest(ctx, db, d, to)
				}
				return a.page().Digest(d)
			})
		},
	}
	c.Flags().StringVar(&name, "domain", "", "only `DOMAIN`, with the names below it (default: all that reports are about)")
	c.Flags().StringVar(&to, "to", "", "mail the digest to `ADDRESS` instead")
	c.Flags().StringVar(&since, "since", "7d", "the days since `TIME`: 7d, 2026-11-02")
	addStoreFlag(c, &address)
	return c
}

// mailDigest mails a digest that is not empty.
func (a *app) mailDigest(ctx context.Context, db store.Store, d *inbox.Digest, to string) error {
	var address conf.MailAddress
	if err := address.UnmarshalText([]byte(to)); err != nil || address == "" {
		return usage("--to %q is not a plain address", to).or("use an address such as postmaster@example.net")
	}
	if len(d.Changes) == 0 {
		return nil
	}
	s, err := a.reportSender(db)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	p := view.Page{W: &text, Format: "text"}
	if err := p.Digest(d); err != nil {
		return err
	}
	if err := s.Notice(ctx, string(address), "DMARC reports "+d.Since+" to "+d.Until+": "+view.Plural(len(d.Changes), "change", "changes"), strings.Split(strings.TrimRight(text.String(), "\n"), "\n")); err != nil {
		return failf(exitTempFail, "the digest could not be mailed: %v", err)
	}
	return nil
}
