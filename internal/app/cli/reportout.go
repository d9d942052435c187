package cli

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postseal/domain"
	"postseal/internal/app/outbox"
	"postseal/report"
	"postseal/store"
)

func (a reportCommands) reportListCommand() *cobra.Command {
	address, day, name, state, kind, limit := "", "", "", "", "", 0
	c := &cobra.Command{
		Use:   "list",
		Short: "List the reports that are sent, and those that are not",
		Long: `List shows the aggregate reports of the days that are over, newest first: state, records,
messages, where each went, and why one was not sent. Days are UTC days. Then it shows the
failure reports, those that wait for another attempt and those that are done.

Exit codes: 0 shown, 66 no history, 69 the database cannot be reached.`,
		Example: "  postseal report list\n  postseal report list --day 2026-11-29 --state none",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if kind != "" && kind != outbox.KindAggregate && kind != outbox.KindFailure {
				return usage("--kind %q is neither aggregate nor failure", kind)
			}
			f := store.ReportFilter{Domain: store.Domain(name), State: state, Limit: limit}
			if day != "" {
				var err error
				if f.Day, err = parseDay("--day", day); err != nil {
					return err
				}
			}
			return a.withStore(c.Context(), address, func(ctx context.Context, db store.Store) error {
				p := a.page()
				show := func(x outbox.Item) error { return p.Outgoing(&x) }
				if kind != outbox.KindFailure {
					if err := outbox.List(ctx, db, f, show); err != nil {
						return err
					}
				}
				if kind != outbox.KindAggregate {
					return outbox.ListFailures(ctx, db, f, show)
				}
				return nil
			})
		},
	}
	c.Flags().StringVar(&day, "day", "", "only reports about `DAY`, such as 2026-11-29")
	c.Flags().StringVar(&name, "domain", "", "only reports about `DOMAIN`")
	c.Flags().StringVar(&state, "state", "", "only reports in `STATE`: built, sealed, done, none, waiting, sent, failed or suppressed")
	c.Flags().StringVar(&kind, "kind", "", "only reports of `KIND`: aggregate or failure")
	c.Flags().IntVar(&limit, "limit", 1000, "show at most `N` reports")
	addStoreFlag(c, &address)
	return c
}

// parseDay reads a UTC day.
func parseDay(what, text string) (store.Day, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return 0, usage("%s %q is not a day", what, text).or("use a day such as 2026-11-29")
	}
	return store.DayOf(store.Millis(t)), nil
}

func (a reportCommands) reportShowCommand() *cobra.Command {
	address, asXML := "", false
	c := &cobra.Command{
		Use:   "show DAY DOMAIN",
		Short: "Show one report that is sent",
		Long: `Show shows what the report about DOMAIN and DAY says, in the form in which "report read"
shows the reports of others, and what became of it. --xml writes the XML as it is sent.

Exit codes: 0 shown, 66 no such report, 69 the database cannot be reached.`,
		Example: "  postseal report show 2026-11-29 acme.test\n  postseal report show 2026-11-29 acme.test --xml",
		Args:    exactly("DAY", "DOMAIN"),
		RunE: func(c *cobra.Command, args []string) error {
			day, name, err := dayAndDomain(args)
			if err != nil {
				return err
			}
			return a.withStore(c.Context(), address, func(ctx context.Context, db store.Store) error {
				return a.showOutgoing(ctx, db, day, name, asXML)
			})
		},
	}
	c.Flags().BoolVar(&asXML, "xml", false, "write the XML of the report")
	addStoreFlag(c, &address)
	return c
}

func dayAndDomain(args []string) (day store.Day, name string, err error) {
	if day, err = parseDay("DAY", args[0]); err != nil {
		return 0, "", err
	}
	parsed, err := domain.Parse(args[1])
	if err != nil {
		return 0, "", notDomain("DOMAIN", err)
	}
	return day, string(parsed), nil
}

func (a reportCommands) showOutgoing(ctx context.Context, db store.Store, day store.Day, name string, asXML bool) error {
	x, body, ok, err := outbox.Find(ctx, db, day, name)
	switch {
	case err != nil:
		return err
	case !ok:
		return failf(exitNoInput, "there is no report about %s on %s", name, day).or("postseal report list shows the reports there are")
	case asXML && len(body) == 0:
		return failf(exitNoInput, "the report about %s on %s is not kept any more", name, day)
	case asXML:
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return err
		}
		_, err = io.Copy(a.out, z)
		return err
	}
	if err := a.page().Outgoing(&x); err != nil || len(body) == 0 || a.wantJSON() {
		return err
	}
	return a.showReports(func(r *report.Reader) error {
		_, err := r.Read(ctx, x.File, bytes.NewReader(body))
		return err
	})
}

