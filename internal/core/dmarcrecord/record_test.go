package dmarcrecord_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"postseal/internal/core/dmarcrecord"
)

// TestRecords: what of a record counts (RFC 9989 §4.7, §4.8, §4.10.1). "none" is not a record,
// "unusable" one that gives no policy.
func TestRecords(t *testing.T) {
	for text, want := range map[string]string{
		"v=DMARC1; p=reject":                            "p=reject",
		"v=DMARC1;p=reject;":                            "p=reject",
		"v=DMARC1; p=reject; ;":                         "p=reject",
		"v=DMARC1;; p=reject":                           "p=reject",
		"v = DMARC1 ; p = reject ":                      "p=reject",
		"V=DMARC1; P=Reject":                            "p=reject",
		"v=DMARC1;\tp=reject\t;\tsp\t=\tnone":           "p=reject sp=none",
		"v=DMARC1":                                      "unusable",
		"v=DMARC1;":                                     "unusable",
		"v=dmarc1; p=reject":                            "none",
		"v=DMARC1 p=reject":                             "none",
		"v=DMARC1, p=reject":                            "none",
		"v=DMARC1.0; p=reject":                          "none",
		"v=DMARC2; p=reject":                            "none",
		"v=DMARC; p=reject":                             "none",
		"v=\"DMARC1\"; p=reject":                        "none",
		" v=DMARC1; p=reject":                           "none",
		"\tv=DMARC1; p=reject":                          "none",
		"\r\n\tv=DMARC1; p=reject":                      "none",
		"\ufeffv=DMARC1; p=reject":                      "none",
		"v=DMARC1;\r\n p=reject\r\n;\r\n sp=none\r\n":   "p=reject sp=none",
		"v=DMARC1\\; p=reject":                          "none",
		"v=DMARC1; p=reject\\;":                         "unusable",
		";v=DMARC1; p=reject":                           "none",
		"p=reject; v=DMARC1":                            "none",
		"v; p=reject":                                   "none",
		"v=; p=reject":                                  "none",
		"":                                              "none",
		"v":                                             "none",
		"version=DMARC1; p=reject":                      "none",
		"v=spf1 -all":                                   "none",
		"v=DMARC1; p=":                                  "unusable",
		"v=DMARC1; p":                                   "unusable",
		"v=DMARC1; p reject":                            "unusable",
		"v=DMARC1; p=reject none":                       "unusable",
		"v=DMARC1; p=rejected":                          "unusable",
		"v=DMARC1; p='reject'":                          "unusable",
		"v=DMARC1; p:reject":                            "unusable",
		"v=DMARC1; p=reject, sp=none":                   "unusable",
		"v=DMARC1; p==reject":                           "unusable",
		"v=DMARC1; p=ſreject":                           "unusable",
		"v=DMARC1; p=reject\x00":                        "unusable",
		"v=DMARC1; p=reject\u00a0":                      "unusable",
		"v=DMARC1; p=reject; p=none":                    "p=reject",
		"v=DMARC1; p=none; p=reject":                    "p=none",
		"v=DMARC1; p=; p=reject":                        "unusable",
		"v=DMARC1; p=reject; v=DMARC1":                  "p=reject",
		"v=DMARC1; p=reject; sp=quarantine; np=none":    "p=reject sp=quarantine np=none",
		"v=DMARC1; sp=none; p=reject":                   "p=reject sp=none",
		"v=DMARC1; p=reject; sp=":                       "p=reject",
		"v=DMARC1; p=reject; np= ;sp= \t":               "p=reject",
		"v=DMARC1; p=; sp=reject":                       "unusable",
		"v=DMARC1; p=reject; np=x":                      "unusable",
		"v=DMARC1; p=reject; sp=x; rua=mailto:a@b.test": "p=none rua=1",
		"v=DMARC1; sp=reject; rua=mailto:a@b.test":      "p=none rua=1",
		"v=DMARC1; p=x; rua=mailto:a@b.test":            "p=none rua=1",
		"v=DMARC1; p=x; rua=https://b.test/r":           "p=none rua=1",
		"v=DMARC1; p=x; rua=a@b.test":                   "unusable",
		"v=DMARC1; p=x; rua=":                           "unusable",
		"v=DMARC1; p=x; rua=mailto:":                    "unusable",
		"v=DMARC1; p=x; rua=,mailto:a@b.test,":          "p=none rua=1",
		"v=DMARC1; p=x; ruf=mailto:a@b.test":            "unusable",
		"v=DMARC1; p=none; rua=mailto:a@b.test!10m":     "p=none rua=1",
		"v=DMARC1; p=none; rua=mailto:a@b.test!10x":     "p=none",
		"v=DMARC1; p=none; rua=mailto:a@b.test , mailto:c@d.test": "p=none rua=2",
		"v=DMARC1; p=none; rua=mailto:a@b.test mailto:c@d.test":   "p=none",
		"v=DMARC1; p=none; psd=y":                                 "p=none psd=y",
		"v=DMARC1; p=none; psd=N":                                 "p=none psd=n",
		"v=DMARC1; p=none; psd=x":                                 "p=none",
		"v=DMARC1; p=none; adkim=s; aspf=S":                       "p=none adkim=s aspf=s",
		"v=DMARC1; p=none; adkim=strict; aspf=":                   "p=none",
		"v=DMARC1; p=reject; t=y":                                 "p=reject t=y",
		"v=DMARC1; p=reject; t=Y":                                 "p=reject t=y",
		"v=DMARC1; p=reject; t=yes":                               "p=reject",
		"v=DMARC1; p=reject; pct=0; rf=afrf; ri=86400":            "p=reject",
		"v=DMARC1; p=reject; unknown=x; y":                        "p=reject",
		"v=DMARC1; p=reject; fo=1:d:s":                            "p=reject",
	} {
		if got := describe(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

// describe shows what is not a default.
func describe(text string) string {
	r, ok := dmarcrecord.Parse(text)
	switch {
	case !ok:
		return "none"
	case !r.Usable():
		return "unusable"
	}
	p := r.Published()
	var parts []string
	for _, tag := range [][3]string{{"p", p.P, ""}, {"sp", p.SP, ""}, {"np", p.NP, ""}, {"t", p.T, "n"}, {"psd", p.PSD, "u"}, {"adkim", p.ADKIM, "r"}, {"aspf", p.ASPF, "r"}} {
		if tag[1] != tag[2] {
			parts = append(parts, tag[0]+"="+tag[1])
		}
	}
	if len(r.RUA) > 0 {
		parts = append(parts, fmt.Sprintf("rua=%d", len(r.RUA)))
	}
	return strings.Join(parts, " ")
}

// FuzzRecord: no text panics, what is read is of the closed sets, and what is appended after
// ";" changes nothing that was there (the first of two tags counts).
func FuzzRecord(f *testing.F) {
	for _, seed := range []string{"v=DMARC1; p=reject; rua=mailto:a@b.test!10m,https://c.test; fo=1:d:s; t=y; psd=n", "V = DMARC1;p=reject", "v=DMARC1;;;=;p", "v=DMARC1; rua=mailto:%zz@", "v=DMARC1;fo=:"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		dmarcrecord.Lint(text)
		r, ok := dmarcrecord.Parse(text)
		if !ok {
			return
		}
		p := r.Published()
		policies := []string{"", "none", "quarantine", "reject"}
		if !slices.Contains(policies, p.P) || !slices.Contains(policies, p.SP) || !slices.Contains(policies, p.NP) || !strings.Contains("ynu", p.PSD) ||
			!strings.Contains("rs", p.ADKIM) || !strings.Contains("rs", p.ASPF) || r.Usable() && p.P == "" {
			t.Errorf("%q is %+v", text, p)
		}
		if again, ok := dmarcrecord.Parse(text + "; x=" + text); !ok || r.P != "" && again.P != r.P {
			t.Errorf("%q: a tag after it changes it: %+v", text, again)
		}
	})
}
