package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"postseal/internal/app/inbox"
	"postseal/internal/app/mailbox"
	"postseal/internal/app/view"
	"postseal/report"
	"postseal/store"
)

// reportCommands are the commands below report.
type reportCommands struct{ *app }

func (a reportCommands) reportCommand() *cobra.Command {
	return a.group("report", "Send DMARC reports, and read those of others", a.reportReadCommand(), a.reportListCommand(), a.reportShowCommand(), a.reportSendCommand(), a.reportSuppressCommand(), a.reportSummaryCommand(), a.reportDigestCommand())
}

func (a reportCommands) reportReadCommand() *cobra.Command {
	address, noStore, box := "", false, imapFlags{}
	c := &cobra.Command{
		Use:   "read PATH...|-",
		Short: "Show what the reports of other mail servers say",
		Long: `Read shows DMARC aggregate reports (RFC 9990 and RFC 7489), DMARC failure reports (RFC 9991)
and TLS reports (RFC 8460). A PATH is a report, a gzip, bzip2, zlib, zip or tar file, base64
or uuencode, a mail, an mbox file, a Maildir or a directory of any of these. The content
decides how a file is read; names and media types are not trusted.

Damaged reports are read as far as they can be; warnings say what was wrong and in which
line. A report that cannot be trusted is rejected and does not stop the others.

Reports are stored in the history for "report summary", each once: a report that was read
before is marked as known and not counted again. Without a history they are only shown;
--store names one. A report in a mail that failed DMARC at your server is stored separately
and not counted.

imaps://USER@HOST/FOLDER reads an IMAP folder, with the password in --password-file. Mail
stays where it is, and unread, unless --move-to names a folder: then each mail is moved once
all its reports are kept.

Exit codes: 0 done, 65 a report was refused, 66 no such input, 69 the database cannot be
reached.`,
		Example: `  postseal report read 'google.com!example.com!1538438400!1538524799.zip'
  postseal report read --format jsonl ~/Maildir > reports.jsonl
  postseal report read imaps://dmarc@mail.acme.test/INBOX --password-file pw --move-to Read`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("report read: missing PATH").or("name a report, a mail, an mbox file or a directory, or use - for standard input")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return a.reportRead(c.Context(), args, address, noStore, box)
		},
	}
	c.Flags().BoolVar(&noStore, "no-store", false, "only show the reports")
	c.Flags().StringVar(&box.passwordFile, "password-file", "", "the `FILE` with the password of an IMAP user")
	c.Flags().StringVar(&box.moveTo, "move-to", "", "move mail to this IMAP `FOLDER` once its reports are kept")
	addStoreFlag(c, &address)
	return c
}

// reportRead reads every report in the paths, and keeps them if there is a history.
func (a reportCommands) reportRead(ctx context.Context, paths []string, address string, noStore bool, box imapFlags) error {
	if box.moveTo != "" && noStore {
		return usage("--move-to cannot be used with --no-store").or("mail is moved once its report is kept")
	}
	var keep *inbox.Keeper
	if !noStore {
		db, err := a.openInbox(ctx, address)
		if err != nil {
			return err
		}
		if db != nil {
			defer db.Close()
			clock, err := a.clock()
			if err != nil {
				return err
			}
			keep = inbox.New(ctx, db, clock)
		}
	}
	in := &reportInput{a: a.app, keep: keep, imap: box}
	return a.showReports(func(r *report.Reader) error {
		in.r = in.keeping(r)
		for _, path := range paths {
			if err := in.readAll(ctx, path); err != nil {
				return err
			}
		}
		return nil
	})
}

// reportInput reads reports from files.
type reportInput struct {
	a    *app
	r    *report.Reader
	keep *inbox.Keeper // nil keeps nothing
	imap imapFlags
	last report.Result // of the last input
}

// keeping returns a Reader that also keeps what it finds.
func (in *reportInput) keeping(r *report.Reader) *report.Reader {
	if in.keep == nil {
		return r
	}
	k := in.keep
	return &report.Reader{Limits: r.Limits,
		Record:  func(x report.Record) error { return cmp.Or(keepFailure(k.Record(x)), r.Record(x)) },
		Refused: func(e *report.Refusal) error { return cmp.Or(keepFailure(k.Refused(e)), r.Refused(e)) },
		Report: func(x *report.Report) error {
			o, err := k.End(x)
			if err := cmp.Or(keepFailure(err), r.Report(x)); err != nil {
				return err
			}
			switch {
			case o.State == store.InboundKnown:
				in.a.hint("%s: seen already: it is not counted again", x.Source)
			case o.State == store.InboundDiffers:
				in.a.hint("%s: a report with this name and other records was read before: this one is not kept", x.Source)
			case !o.Proven:
				in.a.hint("%s: stored separately and not counted: %s", x.Source, o.Why)
			}
			return nil
		}}
}

// showReports shows the reports that read finds.
func (a reportCommands) showReports(read func(*report.Reader) error) error {
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

// keepFailure is the failure of a report that could not be kept.
func keepFailure(err error) error {
	if err == nil {
		return nil
	}
	return failf(exitUnavailable, "the report cannot be kept: %v", err).or("--no-store only shows it")
}

// readAll reads the reports at path, where "-" is standard input.
func (in *reportInput) readAll(ctx context.Context, path string) error {
	switch {
	case path == "-":
		return in.read(ctx, "<stdin>", in.a.stdin)
	case strings.HasPrefix(path, "imaps://"), strings.HasPrefix(path, "imap://"):
		return in.readFolder(ctx, path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return openFailure(path, err)
	}
	if !info.IsDir() {
		return in.readFile(ctx, path)
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
		return in.readFile(ctx, file)
	})
}

// readFile reads one file. Any message of an mbox file may contain a report.
func (in *reportInput) readFile(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return openFailure(path, err)
	}
	defer f.Close()
	head := make([]byte, len(mboxLine))
	if n, _ := io.ReadFull(f, head); !bytes.Equal(head[:n], mboxLine) {
		return in.read(ctx, path, io.MultiReader(bytes.NewReader(head[:n]), f))
	}
	archive := &mailbox.Archive{Paths: []string{path}}
	for m := range archive.Messages() {
		m.Load(ctx)
		if m.Err != nil {
			in.a.setExit(exitData)
			in.a.fail(failf(exitData, "%s: %v", m.Name, m.Err))
			continue
		}
		err := in.read(ctx, m.Name, bytes.NewReader(m.Raw))
		m.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// read reads one input and notes files that contain no report.
func (in *reportInput) read(ctx context.Context, name string, from io.Reader) error {
	if in.keep != nil {
		head := bufio.NewReaderSize(from, inbox.MaxHead)
		octets, _ := head.Peek(inbox.MaxHead) // an error comes again
		in.keep.Carrier = inbox.CarrierOf(octets, in.a.config.AuthservID)
		from = head
	}
	result, err := in.r.Read(ctx, name, from)
	in.last = result
	switch {
	case errors.Is(err, context.Canceled):
		return failf(exitTempFail, "interrupted")
	case err != nil:
		if f := new(failure); errors.As(err, &f) {
			return f
		}
		return openFailure(name, err)
	case result.Reports+result.Refused == 0:
		in.a.hint("%s: a mail without a report: ignored", name)
	}
	return nil
}