func (a reportCommands) reportSuppressCommand() *cobra.Command {
	address, why := "", ""
	c := &cobra.Command{
		Use:   "suppress [add TARGET|lift TARGET]",
		Short: "Show or change which targets get no reports",
		Long: `Suppress lists the addresses to which reports were refused or returned twice in a row: they
get none for 30 days, and twice as long each time after. "add" adds a target for good: an
address, a host or a policy domain. "lift" removes one.

Exit codes: 0 done, 66 no history or no such target, 69 the database cannot be reached.`,
		Example: "  postseal report suppress\n  postseal report suppress add dmarc@acme.test --why 'asked by phone'\n  postseal report suppress lift dmarc@acme.test",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) == 2 && (args[0] == "add" || args[0] == "lift") {
				return nil
			}
			return usage("report suppress: use no argument, add TARGET or lift TARGET")
		},
		RunE: func(c *cobra.Command, args []string) error {
			return a.openStore(c.Context(), address, len(args) == 0, func(ctx context.Context, db store.Store) error {
				if len(args) == 0 {
					list, err := db.Suppressions(ctx)
					if err != nil {
						return err
					}
					return a.page().Suppressions(list)
				}
				target := strings.ToLower(store.Clean(args[1]))
				if args[0] == "add" {
					return outbox.Block(ctx, db, target, why, outbox.Forever)
				}
				lifted, err := db.Lift(ctx, target)
				if err == nil && !lifted {
					return failf(exitNoInput, "%s is not suppressed", target)
				}
				return err
			})
		},
	}
	c.Flags().StringVar(&why, "why", "", "with add: the reason, which is shown later")
	addStoreFlag(c, &address)
	return c
}

func (a reportCommands) reportSendCommand() *cobra.Command {
	s := sendFlags{}
	c := &cobra.Command{
		Use:   "send [--dry-run --out DIR]",
		Short: "Send the reports that are due, or show what would be sent",
		Long: `Send does immediately what the daemon does every minute: it closes past days, builds their
reports, checks whether the domains still want them, and sends those that are due.

With --dry-run it sends and stores nothing: it builds the reports about yesterday, or about
--day, and writes their mails to the directory of --out, with those of the failure reports
that wait. It does not need [report] from.

--again DAY,DOMAIN sends a report again: the same octets, under the same name, so that the
receiver recognizes it as the same report.

Exit codes: 0 done, 65 a delivery failed permanently, 66 no history, 69 the database cannot
be reached, 75 a delivery will be tried again, 78 [report] from or dkim is missing.`,
		Example: `  postseal report send --dry-run --out /tmp/reports
  postseal report send
  postseal report send --again 2026-11-29,acme.test`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return a.reportSend(c.Context(), &s) },
	}
	c.Flags().BoolVar(&s.dry, "dry-run", false, "send nothing: write the mails to the directory of --out")
	c.Flags().StringVar(&s.out, "out", "", "with --dry-run: the `DIR` for the mails; it is made if it does not exist")
	c.Flags().StringVar(&s.day, "day", "", "with --dry-run: the UTC `DAY`, such as 2026-11-29 (default: yesterday)")
	c.Flags().StringVar(&s.again, "again", "", "send the report about `DAY,DOMAIN` once more")
	addStoreFlag(c, &s.store)
	return c
}

type sendFlags struct {
	dry                    bool
	out, day, again, store string
}

func (a reportCommands) reportSend(ctx context.Context, f *sendFlags) error {
	switch {
	case f.dry && f.out == "":
		return usage("report send --dry-run: missing --out DIR").or("name a directory for the mails")
	case !f.dry && (f.out != "" || f.day != ""):
		return usage("--out and --day belong to --dry-run")
	case f.dry && f.again != "":
		return usage("--again and --dry-run cannot be used together")
	}
	return a.openStore(ctx, f.store, f.dry, func(ctx context.Context, db store.Store) error {
		s, err := a.reportSender(db)
		if err != nil {
			return err
		}
		if f.dry {
			return a.previewReports(ctx, s, f)
		}
		if s.Signer == nil {
			return failf(exitConfig, "reports are not turned on: [report] from and dkim are missing").or("postseal report send --dry-run --out DIR shows what would be sent")
		}
		days := []store.Day{store.DayOf(store.Millis(s.Now())) - 1}
		if f.again != "" {
			day, err := a.sendAgain(ctx, s, f.again)
			if err != nil {
				return err
			}
			days = slices.Compact(append(days, day))
		}
		return a.sendNow(ctx, s, days)
	})
}

