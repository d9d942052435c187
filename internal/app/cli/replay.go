package cli

import (
	"context"
	"errors"
	"iter"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"postseal"
	"postseal/dmarc"
	"postseal/internal/app/batch"
	"postseal/internal/app/conf"
	"postseal/internal/app/mailbox"
	"postseal/internal/app/replay"
	"postseal/internal/app/rules"
	"postseal/internal/app/term"
	"postseal/internal/app/view"
	"postseal/resolver"
	"postseal/store"
)

// replayFlags are the flags of replay.
type replayFlags struct {
	receivedBy string
	policies   []string
	discovery  string
	since      string
	workers    int
	resume     bool
	into       string
	compact    bool
	fleet      bool
	store      string
	wait       time.Duration

	giveUp  context.CancelCauseFunc
	waiting *waiting // for workers, nil without
}

// replayCommand is replay, with one process or a fleet.
type replayCommand struct{ *app }

func (a replayCommand) command() *cobra.Command {
	f := &replayFlags{}
	c := &cobra.Command{
		Use:   "replay PATH...",
		Short: "Show what policies would have done to archived mail",
		Long: `Replay verifies the messages of mbox files, Maildirs and directories of .eml files again.
It shows what each policy would have done to them, and how that differs from what was
done. The message's own X-Postseal-Verdict or Authentication-Results field says what was
done; without one, it was delivered. Replay only reads the archive.

--received-by names your mail server: its Received field gives the envelope and the time
of receipt, which is the clock of the verdict. Without it, SPF is skipped. Mail from your
own users and networks is not checked, as in the daemon.

Keys and policies are looked up today, not as they were when the mail arrived. Messages
whose original result is therefore unknown are counted separately, as undecided.

--into also writes a row for each message to a history, with the decision of the first
policy and the time of receipt, so that postseal history and the pages show it. Messages
that are there already are not written again. The daemon removes days that are older than
[store] history from its own database, so name another one for an old archive.

--output writes one verify object per message, with the decisions of all policies; with
--compact only these and what the summary counts, a sixth of the size. With --resume,
messages in that file are not verified again. The output of an interrupted run is not
overwritten without --overwrite. As long as the DNS cache is empty, many workers (-j 64)
compensate for the time that answers take.

With --fleet, postseal worker processes verify the messages, 100 at a time, with the
configuration and flags of this command. With the PostgreSQL of --store or [store] they
run on any hosts that see PATH under the same name; with SQLite on this host, and this
process helps. Results are those of one process, in their order. If the command is
interrupted, the workers continue, and the same command with --resume shows the results of
the messages that the first one found, on any host, for a week after they were last read.

PATH may be a pipe: memory does not grow with the archive.

Exit codes: 0 done, 66 no such input, or no message in it, 73 the output of an interrupted
run exists, 75 interrupted, or no worker did the work of --fleet (--wait).`,
		Example: `  postseal replay ~/Maildir --received-by mx.example.net --since 30d
  postseal replay --policy guarded,strict --output replay.jsonl archive.mbox
  postseal replay --output replay.jsonl --resume archive.mbox
  postseal replay --into sqlite:year.db --received-by mx.example.net ~/Maildir
  postseal replay --fleet --output replay.jsonl /srv/archive
  zcat archive.mbox.gz | postseal replay /dev/stdin`,
		Annotations: map[string]string{ownOutput: "yes"},
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("replay: missing PATH").or("name an mbox file, a Maildir or a directory of .eml files")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return a.replay(c.Context(), f, args) },
	}
	a.addReplayFlags(c.Flags(), f)
	return a.profiled(c)
}

