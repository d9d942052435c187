package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"postseal/audit"
	"postseal/domain"
	"postseal/internal/app/auditview"
	"postseal/internal/app/batch"
	"postseal/internal/app/selectors"
	"postseal/internal/app/term"
	"postseal/internal/app/view"
)

// auditRun audits many domains, several at a time, and passes their reports to the sink in the
// order of the list.
type auditRun struct {
	*app
	auditor    *audit.Auditor
	base       audit.Options
	selectors  *selectors.List
	domains    iter.Seq[batch.Domain]
	total      int // 0 if unknown
	jobs       int
	ahead      int // domains that may be done before one whose turn it is; 0: twice the jobs
	sink       auditview.Writer
	showTotals bool
	skip       int          // of the list, that the file of --output has already
	remote     *remoteAudit // nil audits here
}

// audited is the outcome for one entry of the list. If there is no error, report is not nil.
type audited struct {
	batch.Domain
	report *audit.Report
}

func (a *auditRun) run(ctx context.Context) error {
	if a.showTotals {
		defer spareCollector()()
	}
	finish, err := a.markOutput()
	if err != nil {
		return err
	}
	start := time.Now()
	onTerminal := term.IsTerminal(a.stderr)
	tally := view.NewTally(a.total, a.errors, onTerminal)
	var progress *batch.Progress
	if a.showTotals && !a.flags.noProgress && !a.flags.quiet {
		progress = batch.NewProgress(a.stderr, onTerminal, tally.Line)
		defer progress.End()
	}
	if a.remote != nil {
		a.remote.tell = func(text string) { progress.Print(func() { a.warn("%s", text) }) }
	}
	keys := audit.Keys{}
	for r := range a.outcomes(ctx) {
		if r.Err != nil {
			progress.Print(func() { a.fail(failf(exitData, "%s:%d: %v", r.File, r.Line, r.Err)) })
			tally.Skip()
			continue
		}
		keys.Check(r.report)
		tally.Add(r.report)
		if err := a.sink.Report(r.report, auditview.Source{File: r.File, Line: r.Line}); err != nil {
			return failf(exitCreate, "the output cannot be written: %v", err)
		}
	}
	if err := a.sink.Close(); err != nil {
		return failf(exitCreate, "the output cannot be written: %v", err)
	}
	if ctx.Err() == nil {
		progress.Complete()
		if err := finish(); err != nil {
			return cannotCreate(batch.Mark(a.flags.output), err)
		}
	}
	progress.End()
	if a.showTotals && !a.flags.quiet {
		fmt.Fprint(a.stderr, tally.Summary(time.Since(start)))
	}
	if ctx.Err() != nil && a.remote != nil {
		return failf(exitTempFail, "interrupted after %s; the workers continue", view.Plural(tally.Done(), "domain", "domains")).or("the same command with --resume shows their results, on any host")
	}
	if ctx.Err() != nil {
		return failf(exitTempFail, "interrupted after %s", view.Plural(tally.Done(), "domain", "domains")).or("with --format jsonl and --output, --resume continues from here")
	}
	return nil
}

// outcomes are those of the domains in the order of the list.
func (a *auditRun) outcomes(ctx context.Context) iter.Seq[audited] {
	if a.remote != nil {
		return a.remote.outcomes(ctx, a.domains)
	}
	o := batch.Options[batch.Domain]{Workers: a.jobs, Ahead: a.ahead}
	return batch.Run(ctx, a.domains, o, func() func(context.Context, *batch.Domain, *audited) { return a.auditOne })
}

// markOutput marks the file of --output as not complete, if a list is written to it.
func (a *auditRun) markOutput() (finish func() error, err error) {
	if !a.showTotals || a.file == nil {
		return func() error { return nil }, nil
	}
	if finish, err = batch.Begin(a.flags.output); err != nil {
		return nil, cannotCreate(batch.Mark(a.flags.output), err)
	}
	if err := a.file.begin(); err != nil { // older results would count as those of this run
		return nil, cannotCreate(a.flags.output, err)
	}
	return finish, nil
}

