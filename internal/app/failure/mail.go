package failure

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"postseal"
	"postseal/domain"
	"postseal/resolver"
)

// Letter is the mail that carries a report.
type Letter struct {
	Facts
	From      string // address of the reporter; its domain is the one that signs
	To        string // address from ruf
	Host      string // name of the receiver: Reporting-MTA and authserv-id
	Generator string // product/version
	Date      time.Time
}

// MessageID is the Message-ID of the mail, without angle brackets. It is the same at every
// attempt.
func (l *Letter) MessageID() string {
	_, host, _ := strings.Cut(l.From, "@")
	return "failure." + strconv.FormatInt(l.At.UnixMilli(), 36) + "." + word(l.Ref) + "@" + host
}

// Compose returns the mail, without a signature (RFC 6591 §3.1, RFC 6522, RFC 9991 §4). Its lines
// are of ASCII and end in CRLF.
func (l *Letter) Compose() ([]byte, error) {
	var w bytes.Buffer
	parts := multipart.NewWriter(&w)
	if err := parts.SetBoundary("=_failure_" + word(l.Ref)); err != nil {
		return nil, err
	}
	for _, f := range []HeaderField{
		{"From", "<" + l.From + ">"},
		{"To", "<" + l.To + ">"},
		{"Subject", "DMARC failure report: " + l.Author},
		{"Date", l.Date.UTC().Format(time.RFC1123Z)},
		{"Message-ID", "<" + l.MessageID() + ">"},
		{"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"},
		{"Content-Type", "multipart/report; report-type=feedback-report; boundary=\"" + parts.Boundary() + "\""},
	} {
		writeField(&w, f)
	}
	w.WriteString("\r\n")
	for _, p := range []struct{ media, text string }{
		{"text/plain; charset=us-ascii", l.plain()},
		{"message/feedback-report", fields(l.feedback())},
		{"text/rfc822-headers; charset=us-ascii", fields(l.Header)},
	} {
		part, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {p.media}})
		if err != nil {
			return nil, err
		}
		if _, err := part.Write([]byte(p.text)); err != nil {
			return nil, err
		}
	}
	if err := parts.Close(); err != nil {
		return nil, err
	}
	return w.Bytes(), nil
}

// plain is the part for people.
func (l *Letter) plain() string {
	text := fmt.Sprintf("This is a DMARC failure report (RFC 9991) of %s\r\nabout a message from %s\r\nthat was received from %s on %s.\r\n",
		l.Host, l.Author, l.source(), l.At.UTC().Format(time.RFC1123Z))
	if l.Incidents > 1 {
		text += fmt.Sprintf("It stands for %d messages that failed in the same way.\r\n", l.Incidents)
	}
	return text + "\r\nThe local parts of addresses are replaced by codes (RFC 6590). Other header fields\r\nand the body are left out.\r\n"
}

func (l *Letter) source() string {
	if ip := l.Client.Addr(); ip.IsValid() {
		return ip.Unmap().WithZone("").String()
	}
	return "an unknown address"
}

// feedback are the fields of the machine-readable part.
func (l *Letter) feedback() []HeaderField {
	list := []HeaderField{{"Feedback-Type", "auth-failure"}, {"Version", "1"}, {"User-Agent", l.Generator}, {"Reporting-MTA", "dns; " + l.Host},
		{"Auth-Failure", l.Type}, {"Identity-Alignment", alignment(l.NotAligned)}, {"Authentication-Results", l.Host + "; " + l.Result},
		{"Original-Mail-From", "<" + l.ReversePath + ">"}, {"Arrival-Date", l.At.UTC().Format(time.RFC1123Z)}, {"Reported-Domain", l.Author}, {"Delivery-Result", l.Delivery}}
	if l.Client.Addr().IsValid() {
		list = append(list, HeaderField{"Source-IP", l.source()})
	}
	if l.Client.Port() != 0 {
		list = append(list, HeaderField{"Source-Port", strconv.Itoa(int(l.Client.Port()))})
	}
	if s := l.Signature; s != nil {
		list = append(list, HeaderField{"DKIM-Domain", word(s.Domain)}, HeaderField{"DKIM-Identity", identity(s.AUID, s.Domain)}, HeaderField{"DKIM-Selector", word(s.Selector)})
	}
	for _, r := range l.Records {
		list = append(list, HeaderField{"SPF-DNS", "txt : " + r[0] + " : " + quoted(r[1])})
	}
	if l.Incidents > 1 {
		list = append(list, HeaderField{"Incidents", strconv.FormatInt(l.Incidents, 10)})
	}
	return list
}

func alignment(failed []string) string {
	if len(failed) == 0 {
		return "none"
	}
	return strings.Join(failed, ", ")
}

// identity is the i= of a signature without its local part.
func identity(auid, signer string) string {
	if at := strings.LastIndexByte(auid, '@'); at >= 0 {
		signer = auid[at+1:]
	}
	return "@" + word(signer)
}

// Bounds of the SPF records in a report: as many as SPF may look up, and what fits into a field.
const (
	maxRecords    = 11
	maxRecordText = 1000
)

// records returns the SPF records that were used (RFC 6591 §3.2.6). A name that holds the local
// part of the sender is left out.
func records(r *postseal.Report) (list [][2]string) {
	used := map[string]bool{r.SPF[0].Domain: true}
	for _, s := range r.SPF[0].Spent {
		used[s.Name] = true
	}
	for _, name := range r.SPF[0].LocalPartNames {
		delete(used, name)
	}
	for _, x := range r.Exchanges() {
		name, err := domain.Parse(x.Name)
		if x.Type != resolver.TXT || x.Err != nil || err != nil || !used[string(name)] || len(list) == maxRecords {
			continue
		}
		delete(used, string(name))
		for _, rr := range x.Answer.Records {
			if version, _, _ := strings.Cut(rr.Text, " "); strings.EqualFold(version, "v=spf1") {
				list = append(list, [2]string{string(name), rr.Text[:min(len(rr.Text), maxRecordText)]})
				break
			}
		}
	}
	return list
}

// quoted writes text as a quoted-string of printable ASCII (RFC 5322 §3.2.4).
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			b.WriteByte('?')
		default:
			b.WriteByte(c)
		}
	}
	return b.String() + `"`
}

// word makes untrusted text one word of letters, digits, ".", "-" and "_".
func word(s string) string {
	const longest = 253
	return strings.Map(func(c rune) rune {
		if c < 0x80 && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune(".-_", c)) {
			return c
		}
		return '?'
	}, s[:min(len(s), longest)])
}

func fields(list []HeaderField) string {
	var w bytes.Buffer
	for _, f := range list {
		writeField(&w, f)
	}
	return w.String()
}

// writeField writes a field, folded at its spaces so that lines stay below 78 characters where that
// is possible, and below 998 always (RFC 5322 §2.1.1).
func writeField(w *bytes.Buffer, f HeaderField) {
	const usual, longest = 76, 900
	w.WriteString(f.Name + ":")
	line := len(f.Name) + 1
	for part := range strings.FieldsSeq(f.Value) {
		part = part[:min(len(part), longest)]
		if line+1+len(part) > usual && line > 1 {
			w.WriteString("\r\n")
			line = 0
		}
		w.WriteString(" " + part)
		line += 1 + len(part)
	}
	w.WriteString("\r\n")
}