func (a replayCommand) addReplayFlags(flags *pflag.FlagSet, f *replayFlags) {
	flags.SortFlags = false
	flags.StringVar(&f.receivedBy, "received-by", "", "take envelope and time from the Received field added by `HOST`")
	flags.StringSliceVar(&f.policies, "policy", []string{string(postseal.Guarded), string(postseal.Strict)}, "`MODES` to test: observe, quarantine, guarded, strict")
	flags.StringVar(&f.discovery, "discovery", "", "`WAY` to find the organization: treewalk (RFC 9989), psl (RFC 7489) (default treewalk)")
	flags.StringVar(&f.since, "since", "", "skip messages received before `TIME`: 30d, 12h, 2026-11-02")
	flags.IntVarP(&f.workers, "jobs", "j", runtime.GOMAXPROCS(0), "verify `N` messages concurrently")
	flags.StringVar(&f.into, "into", "", "write a row for each message to the history at `URL`: sqlite:PATH or postgres://…")
	flags.BoolVar(&f.compact, "compact", false, "write only decisions and facts to --output, no verify objects")
	flags.BoolVar(&a.flags.overwrite, "overwrite", false, "overwrite the --output of an interrupted run")
	flags.BoolVar(&f.resume, "resume", false, "continue where the file of --output ends, or with --fleet the work of the same command")
	flags.BoolVar(&f.fleet, "fleet", false, "let postseal worker processes verify the messages, through the database of --store or [store]")
	addWaitFlag(flags, &f.wait)
	flags.StringVar(&f.store, "store", "", "with --fleet, the database `URL`: postgres://… for all hosts, sqlite:PATH for this one")
}

// parseSince reads a time before now, or a date; "" is the zero time.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	at, _, err := store.ParseTime(s, now)
	if err != nil {
		return time.Time{}, usage("--since %q is not a valid time", s).or("use a value such as 30d, 2w, 12h or 2026-11-02")
	}
	return at, nil
}

// config returns the configuration of file, overridden by the flags. Its mode is the first one
// of --policy.
func (f *replayFlags) config(file *conf.Config) (*conf.Config, error) {
	c := *file
	if len(f.policies) == 0 {
		return nil, usage("--policy names no mode").or("use a value such as guarded,strict")
	}
	for i, p := range f.policies {
		if err := oneOf("--policy", p, enforceModes...); err != nil {
			return nil, err
		}
		if slices.Contains(f.policies[:i], p) {
			return nil, usage("--policy names %s twice", p)
		}
	}
	if f.discovery != "" {
		c.DMARC.Discovery = dmarc.Discovery(f.discovery)
	}
	if err := oneOf("--discovery", string(c.DMARC.Discovery), string(dmarc.TreeWalk), string(dmarc.PSL)); err != nil {
		return nil, err
	}
	if f.workers < 1 || f.workers > 1000 {
		return nil, usage("--jobs %d is not between 1 and 1000", f.workers)
	}
	c.Enforce = postseal.Enforce(f.policies[0])
	if c.AuthservID == "" {
		c.AuthservID = f.receivedBy
	}
	return &c, nil
}

// replayOptions builds what the run needs.
func (a replayCommand) replayOptions(f *replayFlags, dns resolver.Resolver) (replay.Options, error) {
	c, err := f.config(a.config)
	if err != nil {
		return replay.Options{}, err
	}
	spec, err := a.replaySpec(f)
	if err != nil {
		return replay.Options{}, err
	}
	o, err := a.replayWith(c, spec, dns)
	o.Workers = f.workers
	return o, err
}

// replaySpec is what a replay does with each message, in addition to the configuration.
type replaySpec struct {
	Config     string     `json:"config,omitempty"` // for workers
	Roots      []string   `json:"roots,omitempty"`  // likewise
	Policies   []string   `json:"policies"`
	ReceivedBy string     `json:"received_by,omitempty"`
	Since      time.Time  `json:"since,omitzero"`
	Now        time.Time  `json:"now"`             // the time for messages whose time of receipt is unknown
	Clock      *time.Time `json:"clock,omitempty"` // --now
	Lines      bool       `json:"lines,omitempty"`
	Compact    bool       `json:"compact,omitempty"`
	Into       bool       `json:"into,omitempty"`
}

