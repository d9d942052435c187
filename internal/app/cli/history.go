package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"postseal/internal/app/conf"
	"postseal/internal/app/history"
	"postseal/store"
	"postseal/store/engines"
)

// historyTimeout limits one page of a search on the command line.
const historyTimeout = 30 * time.Second

// searchFlags are the filters that commands of the history share: each is a term of the search
// language too.
type searchFlags struct {
	author, mfrom, ip, qid, ref, action, applied, since, until string
}

// historyCommands read what the daemon has decided: history, tail, domain.
type historyCommands struct{ *app }

func (s *searchFlags) add(f *pflag.FlagSet) {
	f.StringVar(&s.author, "author", "", "only mail whose author `DOMAIN` is this one; *.DOMAIN is any name below it")
	f.StringVar(&s.mfrom, "mfrom", "", "only mail whose reverse-path has this `DOMAIN`")
	f.StringVar(&s.ip, "ip", "", "only mail of the client `ADDRESS` or network")
	f.StringVar(&s.qid, "qid", "", "only the mail with this queue `ID`")
	f.StringVar(&s.ref, "ref", "", "only the mail with this `REFERENCE`")
	f.StringVar(&s.action, "action", "", "only mail whose policy asks for this `ACTION`: accept, quarantine, reject, defer")
	f.StringVar(&s.applied, "applied", "", "only mail to which this `ACTION` was applied")
	f.StringVar(&s.since, "since", "", "only mail since `TIME`: 30d, 12h, 2026-11-02")
	f.StringVar(&s.until, "until", "", "only mail before `TIME`, or up to the end of a day")
}

// text returns the search of the flags and arguments.
func (s *searchFlags) text(words []string) string {
	parts := []string{}
	for _, f := range []struct{ field, value string }{{"author", s.author}, {"mailfrom", s.mfrom}, {"ip", s.ip}, {"qid", s.qid}, {"ref", s.ref}, {"action", s.action},
		{"applied", s.applied}, {"since", s.since}, {"until", s.until}} {
		if f.value != "" {
			if strings.ContainsAny(f.value, " \t") {
				f.value = `"` + f.value + `"`
			}
			parts = append(parts, f.field+":"+f.value)
		}
	}
	return strings.Join(append(parts, words...), " ")
}

// parseSearch reads a search.
func (a *app) parseSearch(text string) (*store.Query, error) {
	clock, err := a.clock()
	if err != nil {
		return nil, err
	}
	key, err := a.messageIDKey()
	if err != nil && strings.Contains(text, "messageid:") {
		return nil, err
	}
	q, err := store.ParseQuery(text, clock(), key)
	var wrong *store.QueryError
	if errors.As(err, &wrong) {
		f := usage("search %q: %s", text, wrong.Error())
		if wrong.Hint != "" {
			return nil, f.or("%s", wrong.Hint)
		}
		return nil, f
	}
	return q, err
}

// parseEach reads a search whose verdicts are shown one by one.
func (a *app) parseEach(text string) (*store.Query, error) {
	q, err := a.parseSearch(text)
	if err == nil && q.Fold {
		return nil, usage("search %q: verdicts that are shown one by one cannot be folded", text).or("leave out fold:sender")
	}
	return q, err
}

// messageIDKey returns the key of the Message-IDs in the history, nil if there are none.
func (a *app) messageIDKey() (store.MessageIDKey, error) {
	if err := a.usualConfig(); err != nil {
		return nil, err
	}
	key, err := a.config.Store.MessageIDKey()
	if err != nil {
		return nil, failf(exitNoInput, "%v", err)
	}
	return key, nil
}

// historyCommands are those about past verdicts.
func (a historyCommands) commands() []*cobra.Command {
	return []*cobra.Command{a.historyCommand(), a.tailCommand(), a.domainCommand(), storeCommands(a).storeCommand(), evidenceCommands(a).whatIfCommand()}
}

