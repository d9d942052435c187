package audit

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"slices"
	"time"
)

// The extended key usage of a mark certificate, and its logotype extension (RFC 3709, draft-fetch-validation-vmc-wchuang).
var (
	markUsage = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 31}
	logotype  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 12}
)

const maxChain = 10

// mark fetches the certificate of the logo and checks its chain as far as possible: no root
// list available to this program contains the roots of mark certificates. served is the image at l=,
// nil if it was not fetched.
func (r *run) mark(authority string, served []byte) string {
	at := Where{Name: authority}
	before := len(r.report.Findings)
	body, _, ok := r.fetch("bimi", authority, 256<<10, "bimi", at)
	if ok {
		for _, msg := range r.checkMark(body, served) {
			r.find("bimi.mark", at, msg, "")
		}
	}
	switch {
	case len(r.report.Findings) > before:
		return "bad"
	case !ok:
		return "unchecked"
	}
	return "ok, root not checked"
}

func (r *run) checkMark(data, served []byte) []string {
	chain, err := readChain(data)
	if err != nil {
		return []string{err.Error()}
	}
	var problems []string
	leaf := chain[0]
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	for i, c := range chain {
		if now().After(c.NotAfter) || now().Before(c.NotBefore) {
			problems = append(problems, fmt.Sprintf("certificate %d of the chain is valid only from %s to %s", i+1, c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly)))
		}
		if i > 0 {
			if err := chain[i-1].CheckSignatureFrom(c); err != nil {
				problems = append(problems, fmt.Sprintf("certificate %d of the chain did not issue the one before it", i+1))
			}
		}
	}
	if !slices.ContainsFunc(leaf.UnknownExtKeyUsage, markUsage.Equal) {
		problems = append(problems, "not a mark certificate: the extended key usage is missing")
	}
	if i := slices.IndexFunc(leaf.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(logotype) }); i < 0 {
		problems = append(problems, "the certificate contains no logo")
	} else {
		problems = append(problems, checkLogo(leaf.Extensions[i].Value, served)...)
	}
	if bytes.Equal(leaf.RawIssuer, leaf.RawSubject) {
		problems = append(problems, "the certificate was issued by its own subject, not by a mark verifying authority")
	}
	if !r.certified(leaf.DNSNames) {
		problems = append(problems, "the certificate is not for "+string(r.name))
	}
	return problems
}

func readChain(data []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for len(chain) < maxChain {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("the file contains %s, not only certificates", quote(block.Type))
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read", len(chain)+1)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("the file contains no certificate")
	}
	return chain, nil
}
