package outbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postseal/report"
	"postseal/store"
)

// Previewed is a report that would be sent.
type Previewed struct {
	store.Outgoing
	To    []store.Delivery
	Files []string // of the mails
}

// Preview makes the reports of a day as they would be sent now, writes their mails to dir, and
// gives each report to f. It changes nothing in the database and sends nothing. Without a key
// the mails are not signed.
func (s *Sender) Preview(ctx context.Context, day store.Day, dir string, f func(*Previewed) error) error {
	return s.Each(ctx, day, func(r *store.Outgoing) error {
		p := &Previewed{Outgoing: *r}
		if r.State == store.ReportNone {
			return f(p)
		}
		var err error
		if p.To, p.Why, _, err = s.Destinations(ctx, r); err != nil {
			return err
		}
		for i := range p.To {
			if p.To[i].State != store.DeliveryDue {
				continue
			}
			path, err := s.writeMail(ctx, dir, r, p.To[i].Address)
			if err != nil {
				return err
			}
			p.Files = append(p.Files, path)
		}
		return f(p)
	})
}

// PreviewFailures writes the mails of the failure reports that wait to dir, and gives each to f. It
// changes nothing and sends nothing.
func (s *Sender) PreviewFailures(ctx context.Context, dir string, f func(Item) error) error {
	list, err := s.DB.Failures(ctx, store.ReportFilter{State: store.ReportSealed})
	if err != nil {
		return err
	}
	for i := range list {
		x := &list[i]
		text := x.Body
		if s.Signer != nil {
			if text, err = s.Signer.Sign(text); err != nil {
				return err
			}
		}
		path := filepath.Join(dir, filepath.Base("failure."+x.Domain+"."+x.Token+".eml"))
		if err := os.WriteFile(path, text, 0o640); err != nil {
			return err
		}
		item := FailureItem(x)
		item.Files = []string{path}
		if err := f(item); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sender) writeMail(ctx context.Context, dir string, r *store.Outgoing, to string) (string, error) {
	m, err := s.unsigned(ctx, r, to)
	if err != nil {
		return "", err
	}
	text, err := m.Compose(s.Signer)
	if err != nil {
		return "", err
	}
	name := r.Day.String() + "." + r.Domain + "." + to + ".eml"
	path := filepath.Join(dir, filepath.Base(name))
	return path, os.WriteFile(path, text, 0o640)
}

// unsigned is the mail with a report.
func (s *Sender) unsigned(ctx context.Context, r *store.Outgoing, to string) (*report.Mail, error) {
	id, err := s.identity(ctx, r.Day, r.Domain)
	if err != nil {
		return nil, err
	}
	return &report.Mail{Identity: id, From: s.Who.From, To: to, Date: store.Time(r.BuiltAt), Messages: r.Messages, Body: r.Body}, nil
}

// Notice mails a text to the operator, from the address of reports. Octets other than ASCII become
// "?".
func (s *Sender) Notice(ctx context.Context, to, subject string, lines []string) error {
	if s.Signer == nil {
		return errors.New("[report] from and dkim are missing: mail cannot be sent")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s@%s>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n",
		s.Who.From, to, ascii(subject), s.Now().UTC().Format(time.RFC1123Z), strings.ToLower(rand.Text()), s.Who.Submitter())
	for _, line := range lines {
		b.WriteString(ascii(line[:min(len(line), maxLine)]) + "\r\n")
	}
	mail, err := s.Signer.Sign([]byte(b.String()))
	if err != nil {
		return err
	}
	if err := Verify(ctx, s.Resolver, mail); err != nil {
		return err
	}
	defer s.Carrier.Close()
	return s.Carrier.Send(ctx, s.Who.From, []string{to}, mail)
}

// maxLine bounds a line of a notice, in octets (RFC 5322 §2.1.1).
const maxLine = 990

func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
