package audit

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"postseal/domain"
	"postseal/internal/app/repair"
	"postseal/resolver"
)

// BIMI is the logo that a domain asks receivers to show (draft-brand-indicators).
type BIMI struct {
	Status
	Record      string `json:"record"`
	Location    string `json:"location"`  // l=
	Authority   string `json:"authority"` // a=
	Logo        string `json:"logo"`      // ok, bad, unchecked; "" without one
	Certificate string `json:"certificate"`
}

// maxLogoBytes is what the SVG guidance advises.
const maxLogoBytes = 32 << 10

// bimi checks the record of the domain, or else that of its organization.
func (r *run) bimi() {
	rec := &r.report.Records.BIMI
	rec.Status = Status{Name: "default._bimi." + string(r.name), State: NoData}
	defer r.bimiMisplaced(rec)
	for i, d := range []string{string(r.name), r.report.Records.DMARC.OrgDomain} {
		if d == "" || i > 0 && d == string(r.name) {
			continue
		}
		name := "default._bimi." + d
		a, state := r.ask("bimi", name, resolver.TXT, false)
		texts := beginning(a, "v=BIMI1")
		if state == Found {
			r.bimiLookalikes(name, a, texts)
		}
		switch {
		case state == Failed:
			rec.Status = r.status(name, state)
			return
		case len(texts) == 0:
			continue
		case len(texts) > 1:
			r.find("bimi.syntax", Where{Name: name, Record: texts[1]}, fmt.Sprintf("%s has %d records", name, len(texts)), "")
		}
		rec.Status, rec.Record = Status{Name: name, State: Found}, texts[0]
		r.bimiTexts = append(r.bimiTexts, texts...)
		r.bimiRecord(rec, Where{Name: name, Record: texts[0]})
		return
	}
}

// bimiMisplaced finds a record at the domain itself.
func (r *run) bimiMisplaced(rec *BIMI) {
	if rec.State == NoData && len(r.bimiTexts) == 0 {
		kind := transportKind{what: "BIMI", area: "bimi", lookalike: repair.LooksLikeBIMI}
		r.bimiTexts = r.misplacedText(kind, rec.Name, nil)
	}
}

// bimiLookalikes finds texts that were meant to be BIMI records but are not.
func (r *run) bimiLookalikes(name string, a resolver.Answer, records []string) {
	for _, rr := range a.Records {
		if slices.Contains(records, rr.Text) || !repair.LooksLikeBIMI(rr.Text) {
			continue
		}
		r.report.Records.BIMI.Name = name
		r.bimiTexts = append(r.bimiTexts, rr.Text)
		r.find("bimi.syntax", Where{Name: name, Record: rr.Text}, "receivers do not see a BIMI record in "+quote(rr.Text), "")
	}
	r.hygiene(name, a, "bimi1")
}

func (r *run) bimiRecord(rec *BIMI, at Where) {
	location, authority, err := ParseBIMI(rec.Record)
	if err != nil {
		at.Offset = err.Offset
		r.find("bimi.syntax", at, err.Msg, "")
		return
	}
	rec.Location, rec.Authority = location, authority
	if location == "" && authority == "" {
		return // the domain declines
	}
	if d := &r.report.Records.DMARC; d.State != Failed && (d.Policy != "quarantine" && d.Policy != "reject" || d.Test || d.SP == "none") {
		why := "the DMARC policy is " + word(d.Policy)
		switch {
		case d.Policy != "quarantine" && d.Policy != "reject":
		case d.Test:
			why = "the DMARC record says t=y"
		default:
			why = "the DMARC record says sp=none"
		}
		r.find("bimi.policy", at, why+": receivers show no logo", "")
	}
	var served []byte
	if location != "" {
		rec.Logo, served = r.logo(location)
	}
	if authority == "" {
		r.find("bimi.no-certificate", at, "a= is missing: most receivers show no logo without a certificate", "")
		return
	}
	rec.Certificate = r.mark(authority, served)
}

// ParseBIMI reads the text of an assertion record.
func ParseBIMI(text string) (location, authority string, err *SyntaxError) {
	seen := map[string]bool{}
	for i, f := range fields(text) {
		switch {
		case !f.equals:
			return "", "", &SyntaxError{f.nameOffset, quote(f.name) + ` has no "="`}
		case i == 0 && (f.name != "v" || f.value != "BIMI1"):
			return "", "", &SyntaxError{f.nameOffset, "the record does not start with v=BIMI1"}
		case seen[f.name]:
			return "", "", &SyntaxError{f.nameOffset, "a second " + quote(f.name)}
		}
		seen[f.name] = true
		if f.name != "l" && f.name != "a" || f.value == "" {
			continue
		}
		u, bad := url.Parse(f.value)
		if bad != nil || u.Scheme != "https" || u.Host == "" {
			return "", "", &SyntaxError{f.valueOffset, f.name + "= is not an https URL"}
		}
		if f.name == "l" {
			location = f.value
		} else {
			authority = f.value
		}
	}
	if !seen["l"] {
		return "", "", &SyntaxError{len(text), "l= is missing"}
	}
	return location, authority, nil
}

