package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"postseal/domain"
	"postseal/internal/app/inbox"
	"postseal/internal/app/view"
	"postseal/store"
	"postseal/store/engines"
)

func (a reportCommands) reportSummaryCommand() *cobra.Command {
	address, name, since := "", "", ""
	c := &cobra.Command{
		Use:   "summary --domain DOMAIN",
		Short: "Summarize what other receivers' reports say about a domain",
		Long: `Summary shows which sources send mail in the name of a domain and the names below it, from
the reports that "report read" and the daemon store: messages, not records, and how many
pass DMARC, by SPF and by DKIM. A source is named after the organization that authenticates
it, else by the include of the domain's own SPF record that lists it, else by its confirmed
reverse name, else by its network. With -v the rule for the class of each source is shown.

  known    it sends for the domain: most of its mail passes, or the SPF record lists it
  new      known, and first seen in the last 7 days
  unknown  it authenticates as another organization
  list     it forwards mail of the domain: reporters say so, or signatures arrive broken
  forged   its mail is not authenticated

Then it says whether you can publish p=quarantine and p=reject, with the reasons against it
and the calculation. Days are UTC days.

Exit codes: 0 shown, 66 no history, 69 the database cannot be reached.`,
		Example: "  postseal report summary --domain acme.test --since 30d\n  postseal report summary --domain acme.test --format csv --output sources.csv",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if name == "" {
				return usage("report summary: missing --domain")
			}
			q, err := a.askedSummary(name, since)
			if err != nil {
				return err
			}
			return a.withStore(c.Context(), address, func(ctx context.Context, db store.Store) error {
				s, err := inbox.Summarize(ctx, db, q)
				if err != nil {
					return err
				}
				if a.flags.format == "csv" {
					return view.SummaryCSV(a.out, s)
				}
				return a.page().Summary(s)
			})
		},
	}
	c.Flags().StringVar(&name, "domain", "", "the `DOMAIN`, with the names below it")
	c.Flags().StringVar(&since, "since", "30d", "reports of the days since `TIME`: 30d, 2026-11-02")
	addStoreFlag(c, &address)
	return c
}

// askedSummary reads --domain, which may be empty, and --since.
func (a reportCommands) askedSummary(name, since string) (q inbox.Asked, err error) {
	var parsed domain.Name
	if name != "" {
		if parsed, err = domain.Parse(name); err != nil {
			return q, notDomain("--domain", err)
		}
	}
	now, err := a.clock()
	if err != nil {
		return q, err
	}
	at, err := parseSince(since, now())
	if err != nil {
		return q, err
	}
	q = inbox.Asked{Domain: string(parsed), Since: store.DayOf(store.Millis(at)), Until: store.DayOf(store.Millis(now()))}
	q.Resolver, err = a.resolver()
	return q, err
}

// openInbox opens the history for reports of others. It is nil where there is no history yet and
// --store names none: looking at a report makes no database.
func (a reportCommands) openInbox(ctx context.Context, address string) (store.Store, error) {
	named := address != "" || a.flags.config != ""
	url, err := a.storeAddress(address)
	if err != nil {
		if named {
			return nil, err
		}
		return nil, nil
	}
	if path, ok := strings.CutPrefix(url, store.SQLitePrefix); ok && address == "" {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	db, err := engines.Open(ctx, url, engines.Options{})
	switch {
	case err == nil:
		return db, nil
	case named:
		return nil, storeFailure(url, err)
	}
	a.hint("the reports are shown only: the history cannot be written (%v)", err)
	return nil, nil
}
