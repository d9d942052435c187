package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"postseal/internal/app/mailbox"
	"postseal/internal/app/view"
	"postseal/report"
)

func (a *app) reportCommand() *cobra.Command {
	return a.group("report", "Send DMARC reports, and read those of others", a.reportReadCommand(), a.reportListCommand(), a.reportShowCommand(), a.reportSendCommand(), a.reportSuppressCommand())
}

func (a *app) reportReadCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "read PATH...|-",
		Short: "Show what the reports of other mail servers say",
		Long: `Read shows DMARC aggregate reports (RFC 9990 and RFC 7489), DMARC failure reports
(RFC 9991) and TLS reports (RFC 8460). A PATH is a report, a gzip, zlib or zip file, a
mail, an mbox file, a Maildir or a directory of any of these. What a file is, its content
says: names and media types are not trusted.

Damaged reports are read as far as they can be; warnings say what was wrong and in which
line. A report that cannot be trusted is refused and does not stop the others.

Exit codes: 0 done, 65 a report was refused, 66 no such input.`,
		Example: `  postseal report read 'google.com!example.com!1538438400!1538524799.zip'
  postseal report read --format jsonl ~/Maildir > reports.jsonl`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("report read: missing PATH").or("name a report, a mail, an mbox file or a directory, or use - for standard input")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return a.reportRead(c.Context(), args) },
	}
	c.Flags().Bool("no-store", false, "only show the reports (this version does not store any)")
	return c
}

// reportRead reads every report in the paths.
func (a *app) reportRead(ctx context.Context, paths []string) error {
	return a.showReports(func(r *report.Reader) error {
		for _, path := range paths {
			if err := a.readReports(ctx, r, path); err != nil {
				return err
			}
		}
		return nil
	})
}

// showReports shows the reports that read finds.
func (a *app) showReports(read func(*report.Reader) error) error {
	v, err := view.NewReports(a.page())
	if err != nil {
		return failf(exitCreate, "cannot create a temporary file: %v", err)
	}
	defer v.Close()
	r := &report.Reader{Record: v.Record, Report: v.Report, Refused: func(e *report.Refusal) error {
		a.setExit(exitData)
		if err := v.Refused(e); err != nil {
			return err
		}
		a.fail(failf(exitData, "%v", e))
		return nil
	}}
	if err := read(r); err != nil {
		return err
	}
	return v.End()
}

// readReports reads the reports at path, where "-" is standard input.
func (a *app) readReports(ctx context.Context, r *report.Reader, path string) error {
	if path == "-" {
		return a.readReport(ctx, r, "<stdin>", a.stdin)
	}
	info, err := os.Stat(path)
	if err != nil {
		return openFailure(path, err)
	}
	if !info.IsDir() {
		return a.readReportFile(ctx, r, path)
	}
	return filepath.WalkDir(path, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return openFailure(file, err)
		case d.IsDir() && d.Name() == "tmp": // in a Maildir: not delivered yet
			return fs.SkipDir
		case !d.Type().IsRegular() || strings.HasPrefix(d.Name(), "."):
			return nil
		}
		return a.readReportFile(ctx, r, file)
	})
}

// readReportFile reads one file. Any message of an mbox file may contain a report.
func (a *app) readReportFile(ctx context.Context, r *report.Reader, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return openFailure(path, err)
	}
	defer f.Close()
	head := make([]byte, len(mboxLine))
	if n, _ := io.ReadFull(f, head); !bytes.Equal(head[:n], mboxLine) {
		return a.readReport(ctx, r, path, io.MultiReader(bytes.NewReader(head[:n]), f))
	}
	archive := &mailbox.Archive{Paths: []string{path}}
	for m := range archive.Messages() {
		m.Load(ctx)
		if m.Err != nil {
			a.setExit(exitData)
			a.fail(failf(exitData, "%s: %v", m.Name, m.Err))
			continue
		}
		err := a.readReport(ctx, r, m.Name, bytes.NewReader(m.Raw))
		m.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// readReport reads one input and notes files that contain no report.
func (a *app) readReport(ctx context.Context, r *report.Reader, name string, in io.Reader) error {
	result, err := r.Read(ctx, name, in)
	switch {
	case errors.Is(err, context.Canceled):
		return failf(exitTempFail, "interrupted")
	case err != nil:
		return openFailure(name, err)
	case result.Reports+result.Refused == 0:
		a.hint("%s: a mail without a report: ignored", name)
	}
	return nil
}
