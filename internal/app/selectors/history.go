package selectors

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"postseal/audit"
	"postseal/domain"
	"postseal/report"
	"postseal/store"
)

// History is the record of signatures in a store of verdicts; store.Reader implements it.
type History interface {
	// Selectors returns the selectors of a domain and the names below it, newest first.
	Selectors(ctx context.Context, domain string, limit int) ([]store.Selector, error)
}

// maxHistory limits the selectors of one domain.
const maxHistory = 40

// ReadHistory adds the selectors with which mail of d verified, according to h. A signature
// that never verified proves nothing, because anyone can name any selector.
func (l *List) ReadHistory(ctx context.Context, h History, d domain.Name) error {
	list, err := h.Selectors(ctx, string(d), maxHistory)
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.Verified && s.Domain == string(d) {
			l.add(s.Domain, s.Selector, audit.FromHistory, time.UnixMilli(s.Last))
		}
	}
	return nil
}

// ReadReports learns from the aggregate reports in a file, or in all files below a directory:
// it adds the selectors of signatures that a receiver verified, with the last day of the
// report. It returns the number of reports. A file that is not a report is skipped.
func (l *List) ReadReports(ctx context.Context, path string) (int, error) {
	if _, err := os.Stat(path); err != nil {
		return 0, err
	}
	n := 0
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		file, err := os.Open(p)
		if err != nil {
			return err
		}
		defer file.Close()
		found, err := l.readReport(ctx, p, file)
		n += found
		return err
	})
	return n, err
}

func (l *List) readReport(ctx context.Context, name string, file *os.File) (int, error) {
	var pending []report.DKIMAuth
	r := report.Reader{
		Record: func(rec report.Record) error {
			for _, a := range rec.AuthDKIM {
				if a.Result == "pass" && a.Selector != "" && len(pending) < maxLearnt {
					pending = append(pending, a)
				}
			}
			return nil
		},
		Report: func(rep *report.Report) error {
			for _, a := range pending {
				l.add(a.Domain, a.Selector, audit.FromReport, rep.End)
			}
			pending = nil
			return nil
		},
		Refused: func(*report.Refusal) error { pending = nil; return nil },
	}
	result, err := r.Read(ctx, name, file)
	return result.Reports, err
}