// logo fetches the image and checks it against the profile. body is nil if it was not fetched.
func (r *run) logo(location string) (state string, body []byte) {
	at := Where{Name: location}
	before := len(r.report.Findings)
	body, _, ok := r.fetch("bimi", location, 1<<20, "bimi", at)
	switch {
	case !ok && len(r.report.Findings) > before:
		return "bad", nil
	case !ok:
		return "unchecked", nil
	}
	if len(body) > maxLogoBytes {
		r.find("bimi.svg", at, fmt.Sprintf("the image has %d octets, more than 32 KiB", len(body)), "")
	}
	for _, msg := range CheckSVG(body) {
		r.find("bimi.svg", at, msg, "")
	}
	if len(r.report.Findings) > before {
		return "bad", body
	}
	return "ok", body
}

// forbidden elements of the profile SVG Tiny Portable/Secure.
var forbidden = map[string]bool{"script": true, "image": true, "foreignObject": true, "animate": true, "animateMotion": true, "animateTransform": true,
	"animateColor": true, "set": true, "discard": true, "a": true, "audio": true, "video": true, "iframe": true, "handler": true, "listener": true}

// maxElements bounds the work on one image.
const maxElements = 20000

// CheckSVG describes how an image differs from the profile SVG Tiny Portable/Secure.
func CheckSVG(data []byte) []string {
	d := xml.NewDecoder(bytes.NewReader(data))
	d.Strict = true
	s := &svgCheck{seen: map[string]bool{}}
	for range maxElements {
		token, err := d.Token()
		if err == io.EOF {
			return s.end()
		}
		if err != nil {
			s.add("the image is not well-formed XML")
			return s.problems
		}
		switch token := token.(type) {
		case xml.StartElement:
			s.start(token)
		case xml.EndElement:
			s.depth--
		case xml.Directive:
			if bytes.Contains(bytes.ToUpper(token), []byte("ENTITY")) {
				s.add("the image declares entities")
			}
		}
	}
	s.add("the image has too many elements")
	return s.problems
}

type svgCheck struct {
	depth    int
	root     bool
	title    bool
	seen     map[string]bool
	problems []string
}

func (s *svgCheck) add(msg string) {
	if !s.seen[msg] {
		s.seen[msg] = true
		s.problems = append(s.problems, msg)
	}
}

func (s *svgCheck) start(e xml.StartElement) {
	s.depth++
	name := e.Name.Local
	switch {
	case s.depth == 1:
		s.rootElement(e)
	case s.depth == 2 && name == "title":
		s.title = true
	}
	if forbidden[name] {
		s.add("the image has the element " + quote(name))
	}
	for _, a := range e.Attr {
		local := strings.ToLower(a.Name.Local)
		switch {
		case strings.HasPrefix(local, "on"):
			s.add("the image has the event attribute " + quote(a.Name.Local))
		case local == "href" && !strings.HasPrefix(a.Value, "#"):
			s.add("the image refers to an external resource: " + quote(a.Value))
		}
	}
}

func (s *svgCheck) rootElement(e xml.StartElement) {
	s.root = e.Name.Local == "svg"
	if !s.root {
		s.add("the image is not SVG")
		return
	}
	attr := map[string]string{}
	for _, a := range e.Attr {
		attr[a.Name.Local] = a.Value
	}
	if attr["version"] != "1.2" || attr["baseProfile"] != "tiny-ps" {
		s.add(`the image does not say version="1.2" baseProfile="tiny-ps"`)
	}
	if _, ok := attr["x"]; ok {
		s.add("the root element has x")
	}
	if _, ok := attr["y"]; ok {
		s.add("the root element has y")
	}
	var x, y, w, h float64
	if box, ok := attr["viewBox"]; ok {
		if n, _ := fmt.Sscanf(strings.ReplaceAll(box, ",", " "), "%g %g %g %g", &x, &y, &w, &h); n == 4 && w != h {
			s.add("the image is not square")
		}
	}
}

func (s *svgCheck) end() []string {
	if s.root && !s.title {
		s.add("the image has no title")
	}
	if s.depth != 0 || !s.root && len(s.problems) == 0 {
		s.add("the image is not SVG")
	}
	return s.problems
}

// certified reports whether a name in a mark certificate is the domain or its organization.
func (r *run) certified(names []string) bool {
	for _, n := range names {
		n = strings.TrimPrefix(strings.ToLower(n), "default._bimi.")
		if d, err := domain.Parse(n); err == nil && (r.name.Within(d) || string(d) == r.report.Records.DMARC.OrgDomain) {
			return true
		}
	}
	return false
}