// reportSender is the sender of the configuration.
func (a reportCommands) reportSender(db store.Store) (*outbox.Sender, error) {
	if err := a.usualConfig(); err != nil {
		return nil, err
	}
	dns, err := a.resolver()
	if err != nil {
		return nil, err
	}
	now, err := a.clock()
	if err != nil {
		return nil, err
	}
	version, _ := buildVersion()
	s, err := outbox.FromConfig(a.config, outbox.Parts{DB: db, Resolver: dns, Now: now, Version: version})
	if err != nil {
		return nil, failf(exitConfig, "%v", err)
	}
	return s, nil
}

// sendAgain makes a report due again, and returns its day.
func (a reportCommands) sendAgain(ctx context.Context, s *outbox.Sender, text string) (store.Day, error) {
	day, name, ok := strings.Cut(text, ",")
	if !ok {
		return 0, usage("--again %q is not DAY,DOMAIN", text)
	}
	d, parsed, err := dayAndDomain([]string{day, name})
	if err != nil {
		return 0, err
	}
	n, err := outbox.Again(ctx, s.DB, d, parsed, s.Now())
	if err != nil {
		return 0, failf(exitNoInput, "%v", err)
	}
	if n == 0 {
		return 0, failf(exitNoInput, "the report about %s on %s has no destination that it was sent to", parsed, d)
	}
	return d, nil
}

// sendNow makes one sweep, and shows the reports of days.
func (a reportCommands) sendNow(ctx context.Context, s *outbox.Sender, days []store.Day) error {
	if err := errors.Join(s.Sweep(ctx), a.retryFailures(ctx, s)); err != nil {
		return err
	}
	p := a.page()
	show := func(x outbox.Item) error {
		for i := range x.Deliveries {
			switch d := &x.Deliveries[i]; {
			case d.State == store.DeliveryFailed || d.State == store.DeliveryExpired:
				a.setExit(exitData)
			case d.State == store.DeliveryDue && d.Attempts > 0:
				a.setExit(exitTempFail)
			}
		}
		return p.Outgoing(&x)
	}
	for _, day := range days {
		if err := outbox.List(ctx, s.DB, store.ReportFilter{Day: day}, show); err != nil {
			return err
		}
	}
	return nil
}

// retryFailures tries again the failure reports that are due, if any are sent.
func (a reportCommands) retryFailures(ctx context.Context, s *outbox.Sender) error {
	f, err := outbox.FailuresFromConfig(a.config, outbox.Parts{DB: s.DB, Resolver: s.Resolver, Now: s.Now})
	if err != nil {
		return failf(exitConfig, "%v", err)
	}
	if f == nil {
		return nil
	}
	return f.Retry(ctx)
}

// previewReports writes what would be sent.
func (a reportCommands) previewReports(ctx context.Context, s *outbox.Sender, f *sendFlags) error {
	day := store.DayOf(store.Millis(s.Now())) - 1
	if f.day != "" {
		var err error
		if day, err = parseDay("--day", f.day); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(f.out, 0o750); err != nil {
		return failf(exitCreate, "--out: %v", err)
	}
	p := a.page()
	reports, mails := 0, 0
	err := s.Preview(ctx, day, f.out, func(x *outbox.Previewed) error {
		item := outbox.ItemOf(&x.Outgoing, x.To)
		item.Files = x.Files
		reports, mails = reports+1, mails+len(x.Files)
		return p.Outgoing(&item)
	})
	failures := 0
	if err == nil {
		err = s.PreviewFailures(ctx, f.out, func(x outbox.Item) error {
			failures++
			return p.Outgoing(&x)
		})
	}
	var path *os.PathError
	if errors.As(err, &path) {
		return failf(exitCreate, "%v", err)
	}
	if err == nil && !p.JSON() {
		p.Notef("%s: %d domains with a policy that asks for reports, %d mails written; nothing was sent", day, reports, mails)
		if failures > 0 {
			p.Notef("%d failure reports wait; nothing was sent", failures)
		}
	}
	return err
}