func (a replayCommand) replaySpec(f *replayFlags) (*replaySpec, error) {
	clock, err := a.clock()
	if err != nil {
		return nil, err
	}
	s := &replaySpec{Policies: f.policies, ReceivedBy: f.receivedBy, Now: clock(), Lines: a.wantsLines(), Compact: f.compact, Into: f.into != ""}
	if a.flags.now != "" {
		s.Clock = &s.Now
	}
	s.Since, err = parseSince(f.since, s.Now)
	return s, err
}

// replayWith returns the options of a replay with a configuration.
func (a replayCommand) replayWith(c *conf.Config, s *replaySpec, dns resolver.Resolver) (replay.Options, error) {
	engine, policy := c.Engine()
	engine.Resolver, engine.Now = dns, time.Now
	if s.Clock != nil {
		engine.Now = func() time.Time { return *s.Clock }
	}
	engine.NoHeaders = !s.Lines || s.Compact
	engine.OnPanic = func(p any) { a.fail(failf(exitInternal, "internal: %v", p)) }
	v, err := postseal.New(engine)
	if err != nil {
		return replay.Options{}, usage("%s", strings.TrimPrefix(err.Error(), "postseal: "))
	}
	o := replay.Options{Verifier: v, ReceivedBy: s.ReceivedBy, AuthservID: c.AuthservID, Since: s.Since, Now: s.Now, Clients: c.Clients()}
	if s.Lines {
		o.Encode = encoder(s.Compact)
	}
	for _, name := range s.Policies {
		base := policy.Base
		base.Mode = postseal.Enforce(name)
		o.Policies = append(o.Policies, replay.Policy{Name: name, Policy: &rules.Policy{Set: policy.Set, Base: base}})
	}
	return o, nil
}

func (a replayCommand) replay(ctx context.Context, f *replayFlags, paths []string) error {
	if f.compact && !a.wantsLines() {
		return usage("--compact needs --output FILE or --format jsonl")
	}
	if f.wait < 0 {
		return usage("--wait %v is less than 0", f.wait)
	}
	ctx, f.giveUp = context.WithCancelCause(ctx)
	defer f.giveUp(nil)
	dns, err := a.replayResolver()
	if err != nil {
		return err
	}
	options, err := a.replayOptions(f, dns)
	if err != nil {
		return err
	}
	archive, err := archiveOf(paths)
	if err != nil {
		return err
	}
	summary := replay.NewSummary(options.Policies)
	lines, done, err := a.openLines(f, summary)
	if err != nil {
		return err
	}
	defer lines.close(false)
	options.Done = done
	into, err := a.openInto(ctx, f)
	if err != nil {
		return err
	}
	defer into.close()
	results, end, err := a.replayResults(ctx, f, archive, &options, into)
	if err != nil {
		return err
	}
	defer end()
	took := a.replaySum(ctx, f.waiting, results, summary, lines, archive, dns)
	found := summary.Messages() > 0
	err = errors.Join(lines.close(ctx.Err() == nil && found), into.end(ctx))
	if err == nil && ctx.Err() == nil && !found {
		return noMessage(paths, summary)
	}
	page := a.page()
	if shown := page.Replay(&view.Replay{Summary: summary, Policies: f.policies, Took: took, Skipped: archive.Passed(), Output: a.flags.output}); err == nil {
		err = shown
	}
	if !page.JSON() && !page.Quiet {
		a.envelopeHint(f, summary)
		into.note(a.app)
	}
	if err == nil && ctx.Err() != nil {
		return waited(ctx, a.interrupted(f))
	}
	return err
}

