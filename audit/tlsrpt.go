package audit

import (
	"fmt"
	"strings"

	"postseal/domain"
	"postseal/internal/app/repair"
)

// TLSRPT says where senders report failures of TLS (RFC 8460).
type TLSRPT struct {
	Status
	Record string   `json:"record"`
	RUA    []string `json:"rua"`
}

func (r *run) tlsrpt() {
	rec := &r.report.Records.TLSRPT
	rec.RUA = []string{}
	rec.Status, rec.Record, r.rptTexts = r.transportRecord(transportKind{"TLS-RPT", "tlsrpt", "_smtp._tls.", "v=TLSRPTv1", "tlsrpt.syntax", repair.LooksLikeTLSRPT})
	if rec.Record == "" {
		return
	}
	rua, err := ParseTLSRPT(rec.Record)
	if err != nil {
		r.find("tlsrpt.syntax", Where{rec.Name, err.Offset, rec.Record}, err.Msg, "")
		return
	}
	rec.RUA = rua
	for _, uri := range rua {
		d, err := domain.Parse(uriHost(uri))
		if err != nil || !strings.EqualFold(uri[:min(len(uri), 7)], "mailto:") {
			continue
		}
		at := Where{Name: rec.Name, Record: rec.Record, Offset: max(strings.Index(rec.Record, uri), 0)}
		if own, free := r.unregistered(string(d)); free {
			r.find("tlsrpt.rua-domain", at, fmt.Sprintf("rua: %s does not exist: anyone who registers it can read the reports about %s", own, r.name), "")
			continue
		}
		r.takesMail(d, "TLS-RPT rua", at)
	}
}

// ParseTLSRPT reads the text of a record at _smtp._tls (RFC 8460 §3).
func ParseTLSRPT(text string) (rua []string, err *SyntaxError) {
	rua = []string{}
	for i, f := range fields(text) {
		switch {
		case !f.equals:
			return nil, &SyntaxError{f.nameOffset, quote(f.name) + ` has no "="`}
		case i == 0 && (f.name != "v" || f.value != "TLSRPTv1"):
			return nil, &SyntaxError{f.nameOffset, "the record does not start with v=TLSRPTv1"}
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
		return nil, &SyntaxError{len(text), "rua is missing"}
	}
	return rua, nil
}
