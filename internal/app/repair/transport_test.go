package repair

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"
)

func TestTransport(t *testing.T) {
	for _, test := range []struct {
		fix        func(...string) (string, error)
		text, want string
	}{
		{STS, "v=STSv1; id=20260101;", "v=STSv1; id=20260101;"},
		{STS, "\"v=STSv1; id=20260101\"", "v=STSv1; id=20260101;"},
		{STS, "v=STSV1 id=2026-01-01T00:00", "v=STSv1; id=20260101T0000;"},
		{STS, "v=STS1; id: 5", "v=STSv1; id=5;"},
		{STS, "v=STSv1;", ""},
		{STS, "hello", ""},
		{TLSRPT, "v=TLSRPTv1; rua=mailto:t@a.test", "v=TLSRPTv1; rua=mailto:t@a.test"},
		{TLSRPT, "\u201cv=TLSRPTV1, rua=t@a.test; mailto:u@a.test\u201d", "v=TLSRPTv1; rua=mailto:t@a.test,mailto:u@a.test"},
		{TLSRPT, "v=TLS-RPTv1;rau=https://a.test/r", "v=TLSRPTv1; rua=https://a.test/r"},
		{TLSRPT, "v=TLSRPTv1; rua=postmaster", ""},
		{TLSRPT, "v=TLSRPTv1;", ""},
		{BIMI, "v=bimi1, l=https://a.test/l.svg, a=https://a.test/m.pem", "v=BIMI1; l=https://a.test/l.svg; a=https://a.test/m.pem;"},
		{BIMI, "\ufeffv=BIMI1;l=https://a.test/l.svg;a=", "v=BIMI1; l=https://a.test/l.svg;"},
		{BIMI, "v=BIMI1; l=http://a.test/l.svg", ""},
		{BIMI, "v=BIMI1; https://a.test/l.svg", ""},
		{BIMI, "v=BIMI1; l=https://a.test/l.svg; https://a.test/m.pem", ""},
	} {
		if got, err := test.fix(test.text); got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%q became %q, %v; want %q", test.text, got, err, test.want)
		}
	}
}

func TestKey(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, _ := x509.MarshalPKIXPublicKey(&key.PublicKey)
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(key)
	p := base64.StdEncoding.EncodeToString(der)
	for !strings.Contains(p, "+") {
		key, _ = rsa.GenerateKey(rand.Reader, 2048)
		der, _ = x509.MarshalPKIXPublicKey(&key.PublicKey)
		p = base64.StdEncoding.EncodeToString(der)
	}
	whole := "v=DKIM1; k=rsa; p=" + p
	for _, test := range []struct {
		name, text string
		lengths    []int
		want       string
		fault      KeyFault
	}{
		{"whole", whole, nil, whole, OtherFault},
		{"quotes", `"` + whole[:255] + `" "` + whole[255:] + `"`, nil, whole, OtherFault},
		{"BOM", "\ufeff" + whole, nil, whole, OtherFault},
		{"backslashes", strings.ReplaceAll(whole, ";", `\;`), nil, whole, OtherFault},
		{"HTML", strings.ReplaceAll(whole, "+", "&#43;"), nil, whole, OtherFault},
		{"version", "k=rsa; v=dkim1; p=" + p, nil, whole, OtherFault},
		{"no separators", "v=DKIM1 k=rsa p=" + p, nil, whole, OtherFault},
		{"PEM", "v=DKIM1; k=rsa; p=-----BEGIN PUBLIC KEY----- " + p[:64] + " " + p[64:] + " -----END PUBLIC KEY-----", nil, whole, OtherFault},
		{"the key alone", p, nil, "v=DKIM1; p=" + p, OtherFault},
		{"PEM alone", "-----BEGIN PUBLIC KEY-----\n" + p[:64] + "\n" + p[64:] + "\n-----END PUBLIC KEY-----\n", nil, "v=DKIM1; p=" + p, OtherFault},
		{"an Ed25519 key alone", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", nil, "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", OtherFault},
		{"obsolete", "v=DKIM1; g=*; h=sha1; s=tlsrpt; k=rsa; p=" + p, nil, "v=DKIM1; h=sha256; k=rsa; p=" + p, OtherFault},
		{"plus", strings.ReplaceAll(whole, "+", " "), nil, whole, PlusLost},
		{"order", whole[255:] + whole[:255], []int{len(whole) - 255, 255}, whole, StringOrder},
		{"Ed25519", "v=DKIM1; k=rsa; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", nil, "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", WrongType},
		{"cut", whole[:255], []int{255}, "", Truncated},
		{"private", "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(pkcs8), nil, "", PrivateKey},
		{"private, cut", ("v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PrivateKey(key)))[:255], nil, "", PrivateKey},
		{"two keys", whole + "; p=" + strings.Replace(p, "A", "B", 1), nil, "", OtherFault},
		{"nothing", "v=DKIM1; k=rsa", nil, "", OtherFault},
		{"SPF", "v=spf1 -all", nil, "", OtherFault},
	} {
		got, fault, err := Key(test.text, test.lengths)
		if got != test.want || fault != test.fault || (err == nil) != (test.want != "") {
			t.Errorf("%s: got %q, %q, %v; want %q, %q", test.name, got, fault, err, test.want, test.fault)
		}
	}
}