// replaySum counts the results and writes their lines, with the progress.
func (a replayCommand) replaySum(ctx context.Context, w *waiting, results iter.Seq[replay.Result], summary *replay.Summary, lines *lineFile, archive *mailbox.Archive, dns resolver.Resolver) (took time.Duration) {
	start := time.Now()
	pace, progress := a.replayProgress(ctx, archive, dns)
	if w != nil {
		w.tell = func(text string) { progress.Print(func() { a.warn("%s", text) }) }
	}
	for r := range results {
		summary.Add(&r)
		if r.Line != nil {
			lines.add(r.Line)
		}
		pace.Add(r.Size)
	}
	took = time.Since(start)
	if ctx.Err() == nil {
		pace.End()
		progress.Complete()
	}
	progress.End()
	summary.Finish()
	return took
}

// replayResults are those of this process, or of workers. The caller calls end when it has them.
func (a replayCommand) replayResults(ctx context.Context, f *replayFlags, archive *mailbox.Archive, o *replay.Options, into *into) (results iter.Seq[replay.Result], end func(), err error) {
	if f.fleet {
		return a.replayFleet(ctx, f, archive, o, into)
	}
	if into != nil {
		o.Keep = into.add
	}
	return replay.Run(ctx, archive.Messages(), *o), func() {}, nil
}

// archiveOf is the archive of paths that exist.
func archiveOf(paths []string) (*mailbox.Archive, error) {
	for _, p := range paths {
		if _, err := os.Stat(p); err != nil {
			return nil, openFailure(p, err)
		}
	}
	return &mailbox.Archive{Paths: paths}, nil
}

// replayCache bounds the DNS cache of a replay in bytes: the whole is to stay within 60 MB.
const replayCache = 8 << 20

// replayResolver answers from a cache, zone files too: their records and keys are parsed once.
func (a replayCommand) replayResolver() (resolver.Resolver, error) {
	a.cacheBytes = replayCache
	dns, err := a.resolver()
	if err != nil {
		return nil, err
	}
	if _, ok := dns.(*resolver.Cache); !ok {
		dns = resolver.NewCache(dns, resolver.CacheOptions{MaxBytes: replayCache})
	}
	return dns, nil
}

// noMessage is the failure of a replay that found no message in any path.
func noMessage(paths []string, s *replay.Summary) *failure {
	f := failf(exitNoInput, "%s: contains no message", strings.Join(paths, " "))
	if len(s.Broken) > 0 {
		return f.or("%s", s.Broken[0])
	}
	return f.or("in a directory, replay reads Maildirs and files named *.eml, *.mbox or a number")
}

func (a replayCommand) interrupted(f *replayFlags) *failure {
	fail := failf(exitTempFail, "interrupted: the figures are incomplete")
	if f.fleet {
		return fail.or("the workers continue; the same command with --resume shows their results, on any host")
	}
	if a.flags.output == "" {
		return fail
	}
	return fail.or("--resume continues where %s ends", a.flags.output)
}

// envelopeHint says what is missing if no envelope was found.
func (a replayCommand) envelopeHint(f *replayFlags, s *replay.Summary) {
	switch elsewhere := s.Passed[replay.Elsewhere]; {
	case f.receivedBy == "":
		a.hint("SPF was skipped: name the mail server that received the mail with --received-by HOST")
	case s.Verified == 0 && elsewhere > 0:
		a.hint("no message has a Received field that %s added for a client from outside: check that this is the name it uses", f.receivedBy)
	}
}

// replayProgress starts to show the progress of a replay. Meanwhile it determines the size of
// the archive.
func (a replayCommand) replayProgress(ctx context.Context, archive *mailbox.Archive, dns resolver.Resolver) (*view.Pace, *batch.Progress) {
	onTerminal := term.IsTerminal(a.stderr)
	pace := &view.Pace{Style: a.errors, Bar: onTerminal}
	pace.Cache, _ = dns.(*resolver.Cache)
	if a.flags.noProgress || a.flags.quiet || a.flags.logFormat == "json" {
		return pace, nil
	}
	sizes := &mailbox.Archive{Paths: archive.Paths}
	go func() { pace.SetExtent(sizes.Extent(ctx)) }()
	return pace, batch.NewProgress(a.stderr, onTerminal, pace.Line)
}
