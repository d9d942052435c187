package report

import (
	"bufio"
	"compress/gzip"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// Namespace is the XML namespace of aggregate reports (RFC 9990 §6.1).
const Namespace = "urn:ietf:params:xml:ns:dmarc-2.0"

// ErrNoRecords says that a report without a record cannot be written (RFC 9990 §3.1.1.2).
var ErrNoRecords = errors.New("an aggregate report needs at least one record")

// Writer writes one aggregate report as the gzip of its XML (RFC 9990 Appendix A), record by
// record. Words that the schema does not allow are written as the nearest one that it does.
type Writer struct {
	zip  *gzip.Writer
	w    *bufio.Writer
	rows int
	err  error
}

// NewWriter begins a report on w with the metadata and the policy of r.
func NewWriter(w io.Writer, r *Report) *Writer {
	z, _ := gzip.NewWriterLevel(w, gzip.DefaultCompression) //nolint:errcheck // the level is valid
	x := &Writer{zip: z, w: bufio.NewWriterSize(z, 32<<10)}
	x.raw(xml.Header + `<feedback xmlns="` + Namespace + "\">\n <version>1.0</version>\n <report_metadata>\n")
	x.element("  ", "org_name", r.Org)
	x.element("  ", "email", r.Email)
	x.optional("  ", "extra_contact_info", r.Contact)
	x.element("  ", "report_id", r.ID)
	x.raw(fmt.Sprintf("  <date_range>\n   <begin>%d</begin>\n   <end>%d</end>\n  </date_range>\n", r.Begin.Unix(), r.End.Unix()))
	for _, e := range r.Errors[:min(len(r.Errors), 1)] {
		x.element("  ", "error", e)
	}
	x.optional("  ", "generator", r.Generator)
	x.raw(" </report_metadata>\n <policy_published>\n")
	x.published(r)
	x.raw(" </policy_published>\n")
	return x
}

// published writes the policy with the defaults for what is absent.
func (x *Writer) published(r *Report) {
	p := &r.Published
	x.element("  ", "domain", r.Domain)
	x.element("  ", "p", oneOf(p.P, "none", "quarantine", "reject"))
	for _, e := range []struct {
		name, value string
		words       []string
	}{
		{"sp", p.SP, []string{"none", "quarantine", "reject"}},
		{"np", p.NP, []string{"none", "quarantine", "reject"}},
		{"adkim", p.ADKIM, []string{"r", "s"}},
		{"aspf", p.ASPF, []string{"r", "s"}},
		{"discovery_method", p.Discovery, []string{"treewalk", "psl"}},
		{"testing", p.Testing, []string{"n", "y"}},
	} {
		if e.value != "" {
			x.element("  ", e.name, oneOf(e.value, e.words...))
		}
	}
	x.optional("  ", "fo", p.FO)
}

// oneOf returns s if it is one of words, else the first of them.
func oneOf(s string, words ...string) string {
	if slices.Contains(words, s) {
		return s
	}
	return words[0]
}

var (
	dkimWords   = []string{"neutral", "none", "pass", "fail", "policy", "temperror", "permerror"}
	spfWords    = []string{"neutral", "none", "pass", "fail", "softfail", "policy", "temperror", "permerror"}
	reasonWords = []string{"other", "local_policy", "mailing_list", "policy_test_mode", "trusted_forwarder"}
)

// Record writes one record. The order of its signatures is the caller's (RFC 9990 §3.1.3).
func (x *Writer) Record(r *Record) error {
	x.rows++
	x.raw(" <record>\n  <row>\n   <source_ip>" + r.IP.String() + "</source_ip>\n   <count>" + strconv.FormatInt(r.Count, 10) + "</count>\n   <policy_evaluated>\n")
	x.element("    ", "disposition", oneOf(r.Disposition, "none", "pass", "quarantine", "reject"))
	x.element("    ", "dkim", oneOf(r.DKIM, "fail", "pass"))
	x.element("    ", "spf", oneOf(r.SPF, "fail", "pass"))
	for _, o := range r.Reasons {
		x.raw("    <reason>\n")
		x.element("     ", "type", oneOf(o.Type, reasonWords...))
		x.optional("     ", "comment", o.Comment)
		x.raw("    </reason>\n")
	}
	x.raw("   </policy_evaluated>\n  </row>\n  <identifiers>\n")
	x.element("   ", "header_from", r.HeaderFrom)
	x.element("   ", "envelope_from", r.EnvelopeFrom)
	x.raw("  </identifiers>\n  <auth_results>\n")
	for _, d := range r.AuthDKIM[:min(len(r.AuthDKIM), 100)] {
		x.raw("   <dkim>\n")
		x.element("    ", "domain", d.Domain)
		x.element("    ", "selector", d.Selector)
		x.element("    ", "result", oneOf(d.Result, dkimWords...))
		x.raw("   </dkim>\n")
	}
	for _, s := range r.AuthSPF[:min(len(r.AuthSPF), 1)] {
		x.raw("   <spf>\n")
		x.element("    ", "domain", s.Domain)
		x.raw("    <scope>mfrom</scope>\n")
		x.element("    ", "result", oneOf(s.Result, spfWords...))
		x.raw("   </spf>\n")
	}
	x.raw("  </auth_results>\n </record>\n")
	return x.err
}

// Close ends the report. It does not close the writer beneath.
func (x *Writer) Close() error {
	x.raw("</feedback>\n")
	if x.err == nil && x.rows == 0 {
		x.err = ErrNoRecords
	}
	return errors.Join(x.err, x.w.Flush(), x.zip.Close())
}

// raw writes markup of ours.
func (x *Writer) raw(s string) {
	if x.err == nil {
		_, x.err = x.w.WriteString(s)
	}
}

// element writes an element. Its text may hold anything: see clean.
func (x *Writer) element(indent, name, text string) {
	x.raw(indent + "<" + name + ">")
	if x.err == nil {
		x.err = xml.EscapeText(x.w, []byte(clean(text)))
	}
	x.raw("</" + name + ">\n")
}

func (x *Writer) optional(indent, name, text string) {
	if text != "" {
		x.element(indent, name, text)
	}
}
