package report

import (
	"bufio"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// aggregate reads an aggregate report: the XML of RFC 9990 Appendix A or of RFC 7489
// Appendix C, in any namespace, with elements in any order and any case.
func (x *input) aggregate(p place, in *bufio.Reader) error {
	if p.wraps == 0 {
		in = bufio.NewReader(&bounded{x: x, p: p, in: in, left: x.limits.Unpacked})
	}
	a := &aggregateReader{x: x, p: p, guard: newGuard(p, in)}
	a.report.Kind, a.report.Source = Aggregate, p.source
	a.xml = xml.NewDecoder(a.guard)
	a.xml.Strict = false
	a.xml.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // the guard has decoded it
	if err := a.read(); err != nil {
		return err
	}
	return x.found(&a.report)
}

// aggregateReader is the state of reading one report.
type aggregateReader struct {
	x     *input
	p     place
	guard *guard
	xml   *xml.Decoder

	report Report
	path   []string // open elements, in lower case, without prefix
	text   []byte   // of the innermost element
	root   bool     // the root element has been closed

	begin, end string // as written
	record     recordReader
}

// recordReader is the record that is being read.
type recordReader struct {
	Record
	ip, count string
	line      int
	cut       bool // it has more signatures or reasons than are kept
}

// warn adds a warning to r, as long as there is room.
func (r *Report) warn(f Fault, line int, value, detail string) {
	if len(r.Warnings) == maxWarnings {
		r.Dropped++
		return
	}
	r.Warnings = append(r.Warnings, Warning{Fault: f, Detail: detail, Line: line, Value: clean(value)})
}

const maxWarnings = 100

func (a *aggregateReader) warn(f Fault, value, detail string) {
	line, _ := a.xml.InputPos()
	a.report.warn(f, line, value, detail)
}

func (a *aggregateReader) refusal(f Fault, detail string) *Refusal {
	line, _ := a.xml.InputPos()
	return &Refusal{Source: a.p.source, Fault: f, Detail: detail, Line: line}
}

// read takes one token after the other until the root element ends. A report that breaks off
// keeps the records before that.
func (a *aggregateReader) read() error {
	for !a.root {
		token, err := a.xml.RawToken()
		if err != nil {
			if err := a.broken(err); err != nil {
				return err
			}
			break
		}
		if err := a.token(token); err != nil {
			return err
		}
	}
	if err := a.finish(); err != nil {
		return err
	}
	return a.judge()
}

// broken decides what the error of the decoder means for the report.
func (a *aggregateReader) broken(err error) error {
	syntax := new(xml.SyntaxError)
	switch {
	case len(a.path) == 0 && (errors.Is(err, io.EOF) || errors.As(err, &syntax)):
		return a.refusal(NotAReport, "not a report: XML without the element <feedback>")
	case errors.Is(err, io.EOF):
		a.warn(NotWellFormed, "", "the report ends within <"+clean(a.top())+">; everything before it is kept")
		return nil
	case errors.As(err, &syntax):
		a.warn(NotWellFormed, syntax.Msg, "the XML is damaged here; everything before it is kept")
		return nil
	}
	if err = a.x.readError(a.p, err); isDamage(err) {
		a.warn(NotWellFormed, "", "the archive is damaged; everything before it is kept")
		return nil
	}
	return err
}

func isDamage(err error) bool {
	refusal := new(Refusal)
	return errors.As(err, &refusal) && refusal.Fault == Damaged
}

func (a *aggregateReader) token(token xml.Token) error {
	switch token := token.(type) {
	case xml.StartElement:
		return a.start(localName(token.Name))
	case xml.EndElement:
		return a.close(localName(token.Name))
	case xml.CharData:
		if len(a.path) > 0 && len(a.text) < maxRun {
			a.text = append(a.text, token...)
		}
	case xml.Directive:
		return a.refusal(Doctype, "a document type declaration is not read")
	}
	return nil
}

// localName is a name in lower case without its prefix.
func localName(n xml.Name) string { return strings.ToLower(n.Local) }

// top is the innermost open element.
func (a *aggregateReader) top() string {
	if len(a.path) == 0 {
		return ""
	}
	return a.path[len(a.path)-1]
}

func (a *aggregateReader) start(name string) error {
	switch {
	case len(a.path) == 0 && name != "feedback":
		return a.refusal(NotAReport, "not a report: the root element is <"+clean(name)+">, not <feedback>")
	case len(a.path) == a.x.limits.Depth:
		return a.refusal(Nesting, "elements within elements: more than "+itoa(a.x.limits.Depth))
	}
	a.path = append(a.path, name)
	a.text = a.text[:0]
	r := &a.record
	switch {
	case name == "record" && len(a.path) == 2:
		*r = recordReader{Record: Record{Reasons: []Override{}, AuthDKIM: []DKIMAuth{}, AuthSPF: []SPFAuth{}}}
		r.line, _ = a.xml.InputPos()
	case a.in("policy_evaluated", "reason"):
		r.cut = !appendWithin(&r.Reasons, a.x.limits.Reasons) || r.cut
	case a.in("auth_results", "dkim"):
		r.cut = !appendWithin(&r.AuthDKIM, a.x.limits.Signatures) || r.cut
	case a.in("auth_results", "spf"):
		r.cut = !appendWithin(&r.AuthSPF, a.x.limits.Signatures) || r.cut
	}
	return nil
}

// appendWithin appends an empty element unless list has limit of them.
func appendWithin[T any](list *[]T, limit int) bool {
	if len(*list) > limit {
		return false
	}
	*list = append(*list, *new(T)) // one over the limit takes what is not kept
	return len(*list) <= limit
}

// in reports whether the innermost elements are parent and name.
func (a *aggregateReader) in(parent, name string) bool {
	n := len(a.path)
	return n >= 2 && a.path[n-1] == name && a.path[n-2] == parent
}

// close ends the innermost element of that name. Elements in it that were not closed end with
// it; an end tag without its element is skipped.
func (a *aggregateReader) close(name string) error {
	if a.top() != name {
		a.warn(NotWellFormed, "</"+name+">", "this end tag does not belong to <"+clean(a.top())+">")
		open := len(a.path) - 1
		for open >= 0 && a.path[open] != name {
			open--
		}
		if open < 0 {
			return nil
		}
		a.path = a.path[:open+1]
	}
	var err error
	switch n := len(a.path); {
	case n == 1:
		a.root = true
	case n == 2 && name == "record":
		err = a.endRecord()
	default:
		a.leaf(a.path[n-2], name, clean(string(a.text)))
	}
	a.path = a.path[:len(a.path)-1]
	a.text = a.text[:0]
	return err
}

// leaf takes the text of an element. Unknown ones are skipped (RFC 9990 §3.1.1).
func (a *aggregateReader) leaf(parent, name, text string) {
	switch parent {
	case "report_metadata", "date_range":
		a.metadata(name, text)
	case "policy_published":
		a.published(name, text)
	case "row", "policy_evaluated", "identifiers", "identities":
		a.row(parent, name, text)
	case "reason", "dkim", "spf":
		a.detail(parent, name, text)
	}
}

func (a *aggregateReader) metadata(name, text string) {
	r := &a.report
	switch name {
	case "org_name":
		r.Org = text
	case "email":
		r.Email = text
	case "extra_contact_info":
		r.Contact = text
	case "report_id":
		r.ID = text
	case "generator":
		r.Generator = text
	case "error":
		if text != "" && len(r.Errors) < maxWarnings {
			r.Errors = append(r.Errors, text)
		}
	case "begin":
		a.begin = text
	case "end":
		a.end = text
	}
}

func (a *aggregateReader) published(name, text string) {
	p := &a.report.Published
	switch name {
	case "domain":
		var ok bool
		if a.report.Domain, ok = parseDomain(text); !ok && text != "" {
			a.warn(BadValue, text, "the policy domain is not a domain name")
		}
	case "p":
		p.P = text
	case "sp":
		p.SP = text
	case "np":
		p.NP = text
	case "adkim":
		p.ADKIM = text
	case "aspf":
		p.ASPF = text
	case "pct":
		p.Pct = text
	case "fo":
		p.FO = text
	case "testing":
		p.Testing = text
	case "discovery_method":
		p.Discovery = text
	}
}

func (a *aggregateReader) row(parent, name, text string) {
	r := &a.record
	switch {
	case parent == "row" && name == "source_ip":
		r.ip = text
	case parent == "row" && name == "count":
		r.count = text
	case parent == "policy_evaluated" && name == "disposition":
		r.Disposition = strings.ToLower(text)
	case parent == "policy_evaluated" && name == "dkim":
		r.DKIM = strings.ToLower(text)
	case parent == "policy_evaluated" && name == "spf":
		r.SPF = strings.ToLower(text)
	case name == "header_from":
		r.HeaderFrom, _ = parseDomain(text)
	case name == "envelope_from":
		r.EnvelopeFrom, _ = parseDomain(text)
	case name == "envelope_to":
		r.EnvelopeTo, _ = parseDomain(text)
	}
}

// detail takes an element of the last reason, signature or SPF result.
func (a *aggregateReader) detail(parent, name, text string) {
	r := &a.record
	switch {
	case parent == "reason" && len(r.Reasons) > 0:
		r.Reasons[len(r.Reasons)-1].set(name, text)
	case parent == "dkim" && len(r.AuthDKIM) > 0:
		r.AuthDKIM[len(r.AuthDKIM)-1].set(name, text)
	case parent == "spf" && len(r.AuthSPF) > 0:
		r.AuthSPF[len(r.AuthSPF)-1].set(name, text)
	}
}

func (o *Override) set(name, text string) {
	switch name {
	case "type":
		o.Type = strings.ToLower(text)
	case "comment":
		o.Comment = text
	}
}

func (d *DKIMAuth) set(name, text string) {
	switch name {
	case "domain":
		d.Domain, _ = parseDomain(text)
	case "selector":
		d.Selector = text
	case "result":
		d.Result = strings.ToLower(text)
	}
}

func (s *SPFAuth) set(name, text string) {
	switch name {
	case "domain":
		s.Domain, _ = parseDomain(text)
	case "scope":
		s.Scope = strings.ToLower(text)
	case "result":
		s.Result = strings.ToLower(text)
	}
}

// endRecord hands on the record, or says why it does not count.
func (a *aggregateReader) endRecord() error {
	r, limits := &a.record, &a.x.limits
	var okIP, okCount bool
	r.IP, okIP = parseIP(r.ip)
	r.Count, okCount = parseCount(r.count)
	switch {
	case !okIP:
		a.report.warn(BadSourceIP, r.line, r.ip, "the record is not counted: its source_ip is not an IP address")
		return nil
	case !okCount:
		a.report.warn(BadCount, r.line, r.count, "the record is not counted: its count is not a number from 1 to 2^40")
		return nil
	case a.report.Rows == limits.Rows:
		if !hasFault(&a.report, TooMany) {
			a.report.warn(TooMany, r.line, "", "more than "+itoa(limits.Rows)+" records: this one and those that follow are not counted")
		}
		return nil
	}
	a.checkRecord(r)
	r.Reasons = r.Reasons[:min(len(r.Reasons), limits.Reasons)]
	r.AuthDKIM = r.AuthDKIM[:min(len(r.AuthDKIM), limits.Signatures)]
	r.AuthSPF = r.AuthSPF[:min(len(r.AuthSPF), limits.Signatures)]
	a.report.Rows++
	a.report.Messages += r.Count
	if a.x.reader.Record == nil {
		return nil
	}
	return a.x.reader.Record(r.Record)
}

// checkRecord warns of what is missing or unknown in a record that counts.
func (a *aggregateReader) checkRecord(r *recordReader) {
	warn := func(f Fault, value, detail string) { a.report.warn(f, r.line, value, detail) }
	if r.HeaderFrom == "" {
		warn(MissingElement, "", "the record has no header_from")
	}
	if r.Disposition == "" {
		warn(MissingElement, "", "policy_evaluated has no disposition")
	}
	if len(r.AuthDKIM)+len(r.AuthSPF) == 0 && r.DKIM+r.SPF != "failfail" {
		warn(MissingElement, "", "auth_results are missing")
	}
	for _, o := range r.Reasons {
		if o.Type == "" {
			warn(BadValue, o.Comment, "a reason has no type")
			break
		}
	}
	if r.cut {
		warn(TooMany, "", "the record has more signatures or reasons than are read")
	}
}

func hasFault(r *Report, f Fault) bool {
	for i := range r.Warnings {
		if r.Warnings[i].Fault == f {
			return true
		}
	}
	return false
}

// finish reads what follows the report and takes over the faults of what it came in.
func (a *aggregateReader) finish() error {
	if a.root {
		more, err := a.guard.rest()
		if err = a.x.endError(a.p, err, &a.report); err != nil {
			return err
		}
		if more {
			a.warn(TrailingData, "", "there is text after the report")
		}
	}
	if a.p.tails != nil {
		for _, f := range *a.p.tails {
			a.report.warn(f, 0, "", tailDetail(f))
		}
		*a.p.tails = nil
	}
	switch g := a.guard; {
	case g.escaped > 0:
		a.report.warn(NotWellFormed, g.escaped, "", "a \"<\" that begins no tag was read as text")
		fallthrough
	default:
		if g.notUTF8 {
			a.report.warn(BadEncoding, 0, "", "octets that are not UTF-8 were read as Latin-1")
		}
		if g.controls {
			a.report.warn(BadCharacter, 0, "", "control characters were replaced")
		}
	}
	return nil
}

// endError is what an error after the end of a document means: damage there is a warning.
func (x *input) endError(p place, err error, r *Report) error {
	if err == nil {
		return nil
	}
	if err = x.readError(p, err); isDamage(err) {
		r.warn(NotWellFormed, 0, "", "the archive is damaged at its end")
		return nil
	}
	return err
}

func tailDetail(f Fault) string {
	if f == TooMany {
		return "the zip archive has more files than are read"
	}
	return "there are octets after the end of the archive"
}