func (a historyCommands) historyCommand() *cobra.Command {
	s, limit, follow, address := searchFlags{}, 0, false, ""
	c := &cobra.Command{
		Use:   "history [flags] [QUERY]...",
		Short: "Search the verdicts that the daemon keeps",
		Long: `History shows verdicts, the newest first. QUERY is terms field:value, all of which must
hold: author, mailfrom, ip, helo, applied, action, reason, spf, dkim, arc, dmarc, policy,
list, qid, ref, door, rule, messageid, domain, since, until. A comma separates
alternatives, "-" negates, "*.acme.test" is any name below acme.test. A bare word is an
address, a network, a domain, an action, a reference or a queue id, by its form. With
fold:sender, verdicts with the same author, sender, network, action and reason share a line.

Exit codes: 0 shown, 66 no history, 69 the database cannot be reached.`,
		Example: `  postseal history --author acme.test --since 2d --action reject
  postseal history ip:192.0.2.0/24 applied:reject,quarantine -dkim:pass
  postseal history --since 7d --limit 0 --format csv
  postseal history --since 7d applied:reject fold:sender
  postseal history --follow applied:reject`,
		RunE: func(c *cobra.Command, words []string) error {
			parse := a.parseSearch
			if follow {
				parse = a.parseEach
			}
			q, err := parse(s.text(words))
			if err != nil {
				return err
			}
			return a.withStore(c.Context(), address, func(ctx context.Context, db store.Store) error {
				if follow {
					return a.followHistory(ctx, db, q, limit)
				}
				return a.showHistory(ctx, db, q, limit, func(int64) {})
			})
		},
	}
	s.add(c.Flags())
	c.Flags().IntVar(&limit, "limit", history.DefaultLimit, "show at most `N` verdicts; 0 shows all")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "continue with new verdicts as they are made")
	addStoreFlag(c, &address)
	return c
}

func addStoreFlag(c *cobra.Command, address *string) {
	c.Flags().StringVar(address, "store", "", "`URL` of the database: sqlite:PATH or postgres://… (default: that of the configuration)")
}

// storeAddress returns the database of --store, or that of the configuration.
func (a *app) storeAddress(address string) (string, error) {
	if address != "" {
		if err := store.CheckURL(address); err != nil {
			return "", usage("--store: %v", err)
		}
		return address, nil
	}
	if err := a.usualConfig(); err != nil {
		return "", err
	}
	address, err := a.config.Store.Address()
	switch {
	case err != nil:
		return "", failf(exitConfig, "%v", err)
	case address == "":
		return "", failf(exitNoInput, "no history is stored: [store] url is none").or("name the database with --store, or the configuration with --config")
	}
	if path, ok := strings.CutPrefix(address, store.SQLitePrefix); ok && a.config.Store.IsDefault() && a.flags.config == "" && a.getenv("STATE_DIRECTORY") == "" {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return string(conf.StoreIn(conf.SystemState)), nil // of the daemon that the system runs
		}
	}
	return address, nil
}

// withStore opens the database for reading.
func (a *app) withStore(ctx context.Context, address string, f func(context.Context, store.Store) error) error {
	return a.openStore(ctx, address, true, f)
}

func (a *app) openStore(ctx context.Context, address string, readOnly bool, f func(context.Context, store.Store) error) error {
	address, err := a.storeAddress(address)
	if err != nil {
		return err
	}
	db, err := engines.Open(ctx, address, engines.Options{ReadOnly: readOnly})
	if err != nil {
		return storeFailure(address, err)
	}
	defer db.Close()
	if err := f(ctx, db); err != nil {
		return storeFailure(address, err)
	}
	return nil
}

