package outbox

import (
	"context"
	"os"
	"path/filepath"

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
	info, err := s.DB.Info(ctx)
	if err != nil {
		return nil, err
	}
	return &report.Mail{Identity: report.Identity{Store: info.Store, Domain: r.Domain, Submitter: s.Who.Submitter(), Day: store.Time(r.Day.Start())}, From: s.Who.From, To: to,
		Date: store.Time(r.BuiltAt), Messages: r.Messages, Body: r.Body}, nil
}
