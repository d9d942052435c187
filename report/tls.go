package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// maxTLS is the size of a TLS report in octets: it is read as a whole.
const maxTLS = 8 << 20

// tls reads a TLS report (RFC 8460 §4.4). Numbers may be text, lists may be single values.
func (x *input) tls(p place, in *bufio.Reader) error {
	text, err := io.ReadAll(io.LimitReader(in, maxTLS+1))
	if err != nil {
		return x.readError(p, err)
	}
	if len(text) > maxTLS {
		return p.refusal(TooLarge, "JSON larger than %d MiB", maxTLS>>20)
	}
	for bytes.HasPrefix(text, []byte(bom)) {
		text = text[len(bom):]
	}
	latin := !utf8.Valid(text)
	if latin {
		if text, err = charmap.ISO8859_1.NewDecoder().Bytes(text); err != nil {
			return p.refusal(Damaged, "the JSON is damaged: %s", clean(err.Error()))
		}
	}
	if depth(text) > x.limits.Depth {
		return p.refusal(Nesting, "values within values: more than %d", x.limits.Depth)
	}
	var list looseObjects[tlsJSON]
	d := json.NewDecoder(bytes.NewReader(text))
	for {
		var more looseObjects[tlsJSON]
		err := d.Decode(&more)
		switch {
		case err != nil && len(list) == 0 && p.inMail && !bytes.Contains(text, []byte("report-id")) && !bytes.Contains(text, []byte("policies")):
			return p.refusal(NotAReport, "not a report: text that begins like JSON")
		case err != nil && len(list) == 0:
			return &Refusal{Source: p.source, Fault: NotWellFormed, Detail: "the JSON is damaged: " + clean(err.Error()), Line: lineAt(text, err)}
		case err != nil || slices.ContainsFunc(more, func(j tlsJSON) bool { return !j.isReport() }):
			return x.tlsReports(p, list, latin, !errors.Is(err, io.EOF))
		}
		if list = append(list, more...); len(list) > x.limits.Files {
			return x.tlsReports(p, list[:x.limits.Files], latin, true)
		}
	}
}

// isReport reports whether an object has anything of a report.
func (j tlsJSON) isReport() bool { return j.Policies != nil || j.ID != "" }

// tlsReports hands on what a document holds: one report, or several that some reporters write after
// one another.
func (x *input) tlsReports(p place, list []tlsJSON, latin, trailing bool) error {
	if len(list) == 0 {
		return p.refusal(NotAReport, "not a report: JSON without report-id and policies")
	}
	for i := range list {
		j := &list[i]
		r := &Report{Kind: TLS, Source: p.source, Org: clean(string(j.Org)), Email: clean(string(j.Contact)), ID: clean(string(j.ID))}
		if latin {
			r.warn(BadEncoding, 0, "", "octets that are not UTF-8 were read as Latin-1")
		}
		if trailing && i == len(list)-1 {
			r.warn(TrailingData, 0, "", "there is text after the report")
		}
		if err := j.dates(p, r); err != nil {
			return err
		}
		if r.ID == "" {
			r.warn(MissingElement, 0, "", "report-id is missing")
		}
		for i := range j.Policies {
			r.addPolicy(&j.Policies[i])
		}
		r.Rows = len(r.Policies)
		if len(r.Policies) == 0 {
			r.warn(NoRecords, 0, "", "the report has no policy")
		}
		if err := x.found(r); err != nil {
			return err
		}
	}
	return nil
}

// depth is how deeply values lie in each other.
func depth(text []byte) int {
	deepest, n, inText := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '{' || c == '[':
			n++
			deepest = max(deepest, n)
		case c == '}' || c == ']':
			n--
		}
	}
	return deepest
}

// lineAt is the line of a syntax error, 0 for others.
func lineAt(text []byte, err error) int {
	syntax := new(json.SyntaxError)
	if !errors.As(err, &syntax) {
		return 0
	}
	return 1 + bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n"))
}

type tlsJSON struct {
	Org     looseText `json:"organization-name"`
	Contact looseText `json:"contact-info"`
	ID      looseText `json:"report-id"`
	Range   struct {
		Begin looseText `json:"start-datetime"`
		End   looseText `json:"end-datetime"`
	} `json:"date-range"`
	Policies looseObjects[tlsPolicyJSON] `json:"policies"`
}

type tlsPolicyJSON struct {
	Policy struct {
		Type   looseText `json:"policy-type"`
		Domain looseText `json:"policy-domain"`
		MX     looseList `json:"mx-host"`
	} `json:"policy"`
	Summary struct {
		Successful looseText `json:"total-successful-session-count"`
		Failed     looseText `json:"total-failure-session-count"`
	} `json:"summary"`
	Failures looseObjects[tlsFailureJSON] `json:"failure-details"`
}

