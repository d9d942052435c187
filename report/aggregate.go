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
		in = bufio.NewReader(x.bounded(p, in))
	}
	g := newGuard(p, in)
	for n := 1; ; n++ {
		a := &aggregateReader{x: x, p: p, guard: g, last: n == x.limits.Files}
		a.report.Kind, a.report.Source = Aggregate, p.source
		a.xml = xml.NewDecoder(g)
		a.xml.Strict = false
		a.xml.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // the guard has decoded it
		err := a.read()
		if err == nil {
			err = x.found(&a.report)
		}
		if err != nil || !a.another {
			return err
		}
	}
}

// aggregateReader is the state of reading one report.
type aggregateReader struct {
	x     *input
	p     place
	guard *guard
	xml   *xml.Decoder

	report Report
	path   []string // open elements, in lower case, without prefix
	other  int      // depth of the outermost open element that is not a container, 0 if there is none
	text   []byte   // of the innermost element
	root   bool     // the root element has been closed

	last    bool // a report that follows in the same document is not read
	another bool // one follows

	begin, endDate string // as written
	record         recordReader
	inRecord       bool
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
		if len(token.Attr) > maxAttributes {
			return a.refusal(TooMany, "an element with more than "+itoa(maxAttributes)+" attributes")
		}
		return a.start(localName(token.Name))
	case xml.EndElement:
		return a.close(localName(token.Name))
	case xml.CharData:
		if len(a.path) > 0 && len(a.text) < maxRun {
			a.text = append(a.text, token...)
		}
	case xml.Directive:
		if name := doctypeName(token); len(a.path) == 0 && name != "" && name != "feedback" {
			return a.refusal(NotAReport, "not a report: a document of type "+clean(name))
		}
		return a.refusal(Doctype, "a document type declaration is not read")
	}
	return nil
}

// doctypeName is the root element that a document type declaration names, in lower case and without
// its prefix.
func doctypeName(d xml.Directive) string {
	words := strings.FieldsFunc(strings.ToLower(string(d)), func(r rune) bool { return r <= ' ' || r == '[' })
	if len(words) < 2 || words[0] != "doctype" {
		return ""
	}
	return words[1][strings.LastIndexByte(words[1], ':')+1:]
}

// maxAttributes bounds the attributes of an element. None is read.
const maxAttributes = 32

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
	parent := a.top()
	a.path = append(a.path, name)
	a.text = a.text[:0]
	switch {
	case a.other > 0:
	case !isContainer(parent, name):
		a.other = len(a.path)
	case name == "record":
		return a.startRecord()
	default:
		a.startDetail(name)
	}
	return nil
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
	err := a.end(name, clean(string(a.text)))
	a.path = a.path[:len(a.path)-1]
	a.text = a.text[:0]
	return err
}

// end takes the innermost element, which is complete.
func (a *aggregateReader) end(name, text string) error {
	n := len(a.path)
	inOther := a.other > 0 && a.other < n
	if a.other >= n {
		a.other = 0
	}
	switch {
	case inOther:
	case n == 1:
		a.root = true
		if a.inRecord {
			return a.endRecord()
		}
	case name == "record":
		if a.inRecord {
			return a.endRecord()
		}
	case isContainer(a.path[n-2], name):
		a.bare(name, text)
	default:
		a.leaf(a.path[n-2], name, text)
	}
	return nil
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
		a.once(&r.Org, name, text)
	case "email":
		r.Email = text
	case "extra_contact_info":
		r.Contact = text
	case "report_id":
		a.once(&r.ID, name, text)
	case "generator":
		r.Generator = text
	case "error":
		if text != "" && len(r.Errors) < maxWarnings {
			r.Errors = append(r.Errors, text)
		}
	case "begin":
		a.once(&a.begin, name, text)
	case "end":
		a.once(&a.endDate, name, text)
	}
}

func (a *aggregateReader) published(name, text string) {
	p := &a.report.Published
	switch name {
	case "domain":
		d, ok := parseDomain(text)
		a.once(&a.report.Domain, "the policy domain", d)
		if !ok && text != "" {
			a.warn(BadValue, text, "the policy domain is not a domain name")
		}
	case "p":
		a.once(&p.P, name, text)
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
		if a.another = !a.last && a.guard.another(); a.another {
			return nil
		}
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
		if g.unknown != "" {
			a.report.warn(BadEncoding, 0, g.unknown, "the charset is not known: read as UTF-8")
		}
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
	switch f {
	case TooMany:
		return "the zip archive has more files than are read"
	case NotWellFormed:
		return "the end of the zip archive is missing"
	}
	return "there are octets after the end of the archive"
}