// spareCollector makes garbage collection less frequent while a bulk run is small, and returns
// a function that undoes it. Most memory of an audit lives as long as the audit, so a
// collection frees little.
func spareCollector() (undo func()) {
	const percent, soft = 400, 108 << 20
	before := debug.SetGCPercent(percent)
	limit := debug.SetMemoryLimit(soft)
	return func() {
		debug.SetGCPercent(before)
		debug.SetMemoryLimit(limit)
	}
}

// auditOne audits one entry of the list. A panic only affects this domain.
func (a *auditRun) auditOne(ctx context.Context, d *batch.Domain, r *audited) {
	r.Domain = *d
	if r.Err != nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			r.Err = fmt.Errorf("internal error: %v; please report this bug", p)
		}
	}()
	o := a.base
	o.Selectors = append(slices.Clip(o.Selectors), a.selectors.Of(d.Name)...)
	r.report = a.auditor.Audit(ctx, d.Name, o)
}

// auditDomains returns the domains to audit, either those named or those of the list, their number, or
// 0 if unknown, and how many of the list the file of --output has already.
func (a auditCommand) auditDomains(f *auditFlags, names []string) (list iter.Seq[batch.Domain], n, skip int, err error) {
	if f.file == "" {
		list, n, err = namedDomains(names)
		return list, n, 0, err
	}
	skip, last, err := a.resumed()
	if err != nil {
		return nil, 0, 0, err
	}
	r, name, total := a.stdin, "<stdin>", 0
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return nil, 0, 0, openFailure(f.file, err)
		}
		total = batch.CountDomains(file)
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return nil, 0, 0, failf(exitNoInput, "%s: cannot be read twice: %v", f.file, err).or("give it as standard input, with -f -")
		}
		r, name = file, f.file
	}
	if skip > 0 && !a.flags.quiet {
		fmt.Fprintf(a.stderr, "continuing after %s\n", view.Plural(skip, "domain", "domains"))
	}
	return batch.Skip(batch.Domains(r, name), skip, last, a.flags.output), max(total-skip, 0), skip, nil
}

func namedDomains(names []string) (iter.Seq[batch.Domain], int, error) {
	var list []batch.Domain
	for _, n := range names {
		d, err := domain.Parse(n)
		if err != nil {
			return nil, 0, notDomain("DOMAIN", err)
		}
		list = append(list, batch.Domain{Name: d})
	}
	return slices.Values(list), len(list), nil
}

// resumed counts the reports in the file of --output, and returns the domain of the last.
func (a auditCommand) resumed() (n int, last string, err error) {
	if !a.flags.resume || a.file == nil {
		return 0, "", nil
	}
	err = batch.Resume(a.file.File, func(line int, text []byte) error {
		var head struct {
			Schema string `json:"schema"`
			Domain string `json:"domain"`
		}
		if json.Unmarshal(text, &head) != nil || head.Schema != audit.Schema {
			return failf(exitData, "%s:%d: not a line written by audit", a.flags.output, line).or("without --resume, the file is overwritten")
		}
		n, last = line, head.Domain
		return nil
	})
	var f *failure
	if err != nil && !errors.As(err, &f) {
		err = failf(exitCreate, "%s: cannot continue it: %v", a.flags.output, err)
	}
	return n, last, err
}

// readSelectors reads --selector-file, --mail and --reports.
func (a auditCommand) readSelectors(ctx context.Context, f *auditFlags) (*selectors.List, error) {
	l := &selectors.List{}
	if f.selectorFile != "" {
		if err := l.ReadFile(f.selectorFile); err != nil {
			return nil, selectorFailure(f.selectorFile, err)
		}
	}
	for _, path := range f.mail {
		if err := l.ReadMail(path); err != nil {
			return nil, selectorFailure(path, err)
		}
	}
	for _, path := range f.reports {
		n, err := l.ReadReports(ctx, path)
		if err != nil {
			return nil, selectorFailure(path, err)
		}
		if n == 0 {
			return nil, failf(exitData, "%s: no DMARC aggregate report found", path).or("--reports takes the XML files, archives or mails that receivers send")
		}
	}
	return l, nil
}

func selectorFailure(path string, err error) error {
	var syntax *selectors.SyntaxError
	if errors.As(err, &syntax) {
		return failf(exitData, "%v", err)
	}
	return openFailure(path, err)
}