type tlsFailureJSON struct {
	Type        looseText `json:"result-type"`
	Count       looseText `json:"failed-session-count"`
	SendingIP   looseText `json:"sending-mta-ip"`
	ReceivingMX looseText `json:"receiving-mx-hostname"`
	ReceivingIP looseText `json:"receiving-ip"`
	Reason      looseText `json:"failure-reason-code"`
}

// looseObjects is a list of objects, or a single one.
type looseObjects[T any] []T

// UnmarshalJSON implements json.Unmarshaler.
func (l *looseObjects[T]) UnmarshalJSON(b []byte) error {
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '{' {
		*l = make([]T, 1)
		return json.Unmarshal(b, &(*l)[0])
	}
	return json.Unmarshal(b, (*[]T)(l))
}

// looseText is a text, a number, or the first of a list; anything else is "".
type looseText string

// UnmarshalJSON implements json.Unmarshaler.
func (t *looseText) UnmarshalJSON(b []byte) error {
	var list looseList
	if err := list.UnmarshalJSON(b); err != nil {
		return err
	}
	*t = ""
	if len(list) > 0 {
		*t = looseText(list[0])
	}
	return nil
}

// looseList is a list of texts, or a single one.
type looseList []string

// UnmarshalJSON implements json.Unmarshaler.
func (l *looseList) UnmarshalJSON(b []byte) error {
	*l = nil
	b = bytes.TrimSpace(b)
	var values []json.RawMessage
	if len(b) > 0 && b[0] == '[' {
		if err := json.Unmarshal(b, &values); err != nil {
			return err
		}
	} else {
		values = []json.RawMessage{b}
	}
	for _, v := range values {
		var s string
		switch {
		case len(v) > 0 && v[0] == '"':
			if err := json.Unmarshal(v, &s); err != nil {
				return err
			}
		case len(v) > 0 && (v[0] == '-' || v[0] >= '0' && v[0] <= '9'):
			s = string(v)
		default:
			continue
		}
		*l = append(*l, s)
	}
	return nil
}

// dates reads the range of the report.
func (j *tlsJSON) dates(p place, r *Report) error {
	begin, _, okBegin := parseTime(clean(string(j.Range.Begin)))
	end, _, okEnd := parseTime(clean(string(j.Range.End)))
	_, fileBegin, fileEnd, named := fromFileName(p.name)
	switch {
	case okBegin && okEnd && !end.Before(begin):
		r.Begin, r.End = begin, end
		if end.Sub(begin) > 48*time.Hour {
			r.warn(LongRange, 0, "", "the report covers more than two days")
		}
	case named:
		r.Begin, r.End = fileBegin, fileEnd
		r.warn(DateRange, 0, string(j.Range.Begin), "the date range cannot be right: taken from the file name")
	case j.Range.Begin == "" && j.Range.End == "":
		r.warn(MissingElement, 0, "", "date-range is missing")
	default:
		return p.refusal(DateRange, "the date range cannot be right: from %q to %q", clean(string(j.Range.Begin)), clean(string(j.Range.End)))
	}
	return nil
}

// addPolicy takes over one policy. Counts that are not numbers count as nothing.
func (r *Report) addPolicy(j *tlsPolicyJSON) {
	p := TLSPolicy{Type: strings.ToLower(clean(string(j.Policy.Type))), Failures: []TLSFailure{}}
	p.Domain, _ = parseDomain(string(j.Policy.Domain))
	for _, mx := range j.Policy.MX[:min(len(j.Policy.MX), maxWarnings)] {
		p.MX = append(p.MX, clean(mx))
	}
	p.Successful = r.sessions(j.Summary.Successful, "total-successful-session-count")
	p.Failed = r.sessions(j.Summary.Failed, "total-failure-session-count")
	for _, f := range j.Failures {
		p.Failures = append(p.Failures, TLSFailure{Type: strings.ToLower(clean(string(f.Type))), Count: r.sessions(f.Count, "failed-session-count"),
			SendingIP: clean(string(f.SendingIP)), ReceivingMX: clean(string(f.ReceivingMX)), ReceivingIP: clean(string(f.ReceivingIP)),
			Reason: clean(string(f.Reason))})
	}
	if r.Domain == "" {
		r.Domain = p.Domain
	}
	r.Messages += p.Successful + p.Failed
	r.Policies = append(r.Policies, p)
}

// sessions reads a count of sessions: 0 to 2^40.
func (r *Report) sessions(t looseText, name string) int64 {
	whole, fraction, _ := strings.Cut(string(t), ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if strings.Trim(fraction, "0") != "" {
		err = strconv.ErrSyntax
	}
	if err != nil || n < 0 || n > maxCount {
		r.warn(BadCount, 0, string(t), name+" is not a number from 0 to 2^40: counted as 0")
		return 0
	}
	return n
}