// storeFailure explains why the database cannot be used.
func storeFailure(address string, err error) error {
	var f *failure
	path := strings.TrimPrefix(store.RedactURL(address), store.SQLitePrefix)
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return failf(exitNoInput, "%s: no such database", path).or("the daemon creates it when it starts; name another one with --store URL")
	case errors.Is(err, fs.ErrPermission):
		return failf(exitNoInput, "%s: no permission to read it", path).or("run it as root or as the user of the daemon")
	case errors.Is(err, store.ErrSchema):
		return failf(exitConfig, "%s: %v", path, err).or("use the postseal of the daemon")
	}
	return failf(exitUnavailable, "%s: %v", path, err)
}

// showHistory writes pages until limit or the end. It calls each with the ID of every verdict.
func (a historyCommands) showHistory(ctx context.Context, db store.Store, q *store.Query, limit int, each func(id int64)) error {
	if limit < 0 {
		return usage("--limit %d is less than 0", limit)
	}
	var out *history.CSV
	if a.flags.format == "csv" {
		var err error
		if out, err = history.NewCSV(a.out); err != nil {
			return err
		}
	}
	shown, after, page := 0, int64(0), a.page()
	for {
		size := history.MaxLimit
		if limit > 0 {
			size = min(size, limit-shown)
		}
		whole := a.flags.format == "json" && limit > 0 && limit <= history.MaxLimit
		p, err := history.Find(ctx, db, q, history.Options{After: after, Limit: size, Figures: whole && after == 0, Budget: historyTimeout})
		if err != nil {
			return err
		}
		for i := range p.Verdicts {
			id, err := history.ParseCursor(p.Verdicts[i].ID)
			if err != nil {
				return err
			}
			each(id)
		}
		if err := a.writePage(p, out); err != nil {
			return err
		}
		if shown += len(p.Verdicts); p.Next == "" || limit > 0 && shown >= limit {
			return a.endHistory(p, shown, limit)
		}
		if after, err = history.ParseCursor(p.Next); err != nil {
			return err
		}
		if err := page.W.(interface{ Flush() error }).Flush(); err != nil {
			return err
		}
	}
}

func (a historyCommands) writePage(p *history.Page, out *history.CSV) error {
	if out == nil {
		return a.page().Verdicts(p)
	}
	for i := range p.Verdicts {
		if err := out.Write(&p.Verdicts[i]); err != nil {
			return err
		}
	}
	return out.Flush()
}

// endHistory prints on stderr what the list itself does not show.
func (a historyCommands) endHistory(p *history.Page, shown, limit int) error {
	if p.Reached != nil {
		a.warn("the search took too long: verdicts before %s were not searched; narrow the search with --since or --author", p.Reached.Format(time.RFC3339))
	}
	for _, l := range p.Lost {
		n := fmt.Sprint(l.Count)
		if l.Count < 0 {
			n = "an unknown number of"
		}
		a.warn("%s: %s verdicts are missing (%s, %s)", l.Day, n, l.Reason, l.Node)
	}
	switch {
	case shown == 0 && !a.wantJSON():
		a.hint("no verdict matches")
	case p.Next != "" && limit > 0:
		a.hint("there are more: raise --limit, or narrow the search")
	}
	return nil
}

// followEvery is how often --follow looks for new verdicts; followBack limits how far back it
// looks for those of a slow node.
const (
	followEvery = time.Second
	followBack  = 10 * time.Minute
)

// follower shows new verdicts. Several nodes store theirs at different times, so it looks back as far as
// the slowest of them, and shows each verdict once.
type follower struct {
	historyCommands
	db    store.Store
	query *store.Query
	from  int64          // verdicts up to here are not searched again: later ones are newer
	seen  map[int64]bool // those after from that were shown, or were stored before the list
}

