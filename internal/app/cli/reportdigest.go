package cli

import (
	"context"

	"github.com/spf13/cobra"

	"postseal/internal/app/inbox"
	"postseal/store"
)

func (a *app) reportDigestCommand() *cobra.Command {
	address, name, since := "", "", ""
	c := &cobra.Command{
		Use:   "digest",
		Short: "Print what changed, and nothing when all is well",
		Long: `Digest compares the reports of the last days with those before: new sources that send in the
name of a domain, known sources whose mail passes less than before, reports that do not
count, a domain that became ready for a stricter policy, and addresses to which our own
reports cannot be delivered. It prints nothing when there is nothing to tell, so cron mails
it only then.

Exit codes: 0 nothing to tell, 1 something changed, 66 no history, 69 the database cannot be
reached.`,
		Example: "  postseal report digest\n  postseal report digest --domain acme.test --since 7d",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			all := name == ""
			if all {
				name = "any.invalid"
			}
			q, err := a.askedSummary(name, since)
			if err != nil {
				return err
			}
			if all {
				q.Domain = ""
			}
			q.Since++ // whole days: with 7d, seven of them
			if q.Resolver, err = a.resolver(); err != nil {
				return err
			}
			return a.withStore(c.Context(), address, func(ctx context.Context, db store.Store) error {
				d, err := inbox.DigestOf(ctx, db, q)
				if err != nil {
					return err
				}
				if len(d.Changes) > 0 {
					a.setExit(exitNo)
				}
				return a.page().Digest(d)
			})
		},
	}
	c.Flags().StringVar(&name, "domain", "", "only `DOMAIN`, with the names below it (default: all that reports are about)")
	c.Flags().StringVar(&since, "since", "7d", "the days since `TIME`: 7d, 2026-11-02")
	addStoreFlag(c, &address)
	return c
}
