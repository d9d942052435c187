package audit_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"hash"
	"net/http"
	"strings"
	"testing"
	"time"

	"postseal/audit"
	"postseal/resolver/dnstest"
)

// logotype makes the extension of a certificate with an image (RFC 3709 §4.1).
func logotype(t *testing.T, image []byte, h hash.Hash) pkix.Extension {
	t.Helper()
	type hashed struct {
		Algorithm pkix.AlgorithmIdentifier
		Value     []byte
	}
	type details struct {
		MediaType string `asn1:"ia5"`
		Hash      []hashed
		URI       []asn1.RawValue
	}
	oid := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	if h.Size() == sha1.Size {
		oid = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	}
	h.Write(image)
	uri := asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(image))}
	images := []struct{ Details details }{{details{"image/svg+xml", []hashed{{pkix.AlgorithmIdentifier{Algorithm: oid}, h.Sum(nil)}}, []asn1.RawValue{uri}}}}
	value := marshal(t, images)
	for _, tag := range []int{0, 2} { // direct, subjectLogo
		value = marshal(t, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: true, Bytes: value})
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 12}, Value: marshal(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: value})}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// altered is an extension whose hash is another.
func altered(t *testing.T, image []byte, e pkix.Extension) pkix.Extension {
	t.Helper()
	sum := sha256.Sum256(image)
	return pkix.Extension{Id: e.Id, Value: bytes.Replace(e.Value, sum[:], make([]byte, len(sum)), 1)}
}

// TestMark: the certificate of a logo.
func TestMark(t *testing.T) {
	ca := newAuthority(t)
	const svg = `<svg version="1.2" baseProfile="tiny-ps"><title>A</title></svg>`
	logo, zipped := logotype(t, []byte(svg), sha256.New()), logotype(t, gzipped(t, svg), sha1.New())
	usage := []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 31}}
	pemOf := func(chain ...*x509.Certificate) string {
		var b strings.Builder
		for _, c := range chain {
			pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
		}
		return b.String()
	}
	chain := func(template *x509.Certificate, more ...*x509.Certificate) string {
		cert, _ := ca.sign(t, template)
		return pemOf(append([]*x509.Certificate{cert}, more...)...)
	}
	self, _ := new(certAuthority).sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "A"}, DNSNames: []string{"a.test"}, UnknownExtKeyUsage: usage, ExtraExtensions: []pkix.Extension{logo}})
	mark := func(e pkix.Extension) string {
		return chain(&x509.Certificate{Subject: pkix.Name{CommonName: "A"}, DNSNames: []string{"a.test"}, UnknownExtKeyUsage: usage, ExtraExtensions: []pkix.Extension{e}})
	}
	past := time.Now().Add(-48 * time.Hour)
	for _, test := range []struct{ name, body, want string }{
		{"good", chain(&x509.Certificate{DNSNames: []string{"a.test"}, UnknownExtKeyUsage: usage, ExtraExtensions: []pkix.Extension{logo}}, ca.cert), ""},
		{"the selector's name", chain(&x509.Certificate{DNSNames: []string{"default._bimi.a.test"}, UnknownExtKeyUsage: usage, ExtraExtensions: []pkix.Extension{logo}}), ""},
		{"another domain", chain(&x509.Certificate{DNSNames: []string{"b.test"}, UnknownExtKeyUsage: usage, ExtraExtensions: []pkix.Extension{logo}}), "is not for a.test"},
		{"a web certificate", chain(&x509.Certificate{DNSNames: []string{"a.test"}, ExtraExtensions: []pkix.Extension{logo}}), "not a mark certificate"},
		{"no logo", chain(&x509.Certificate{DNSNames: []string{"a.test"}, UnknownExtKeyUsage: usage}), "contains no logo"},
		{"expired", chain(&x509.Certificate{DNSNames: []string{"a.test"}, UnknownExtKeyUsage: usage, ExtraExtensions: []pkix.Extension{logo}, NotBefore: past, NotAfter: past.Add(time.Hour)}), "is valid only from"},
		{"broken chain", chain(&x509.Certificate{DNSNames: []string{"a.test"}, UnknownExtKeyUsage: usage, ExtraExtensions: []pkix.Extension{logo}}, newAuthority(t).cert), "did not issue"},
		{"compressed", mark(zipped), ""},
		{"no image", mark(pkix.Extension{Id: logo.Id, Value: []byte{0x30, 0}}), "contains no logo"},
		{"an extension that cannot be read", mark(pkix.Extension{Id: logo.Id, Value: []byte{0x30, 4, 0xa2, 2, 5, 0}}), "cannot be read"},
		{"the hash of another logo", mark(altered(t, []byte(svg), logo)), "the hash in the certificate"},
		{"another logo", mark(logotype(t, []byte("<svg/>"), sha256.New())), "differs from the one at l="},
		{"a logo that expands without end", mark(logotype(t, gzipped(t, strings.Repeat(" ", 2<<20)), sha256.New())), "cannot be read"},
		{"issued by itself", pemOf(self), "issued by its own subject"},
		{"no certificate", "hello\n", "contains no certificate"},
	} {
		z, err := dnstest.Parse(sane + "default._bimi.a.test. TXT \"v=BIMI1; l=https://a.test/l.svg; a=https://a.test/m.pem\"\n")
		if err != nil {
			t.Fatal(err)
		}
		v := vector{files: map[string]string{
			"fires.https://a.test/l.svg": "HTTP/1.1 200 OK\n\n" + svg,
			"fires.https://a.test/m.pem": "HTTP/1.1 200 OK\n\n" + test.body,
		}}
		r := (&audit.Auditor{Resolver: z, HTTP: &http.Client{Transport: fakeWeb{&v, "fires"}}}).Audit(t.Context(), "a.test", audit.Options{})
		f := finding(r, "bimi.mark")
		if (f == nil) != (test.want == "") || f != nil && !strings.Contains(f.Detail, test.want) {
			t.Errorf("%s: got %+v, want %q", test.name, f, test.want)
		}
		if test.want == "" && (r.Records.BIMI.Logo != "ok" || r.Records.BIMI.Certificate != "ok, root not checked") {
			t.Errorf("%s: %+v", test.name, r.Records.BIMI)
		}
	}
}
