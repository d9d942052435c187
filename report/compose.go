package report

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"fmt"
	"io"
	"mime/multipart"
	"net/textproto"
	"time"

	"github.com/emersion/go-msgauth/dkim"
)

// Mail is a report as a mail.
type Mail struct {
	Identity
	From     string // address of the reporter; its domain signs
	To       string // address from rua
	Date     time.Time
	Messages int64  // for the text
	Body     []byte // gzip of the XML
}

// Signer signs the mails of a reporter.
type Signer struct {
	Domain   string // d=, the domain of From
	Selector string // s=
	Key      crypto.Signer
}

// Compose returns the mail with its DKIM signature, or without one for a nil Signer. The same Mail
// and Signer give the same header fields and parts at every attempt.
func (m *Mail) Compose(s *Signer) ([]byte, error) {
	var plain bytes.Buffer
	if err := m.write(&plain); err != nil {
		return nil, err
	}
	if s == nil {
		return plain.Bytes(), nil
	}
	return s.Sign(plain.Bytes())
}

// Sign returns a mail with the signature of the reporter. Its lines end in CRLF.
func (s *Signer) Sign(mail []byte) ([]byte, error) {
	var signed bytes.Buffer
	err := dkim.Sign(&signed, bytes.NewReader(mail), &dkim.SignOptions{Domain: s.Domain, Selector: s.Selector, Signer: s.Key, Hash: crypto.SHA256,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
		// From and Subject once more than they are there: none can be added.
		HeaderKeys: []string{"From", "From", "To", "Subject", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Auto-Submitted"}})
	if err != nil {
		return nil, fmt.Errorf("signing the report: %w", err)
	}
	return signed.Bytes(), nil
}

// write writes the mail without its signature (RFC 9990 §3.5.2). Its lines are of ASCII and
// end in CRLF.
func (m *Mail) write(w *bytes.Buffer) error {
	boundary := "=_" + m.Unique()
	for _, f := range [][2]string{
		{"From", "<" + m.From + ">"},
		{"To", "<" + m.To + ">"},
		{"Subject", "Report Domain: " + m.Domain + "\r\n Submitter: " + m.Submitter + "\r\n Report-ID: <" + m.ReportID() + ">"},
		{"Date", m.Date.UTC().Format(time.RFC1123Z)},
		{"Message-ID", "<" + m.MessageID() + ">"},
		{"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"},
		{"Content-Type", "multipart/mixed;\r\n boundary=\"" + boundary + "\""},
	} {
		w.WriteString(f[0] + ": " + f[1] + "\r\n")
	}
	w.WriteString("\r\n")
	parts := multipart.NewWriter(w)
	if err := parts.SetBoundary(boundary); err != nil {
		return err
	}
	if err := m.text(parts); err != nil {
		return err
	}
	if err := m.attachment(parts); err != nil {
		return err
	}
	return parts.Close()
}

// text is the part for people.
func (m *Mail) text(parts *multipart.Writer) error {
	p, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {"text/plain; charset=us-ascii"}})
	if err != nil {
		return err
	}
	begin, _ := m.Range()
	_, err = fmt.Fprintf(p, "This is a DMARC aggregate report (RFC 9990) of %s\r\nabout mail from %s\r\non %s, UTC: %d messages.\r\n",
		m.Submitter, m.Domain, begin.Format(time.DateOnly), m.Messages)
	return err
}

// attachment is the report.
func (m *Mail) attachment(parts *multipart.Writer) error {
	p, err := parts.CreatePart(textproto.MIMEHeader{
		"Content-Type":              {"application/gzip"},
		"Content-Transfer-Encoding": {"base64"},
		"Content-Disposition":       {"attachment;\r\n filename=\"" + m.FileName() + "\""},
	})
	if err != nil {
		return err
	}
	return writeBase64(p, m.Body)
}

// writeBase64 writes lines of 76 characters (RFC 2045 §6.8).
func writeBase64(w io.Writer, octets []byte) error {
	const line = 57
	for len(octets) > 0 {
		n := min(line, len(octets))
		if _, err := io.WriteString(w, base64.StdEncoding.EncodeToString(octets[:n])+"\r\n"); err != nil {
			return err
		}
		octets = octets[n:]
	}
	return nil
}