// followHistory lists verdicts, and then shows new ones until it is interrupted. What is stored while the
// list is made is shown once: it notes what is there before.
func (a historyCommands) followHistory(ctx context.Context, db store.Store, q *store.Query, limit int) error {
	from, err := storedUntil(ctx, db, time.Now())
	if err != nil {
		return err
	}
	f := &follower{a, db, q, from, map[int64]bool{}}
	if err := f.look(ctx, false); err != nil {
		return err
	}
	if err := a.showHistory(ctx, db, q, limit, func(id int64) { f.seen[id] = true }); err != nil {
		return err
	}
	t := time.NewTicker(followEvery)
	defer t.Stop()
	for {
		if err := a.flush(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if err := f.look(ctx, true); err != nil {
			return err
		}
	}
}

// look finds the verdicts that are not in seen, adds them, and shows them if show is set. It is not an
// error if ctx ends.
func (f *follower) look(ctx context.Context, show bool) error {
	next, err := storedUntil(ctx, f.db, time.Now())
	if err == nil {
		err = f.find(ctx, show)
	}
	if ctx.Err() != nil {
		return nil
	}
	f.from = next
	return err
}

func (f *follower) find(ctx context.Context, show bool) error {
	for id := range f.seen {
		if id <= f.from {
			delete(f.seen, id)
		}
	}
	for last := f.from; ; {
		rows, err := store.Newer(ctx, f.db, f.query, last, history.MaxLimit)
		if err != nil {
			return err
		}
		for i := range rows {
			last = rows[i].ID
			if f.seen[last] {
				continue
			}
			f.seen[last] = true
			if v := history.FromRow(&rows[i]); show {
				if err := f.page().Verdict(&v); err != nil {
					return err
				}
			}
		}
		if len(rows) < history.MaxLimit {
			return nil
		}
	}
}

// storedUntil returns the id before which every live node has stored its verdicts.
func storedUntil(ctx context.Context, db store.Store, now time.Time) (int64, error) {
	nodes, err := db.Nodes(ctx)
	if err != nil {
		return 0, err
	}
	least := store.Millis(now.Add(-followBack))
	until := store.Millis(now)
	for _, n := range nodes {
		if n.Seen >= least {
			until = min(until, n.Shipped)
		}
	}
	return max(store.FirstID(max(until, least)), 1), nil
}

// refOf returns the reference of the newest message with a Message-ID.
func (a historyCommands) refOf(ctx context.Context, id string) (ref string, err error) {
	q, err := a.parseSearch(`messageid:"` + strings.ReplaceAll(id, `"`, "") + `"`)
	if err != nil {
		return "", err
	}
	err = a.withStore(ctx, "", func(ctx context.Context, db store.Store) error {
		p, err := history.Find(ctx, db, q, history.Options{Limit: 2, Budget: historyTimeout})
		switch {
		case err != nil:
			return err
		case len(p.Verdicts) == 0:
			return failf(exitNoInput, "no message with the Message-ID %s is in the history", store.Clean(id))
		case len(p.Verdicts) > 1:
			a.hint("several messages have this Message-ID: this is the newest; history 'messageid:%s' shows all", store.Clean(id))
		}
		ref = p.Verdicts[0].Ref
		return nil
	})
	return ref, err
}

// explainFromHistory shows what the history contains about a verdict whose evidence is not
// stored. cause says why there is no evidence; it is returned if the history does not contain
// the verdict either.
func (a historyCommands) explainFromHistory(ctx context.Context, id string, cause error) error {
	var missing *failure
	if !errors.As(cause, &missing) || missing.code != exitNoInput || strings.ContainsAny(id, "./") {
		return cause
	}
	q := &store.Query{Text: id, Terms: []store.Term{{Field: store.FieldName, Values: []string{id}}}}
	found := false
	err := a.withStore(ctx, "", func(ctx context.Context, db store.Store) error {
		p, err := history.Find(ctx, db, q, history.Options{Limit: history.DefaultLimit, Budget: historyTimeout})
		if err != nil || len(p.Verdicts) == 0 {
			return err
		}
		found = true
		page := a.page()
		page.Verbose = true
		return page.Verdicts(p)
	})
	if err != nil || !found {
		return cause
	}
	a.hint("no evidence of this verdict is kept, so its steps cannot be shown: %s", missing.msg)
	if missing.hint != "" {
		a.hint("%s", missing.hint)
	}
	return nil
}
