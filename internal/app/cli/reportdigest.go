package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postseal/internal/app/conf"
	"postseal/internal/app/fleet"
	"postseal/internal/app/inbox"
	"postseal/internal/app/view"
	"postseal/store"
)

func (a reportCommands) reportDigestCommand() *cobra.Command {
	address, name, since, to, again := "", "", "", "", false
	c := &cobra.Command{
		Use:   "digest",
		Short: "Print what changed, and nothing when all is well",
		Long: `Digest compares the reports of the last days with those before: new sources that send in the
name of a domain, known sources whose mail passes less than before, reports that do not
count, a domain that became ready for a stricter policy, and addresses to which our own
reports cannot be delivered. It prints nothing when there is nothing to tell. With --to it
mails what it would print, signed, the way reports are sent. Hosts that share a PostgreSQL
mail one digest of the same days to an address, so each can have the same cron job.

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
					return a.mailDigest(ctx, db, d, to, func(mail func() error) error {
						return a.onceInFleet(ctx, address, "digest "+sumOf(to, name, d.Since, d.Until), again, mail)
					})
				}
				return a.page().Digest(d)
			})
		},
	}
	c.Flags().StringVar(&name, "domain", "", "only `DOMAIN`, with the names below it (default: all that reports are about)")
	c.Flags().StringVar(&to, "to", "", "mail the digest to `ADDRESS` instead")
	c.Flags().BoolVar(&again, "again", false, "with --to, mail it even if a host has mailed it already")
	c.Flags().StringVar(&since, "since", "7d", "the days since `TIME`: 7d, 2026-11-02")
	addStoreFlag(c, &address)
	return c
}

// sumOf names what the words tell apart.
func sumOf(words ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(words, "\n")))
	return hex.EncodeToString(sum[:16])
}

// The times of what one host does for all: how long it may take, and how long the others know of it.
const (
	claimFor = 10 * time.Minute
	doneFor  = 48 * time.Hour
)

// onceInFleet calls f, unless another host that shares the database does or did what f does.
func (a reportCommands) onceInFleet(ctx context.Context, address, what string, again bool, f func() error) error {
	address, err := a.storeAddress(address)
	switch {
	case err != nil:
		return err
	case !fleet.Shareable(address) || again:
		return f()
	}
	db, err := fleet.Open(address)
	if err != nil {
		return storeFailure(address, err)
	}
	defer db.Close()
	host, _ := os.Hostname() //nolint:errcheck // then without a name
	m := &fleet.Member{ID: rand.Text(), Name: host}
	mine, other, err := db.Claim(ctx, what, m, claimFor)
	switch {
	case fleet.Missing(err): // no daemon shares it yet
		return f()
	case err != nil:
		return storeFailure(address, err)
	case !mine:
		a.hint("%s mailed it, or is mailing it now: --again mails it once more", cmp.Or(other, "another host"))
		return nil
	}
	if err := f(); err != nil {
		db.Drop(context.WithoutCancel(ctx), what, m) //nolint:errcheck // it ends by itself
		return err
	}
	return db.Keep(context.WithoutCancel(ctx), what, m, doneFor)
}

// mailDigest mails a digest that is not empty, once.
func (a reportCommands) mailDigest(ctx context.Context, db store.Store, d *inbox.Digest, to string, once func(mail func() error) error) error {
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
	return once(func() error {
		subject := "DMARC reports " + d.Since + " to " + d.Until + ": " + view.Plural(len(d.Changes), "change", "changes")
		if err := s.Notice(ctx, string(address), subject, strings.Split(strings.TrimRight(text.String(), "\n"), "\n")); err != nil {
			return failf(exitTempFail, "the digest could not be mailed: %v", err)
		}
		return nil
	})
}
