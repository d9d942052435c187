package audit

import (
	"fmt"
	"strings"

	"postseal/resolver"
)

// TLSRPT is where senders report failures of TLS (RFC 8460).
type TLSRPT struct {
	Status
	Record string   `json:"record"`
	RUA    []string `json:"rua"`
}

func (r *run) tlsrpt() {
	name := "_smtp._tls." + string(r.name)
	a, state := r.ask("tls-rpt", name, resolver.TXT, false)
	rec := &r.report.Records.TLSRPT
	rec.Status, rec.RUA = r.status(name, state), []string{}
	texts := beginning(a, "v=TLSRPTv1")
	switch {
	case state == Failed:
		return
	case len(texts) == 0:
		if rec.State == Found {
			rec.State = NoData
		}
		if r.report.Profile.Receives() {
			r.find("tlsrpt.missing", Where{Name: name}, "no TLS-RPT record at "+name, "")
		}
		return
	case len(texts) > 1:
		r.find("tlsrpt.multiple", Where{Name: name, Record: texts[1]}, fmt.Sprintf("%s has %d records", name, len(texts)), "")
		return
	}
	rec.Record = texts[0]
	rua, err := ParseTLSRPT(texts[0])
	if err != nil {
		r.find("tlsrpt.syntax", Where{name, err.Offset, texts[0]}, err.Msg, "")
		return
	}
	rec.RUA = rua
}

// ParseTLSRPT reads the text of a record at _smtp._tls (RFC 8460 §3).
func ParseTLSRPT(text string) (rua []string, err *SyntaxError) {
	rua = []string{}
	for i, f := range fields(text) {
		switch {
		case !f.equals:
			return nil, &SyntaxError{f.nameOffset, quote(f.name) + ` has no "="`}
		case i == 0 && (f.name != "v" || f.value != "TLSRPTv1"):
			return nil, &SyntaxError{f.nameOffset, "the record does not begin with v=TLSRPTv1"}
		case f.name != "rua":
			continue
		}
		offset := f.valueOffset
		for uri := range strings.SplitSeq(f.value, ",") {
			u := strings.Trim(uri, " \t")
			if scheme, rest, ok := strings.Cut(u, ":"); !ok || rest == "" || !strings.EqualFold(scheme, "mailto") && !strings.EqualFold(scheme, "https") {
				return nil, &SyntaxError{offset, "rua " + quote(u) + " is neither mailto: nor https:"}
			}
			if len(rua) < maxURIs {
				rua = append(rua, u)
			}
			offset += len(uri) + 1
		}
	}
	if len(rua) == 0 {
		return nil, &SyntaxError{len(text), "there is no rua"}
	}
	return rua, nil
}
