package dkim_test

import (
	"crypto"
	"fmt"
	"strings"
	"testing"
	"time"

	"postseal/dkim"
	"postseal/internal/core/signature"
	"postseal/lab/reference"
	"postseal/message"
	"postseal/resolver/dnstest"
)

const plain = "From: Dana Doe <dana@acme.test>\r\nTo: erin@example.net\r\nSubject:  two  spaces \r\nDate: Mon, 2 Nov 2026 09:05:41 +0100\r\n\r\n" +
	"Only below  ten metres. \r\n\r\nDana\r\n"

// bodyLength is that of the relaxed body of plain.
const bodyLength = 32

func rsaKey(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := reference.ReadKey("../testdata/keys/main._domainkey.simple.example.pem")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func zone(t testing.TB, lines ...string) *dnstest.Zone {
	t.Helper()
	z, err := dnstest.Parse(strings.Join(lines, "\n") + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// keyAt is the zone line of a key record.
func keyAt(name, record string) string { return name + ". 60 TXT " + reference.TXT(record) }

func verify(t testing.TB, v dkim.Verifier, text string) []dkim.Result {
	t.Helper()
	v.Now = clock
	got, err := v.Verify(t.Context(), strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// outcome is "result Reason", of several signatures separated by commas.
func outcome(all []dkim.Result) string {
	var parts []string
	for _, s := range all {
		parts = append(parts, string(s.Code)+" "+strings.TrimPrefix(string(s.Reason), "dkim."))
	}
	return strings.Join(parts, ", ")
}

var with, canonical = reference.With, reference.Canonical

// unpadded takes the padding of the body hash away.
func unpadded(s reference.Signature) reference.Signature {
	return s.With(";\r\n\th=From:To:Subject:Date; bh={bh};", ";\r\n\th=From:To:Subject:Date; bh="+strings.TrimSuffix(reference.BodySum("relaxed", "Only below  ten metres. \r\n\r\nDana\r\n"), "=")+";")
}

// TestTags: each rule of RFC 6376 §3.5 and §6.1.1. The signature itself is right, so that
// nothing but the rule can refuse it.
func TestTags(t *testing.T) {
	for name, tt := range map[string]struct {
		change reference.Change
		want   string
	}{
		"as it is":              {with("v=1;", "v=1;"), "pass Valid"},
		"v=2":                   {with("v=1;", "v=2;"), "permerror UnknownVersion"},
		"v=1.0":                 {with("v=1;", "v=1.0;"), "permerror UnknownVersion"},
		"v empty":               {with("v=1;", "v=;"), "permerror UnknownVersion"},
		"no v":                  {with("v=1;", ""), "neutral MissingTag"},
		"v is last":             {with("v=1;", "").And("b={b}", "b={b}; v=1"), "pass Valid"},
		"white space":           {with("v=1;", "\r\n\t v\r\n = \r\n\t1 \r\n ;"), "pass Valid"},
		"; at the end":          {with("b={b}", "b={b};"), "pass Valid"},
		"; and a fold":          {with("b={b}", "b={b};\r\n "), "pass Valid"},
		";; at the end":         {with("b={b}", "b={b};;"), "neutral Malformed"},
		";; inside":             {with("v=1;", "v=1;;"), "neutral Malformed"},
		"; first":               {with("v=1;", ";v=1;"), "neutral Malformed"},
		"no =":                  {with("v=1;", "v=1; foo;"), "neutral Malformed"},
		"no tag name":           {with("v=1;", "v=1; =foo;"), "neutral Malformed"},
		"tag name with a digit": {with("v=1;", "v=1; a1_B=foo;"), "pass Valid"},
		"tag name by a digit":   {with("v=1;", "v=1; 1a=foo;"), "neutral Malformed"},
		"tag name with a -":     {with("v=1;", "v=1; x-y=foo;"), "neutral Malformed"},
		"unknown tag":           {with("v=1;", "v=1; foo=bar=baz;"), "pass Valid"},
		"unknown tag, empty":    {with("v=1;", "v=1; foo=;"), "pass Valid"},
		"unknown tag twice":     {with("v=1;", "v=1; foo=; foo=;"), "neutral Malformed"},
		"tag twice":             {with("s=s;", "s=s; s=s;"), "neutral Malformed"},
		"S is not s":            {with("s=s;", "s=s; S=other;"), "pass Valid"},
		"control character":     {with("v=1;", "v=1; foo=\x01;"), "neutral Malformed"},
		"UTF-8 in a value":      {with("v=1;", "v=1; foo=ü;"), "pass Valid"},
		"b inside another tag":  {with("v=1;", "v=1; foo=b=x;"), "pass Valid"},
		"b after bh":            {with("bh={bh};\r\n\tb={b}", "b={b}; bh={bh}"), "pass Valid"},
		"no a":                  {with("a=rsa-sha256;", ""), "neutral MissingTag"},
		"a empty":               {with("a=rsa-sha256;", "a=;"), "permerror AlgorithmUnknown"},
		"a unknown":             {with("a=rsa-sha256;", "a=rsa-sha512;"), "permerror AlgorithmUnknown"},
		"a in upper case":       {with("a=rsa-sha256;", "a=RSA-SHA256;"), "permerror AlgorithmUnknown"},
		"rsa-sha1":              {with("a=rsa-sha256;", "a=rsa-sha1;"), "permerror AlgorithmForbidden"},
		"no b":                  {with(";\r\n\tb={b}", ""), "neutral MissingTag"},
		"b empty":               {with("b={b}", "b="), "neutral Malformed"},
		"b with folds":          {with("b={b}", "b=\r\n\t {b} \r\n "), "pass Valid"},
		"b is no base64":        {with("b={b}", "b={b}!"), "neutral Malformed"},
		"bh without padding":    {unpadded, "pass Valid"},
		"b cut":                 {with("b={b}", "b=QUJD"), "fail SignatureMismatch"},
		"no bh":                 {with("bh={bh};", ""), "neutral MissingTag"},
		"bh empty":              {with("bh={bh}", "bh="), "neutral Malformed"},
		"bh too short":          {with("bh={bh}", "bh=QUJD"), "neutral Malformed"},
		"bh of something else":  {with("bh={bh}", "bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="), "fail BodyHashMismatch"},
		"no c, signed relaxed":  {with("c=relaxed/relaxed;", ""), "fail BodyHashMismatch"},
		"no c, signed simple":   {canonical("simple", "simple").And("c=simple/simple;", ""), "pass Valid"},
		"c=relaxed":             {canonical("relaxed", "simple").And("c=relaxed/simple;", "c=relaxed;"), "pass Valid"},
		"c=simple":              {canonical("simple", "simple").And("c=simple/simple;", "c=simple;"), "pass Valid"},
		"c empty":               {with("c=relaxed/relaxed", "c="), "permerror CanonicalUnknown"},
		"c with half a word":    {with("c=relaxed/relaxed", "c=relaxed/"), "permerror CanonicalUnknown"},
		"c with three words":    {with("c=relaxed/relaxed", "c=relaxed/relaxed/relaxed"), "permerror CanonicalUnknown"},
		"c unknown":             {with("c=relaxed/relaxed", "c=nowsp"), "permerror CanonicalUnknown"},
		"c in upper case":       {with("c=relaxed/relaxed", "c=Relaxed/relaxed"), "permerror CanonicalUnknown"},
		"simple/relaxed":        {canonical("simple", "relaxed"), "pass Valid"},
		"relaxed/simple":        {canonical("relaxed", "simple"), "pass Valid"},
		"no d":                  {with("d=acme.test;", ""), "neutral MissingTag"},
		"d empty":               {with("d=acme.test;", "d=;"), "neutral Malformed"},
		"d with a dot at end":   {with("d=acme.test;", "d=acme.test.;"), "neutral Malformed"},
		"d with an empty label": {with("d=acme.test;", "d=acme..test;"), "neutral Malformed"},
		"d with a space":        {with("d=acme.test;", "d=acme .test;"), "neutral Malformed"},
		"d with a parenthesis":  {with("d=acme.test;", "d=acme.test(.evil.test;"), "neutral Malformed"},
		"d in upper case":       {with("d=acme.test;", "d=ACME.Test;"), "pass Valid"},
		"d is a suffix":         {with("d=acme.test;", "d=co.uk;"), "policy PublicSuffix"},
		"d is a TLD":            {with("d=acme.test;", "d=test;"), "policy PublicSuffix"},
		"d is a private suffix": {with("d=acme.test;", "d=github.io;"), "pass Valid"},
		"no s":                  {with("s=s;", ""), "neutral MissingTag"},
		"s empty":               {with("s=s;", "s=;"), "neutral Malformed"},
		"s of two labels":       {with("s=s;", "s=s.two;"), "pass Valid"},
		"s with a slash":        {with("s=s;", "s=s/2;"), "neutral Malformed"},
		"no h":                  {with("h=From:To:Subject:Date;", ""), "neutral MissingTag"},
		"h empty":               {with("h=From:To:Subject:Date;", "h=;"), "neutral Malformed"},
		"h without From":        {with("h=From:To:Subject:Date;", "h=To:Subject:Date;").Signing("To", "Subject", "Date"), "permerror FromNotSigned"},
		"h with From alone":     {with("h=From:To:Subject:Date;", "h=from;").Signing("From"), "pass Valid"},
		"h with an empty name":  {with("From:To", "From::To"), "neutral Malformed"},
		"h with a name of two":  {with("From:To", "From:T o"), "neutral Malformed"},
		"h with folds":          {with("From:To:Subject:Date", "FROM \r\n\t:\r\n To: Subject :Date"), "pass Valid"},
		"h in another order":    {with("From:To", "To:From"), "fail SignatureMismatch"},
		"h over-signed":         {with("Subject:Date", "Subject:Date:From:From:X-None"), "pass Valid"},
		"h names itself":        {with("Subject:Date", "Subject:Date:DKIM-Signature"), "pass Valid"},
		"no i":                  {with("v=1;", "v=1;"), "pass Valid"},
		"i is d":                {with("v=1;", "v=1; i=@acme.test;"), "pass Valid"},
		"i below d":             {with("v=1;", "v=1; i=dana@mail.ACME.test;"), "pass Valid"},
		"i above d":             {with("v=1;", "v=1; i=@test;"), "permerror IdentityMismatch"},
		"i beside d":            {with("v=1;", "v=1; i=@evil-acme.test;"), "permerror IdentityMismatch"},
		"i of another":          {with("v=1;", "v=1; i=@evil.test;"), "permerror IdentityMismatch"},
		"i without @":           {with("v=1;", "v=1; i=acme.test;"), "neutral Malformed"},
		"i empty":               {with("v=1;", "v=1; i=;"), "neutral Malformed"},
		"i with two @":          {with("v=1;", "v=1; i=a@b@acme.test;"), "pass Valid"},
		"i quoted-printable":    {with("v=1;", "v=1; i=dana=2Bx=40home@ac=6Dme.test;"), "permerror IdentityMismatch"},
		"i quoted, folded":      {with("v=1;", "v=1; i=da\r\n\tna=2Bx @acme.test;"), "pass Valid"},
		"i badly quoted":        {with("v=1;", "v=1; i=dana=2@acme.test;"), "neutral Malformed"},
		"q":                     {with("v=1;", "v=1; q=dns/txt;"), "pass Valid"},
		"q unknown":             {with("v=1;", "v=1; q=http/get;"), "permerror QueryUnknown"},
		"q empty":               {with("v=1;", "v=1; q=;"), "permerror QueryUnknown"},
		"q known among others":  {with("v=1;", "v=1; q=http/get : dns/txt;"), "pass Valid"},
		"t":                     {with("v=1;", "v=1; t=1793606400;"), "pass Valid"},
		"t=0":                   {with("v=1;", "v=1; t=0;"), "pass Valid"},
		"t empty":               {with("v=1;", "v=1; t=;"), "neutral Malformed"},
		"t negative":            {with("v=1;", "v=1; t=-1;"), "neutral Malformed"},
		"t of 13 digits":        {with("v=1;", "v=1; t=1793606400000;"), "neutral Malformed"},
		"t an hour ahead":       {with("v=1;", fmt.Sprintf("v=1; t=%d;", clock().Unix()+3600)), "pass Valid"},
		"t more than an hour":   {with("v=1;", fmt.Sprintf("v=1; t=%d;", clock().Unix()+3601)), "policy InFuture"},
		"x not over":            {with("v=1;", fmt.Sprintf("v=1; x=%d;", clock().Unix()-300)), "pass Valid"},
		"x over":                {with("v=1;", fmt.Sprintf("v=1; x=%d;", clock().Unix()-301)), "permerror Expired"},
		"x of 12 digits":        {with("v=1;", "v=1; x=999999999999;"), "pass Valid"},
		"x is t":                {with("v=1;", "v=1; t=1793700000; x=1793700000;"), "neutral Malformed"},
		"x before t":            {with("v=1;", "v=1; t=1793700001; x=1793700000;"), "neutral Malformed"},
		"x is no number":        {with("v=1;", "v=1; x=never;"), "neutral Malformed"},
		"l of the whole body":   {with("v=1;", fmt.Sprintf("v=1; l=%d;", bodyLength)), "pass Valid"},
		"l beyond the body":     {with("v=1;", fmt.Sprintf("v=1; l=%d;", bodyLength+1)), "permerror LimitBeyondBody"},
		"l of 76 digits":        {with("v=1;", "v=1; l="+strings.Repeat("9", 76)+";"), "permerror LimitBeyondBody"},
		"l of 77 digits":        {with("v=1;", "v=1; l="+strings.Repeat("9", 77)+";"), "neutral Malformed"},
		"l beyond 64 bits":      {with("v=1;", "v=1; l=18446744073709551648;"), "permerror LimitBeyondBody"},
		"l of a part":           {with("v=1;", "v=1; l=10;").Hashing(10), "policy BodyNotCovered"},
		"l of a part, wrong":    {with("v=1;", "v=1; l=10;").Hashing(11), "fail BodyHashMismatch"},
		"l=0":                   {with("v=1;", "v=1; l=0;").Hashing(0), "policy BodyNotCovered"},
		"l negative":            {with("v=1;", "v=1; l=-1;"), "neutral Malformed"},
		"l empty":               {with("v=1;", "v=1; l=;"), "neutral Malformed"},
		"z is ignored":          {with("v=1;", "v=1; z=From:foo=20bar|To:x;"), "pass Valid"},
	} {
		key := rsaKey(t)
		record := reference.Record(key)
		z := zone(t, keyAt("s._domainkey.acme.test", record), keyAt("s.two._domainkey.acme.test", record), keyAt("s._domainkey.co.uk", record),
			keyAt("s._domainkey.test", record), keyAt("s._domainkey.github.io", record))
		text := tt.change(reference.DKIM("acme.test", "s", key)).Sign(plain)
		if got := outcome(verify(t, dkim.Verifier{Resolver: z}, text)); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}

// TestEmptyBody: relaxed makes nothing of it, simple a line ending (RFC 6376 §3.4.3, §3.4.4).
func TestEmptyBody(t *testing.T) {
	key := rsaKey(t)
	z := zone(t, keyAt("s._domainkey.acme.test", reference.Record(key)))
	for _, body := range []string{"", "\r\n", "\r\n\r\n\r\n", " \r\n\t\r\n", "x", "x\r", "\r", "\n", "x\n"} {
		for _, c := range []string{"simple", "relaxed"} {
			text := reference.DKIM("acme.test", "s", key).Canonical("relaxed", c).Sign("From: a@acme.test\r\n\r\n" + body)
			if got := outcome(verify(t, dkim.Verifier{Resolver: z}, text)); got != "pass Valid" {
				t.Errorf("%s %q: got %s", c, body, got)
			}
		}
	}
	for _, c := range []string{"simple", "relaxed"} {
		text := reference.DKIM("acme.test", "s", key).Canonical("relaxed", c).Sign("From: a@acme.test\r\n")
		if got := outcome(verify(t, dkim.Verifier{Resolver: z}, text)); got != "pass Valid" {
			t.Errorf("%s, no body at all: got %s", c, got)
		}
	}
	// l=0 covers an empty body, and is never accepted for another (RFC 6376 §8.2).
	s := with("v=1;", "v=1; l=0;").Hashing(0)(reference.DKIM("acme.test", "s", key))
	for _, partial := range []bool{false, true} {
		text := s.Sign("From: a@acme.test\r\n\r\n")
		for appended, want := range map[string]string{"": "pass Valid", "x": "policy BodyNotCovered"} {
			got := outcome(verify(t, dkim.Verifier{Resolver: z, AllowPartialBody: partial}, text+appended))
			if got != want {
				t.Errorf("l=0 of the body %q: got %s, want %s", appended, got, want)
			}
		}
	}
}

func TestPartialBody(t *testing.T) {
	key := rsaKey(t)
	z := zone(t, keyAt("s._domainkey.acme.test", reference.Record(key)))
	text := with("v=1;", fmt.Sprintf("v=1; l=%d;", bodyLength))(reference.DKIM("acme.test", "s", key)).Sign(plain)
	for _, tt := range []struct {
		text    string
		partial bool
		want    string
	}{
		{text, false, "pass Valid"},
		{text + "evil\r\n", false, "policy BodyNotCovered"},
		{text + "evil\r\n", true, "pass Valid"},
		{text + "\r\n\r\n", false, "pass Valid"}, // blank lines at the end are not part of the body
	} {
		got := verify(t, dkim.Verifier{Resolver: z, AllowPartialBody: tt.partial}, tt.text)
		if outcome(got) != tt.want || got[0].BodyLength != bodyLength || got[0].CoveredAll == strings.HasSuffix(tt.text, "evil\r\n") {
			t.Errorf("%t: got %s, %+v, want %s", tt.partial, outcome(got), got[0], tt.want)
		}
	}
}

// TestKeyRecords: each rule of RFC 6376 §3.6.1 and §6.1.2.
func TestKeyRecords(t *testing.T) {
	key, ed := rsaKey(t), reference.Ed25519("acme.test")
	p, edP := reference.PublicText(key), reference.PublicText(ed)
	for name, tt := range map[string]struct{ record, want string }{
		"p alone":               {"p=" + p, "pass Valid"},
		"p without padding":     {"p=" + strings.TrimRight(p, "="), "pass Valid"},
		"all tags":              {"v=DKIM1; h=sha1:sha256; k=rsa; n=some=20note; s=email; t=; x=y; p=" + p + ";", "pass Valid"},
		"white space":           {" v = DKIM1 ; k = rsa ; p = " + p[:20] + " \t" + p[20:], "pass Valid"},
		"v second":              {"k=rsa; v=DKIM1; p=" + p, "permerror KeyMalformed"},
		"v=DKIM2":               {"v=DKIM2; p=" + p, "permerror KeyMalformed"},
		"v=dkim1":               {"v=dkim1; p=" + p, "permerror KeyMalformed"},
		"v empty":               {"v=; p=" + p, "permerror KeyMalformed"},
		"k empty":               {"k=; p=" + p, "permerror KeyTypeMismatch"},
		"k unknown":             {"k=dsa; p=" + p, "permerror KeyTypeMismatch"},
		"k in upper case":       {"k=RSA; p=" + p, "permerror KeyTypeMismatch"},
		"another type":          {"k=ed25519; p=" + edP, "permerror KeyTypeMismatch"},
		"h=sha256":              {"h=sha256; p=" + p, "pass Valid"},
		"h with white space":    {"h= sha1 : sha256 ; p=" + p, "pass Valid"},
		"h=sha1":                {"h=sha1; p=" + p, "permerror KeyHashForbidden"},
		"h=sha2567":             {"h=sha2567; p=" + p, "permerror KeyHashForbidden"},
		"h empty":               {"h=; p=" + p, "permerror KeyHashForbidden"},
		"s=*":                   {"s=*; p=" + p, "pass Valid"},
		"s=other:email":         {"s=other:email; p=" + p, "pass Valid"},
		"s=tlsrpt":              {"s=tlsrpt; p=" + p, "permerror KeyNotForEmail"},
		"s empty":               {"s=; p=" + p, "permerror KeyNotForEmail"},
		"t=y":                   {"t=y; p=" + p, "pass Valid"},
		"t=s, i is d":           {"t=y:s; p=" + p, "pass Valid"},
		"g is ignored":          {"g=nobody; p=" + p, "pass Valid"},
		"no p":                  {"v=DKIM1; k=rsa", "permerror KeyMalformed"},
		"p empty":               {"v=DKIM1; p=", "permerror KeyRevoked"},
		"p white space":         {"v=DKIM1; p= \t ", "permerror KeyRevoked"},
		"p is no base64":        {"p=" + p + "!", "permerror KeyMalformed"},
		"p is no key":           {"p=QUJDRA==", "permerror KeyMalformed"},
		"p of another type":     {"p=" + edP, "permerror KeyMalformed"},
		"tag twice":             {"k=rsa; k=rsa; p=" + p, "permerror KeyMalformed"},
		";; inside":             {"k=rsa;; p=" + p + ";;", "pass Valid"},
		"; first":               {";k=rsa; p=" + p, "pass Valid"},
		"only ;":                {" ; ;", "permerror KeyMalformed"},
		"hyphen in a name":      {"k=rsa; x-note=1; p=" + p, "pass Valid"},
		"hyphen first":          {"k=rsa; -n=1; p=" + p, "permerror KeyMalformed"},
		"colon at the end of h": {"h=sha256:; p=" + p, "pass Valid"},
		"colon first in h":      {"h=:sha256; p=" + p, "pass Valid"},
		"v after k":             {"k=rsa; v=DKIM1; p=" + p, "permerror KeyMalformed"},
		"no tag list":           {"hello", "permerror KeyMalformed"},
		"an SPF record":         {"v=spf1 -all", "permerror KeyMalformed"},
		"in quotes":             {`"v=DKIM1; p=` + p + `"`, "permerror KeyMalformed"},
		"another key":           {"p=" + rsaPublic(t, "s2026._domainkey.acme.test"), "fail SignatureMismatch"},
		"too long for a record": {"n=" + strings.Repeat("x", 8<<10) + "; p=" + p, "permerror KeyMalformed"},
	} {
		z := zone(t, keyAt("s._domainkey.acme.test", tt.record))
		if got := outcome(verify(t, dkim.Verifier{Resolver: z}, reference.DKIM("acme.test", "s", key).Sign(plain))); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}

func rsaPublic(t testing.TB, name string) string {
	t.Helper()
	k, err := reference.ReadKey("../testdata/keys/" + name + ".pem")
	if err != nil {
		t.Fatal(err)
	}
	return reference.PublicText(k)
}

// TestTooMany: what is not evaluated is listed, the author's own signatures are evaluated
// first, and no number of others hides them (RFC 6376 §6.1).
func TestTooMany(t *testing.T) {
	own, other := rsaKey(t), reference.Ed25519("other.test")
	z := zone(t, keyAt("s._domainkey.mail.acme.test", reference.Record(own)), keyAt("s._domainkey.other.test", reference.Record(other)))
	text := reference.DKIM("mail.acme.test", "s", own).Sign(plain)
	for range 12 {
		text = reference.DKIM("other.test", "s", other).Sign(text)
	}
	got := verify(t, dkim.Verifier{Resolver: z}, text)
	counts := map[string]int{}
	for _, s := range got {
		counts[outcome([]dkim.Result{s})]++
	}
	if len(got) != 13 || counts["pass Valid"] != 10 || counts["policy TooManySignatures"] != 3 || got[12].Code != dkim.Pass {
		t.Errorf("got %v, the author's own %s", counts, got[12].Code)
	}
	got = verify(t, dkim.Verifier{Resolver: z}, strings.Repeat("DKIM-Signature: x\r\n", 1500)+plain)
	counts = map[string]int{}
	for _, s := range got {
		counts[outcome([]dkim.Result{s})]++
	}
	if counts["neutral Malformed"] != 200 || counts["policy TooManySignatures"] != 1300 {
		t.Errorf("got %v", counts)
	}
	signed := reference.DKIM("mail.acme.test", "s", own).Sign(plain)
	for _, junk := range []string{"DKIM-Signature: x\r\n", "DKIM-Signature: v=1; a=rsa-sha256; d=evil.test; s=s; h=from; bh=eA==; b=eA==\r\n"} {
		got = verify(t, dkim.Verifier{Resolver: z}, strings.Repeat(junk, 210)+signed)
		if last := got[len(got)-1]; len(got) != 211 || last.Code != dkim.Pass {
			t.Errorf("210 of %q hide the author's signature: %s", junk, outcome([]dkim.Result{last}))
		}
	}
	got = verify(t, dkim.Verifier{Resolver: z, Limits: dkim.Limits{SignedFields: 3}}, reference.DKIM("mail.acme.test", "s", own).Sign(plain))
	if outcome(got) != "policy TooManyFields" {
		t.Errorf("got %s", outcome(got))
	}
}

// TestStrictIdentity: t=s of the key (RFC 6376 §3.6.1).
func TestStrictIdentity(t *testing.T) {
	key := rsaKey(t)
	z := zone(t, keyAt("s._domainkey.acme.test", "t=s; p="+reference.PublicText(key)))
	s := reference.DKIM("acme.test", "s", key)
	for id, want := range map[string]string{"@acme.test": "pass Valid", "dana@ACME.test": "pass Valid", "@mail.acme.test": "permerror KeyStrictIdentity"} {
		if got := outcome(verify(t, dkim.Verifier{Resolver: z}, s.With("v=1;", "v=1; i="+id+";").Sign(plain))); got != want {
			t.Errorf("%s: got %s, want %s", id, got, want)
		}
	}
}

// TestKeySizes: RFC 8301 §3.2 and our upper bound.
func TestKeySizes(t *testing.T) {
	text := reference.DKIM("acme.test", "s", rsaKey(t)).Sign(plain)
	for _, tt := range []struct {
		p    string
		max  int
		want string
	}{
		{rsaPublic(t, "short"), 0, "permerror KeyTooShort"},
		{reference.PublicText(rsaKey(t)), 2047, "permerror KeyTooLong"},
		{reference.PublicText(rsaKey(t)), 2048, "pass Valid"},
	} {
		z := zone(t, keyAt("s._domainkey.acme.test", "p="+tt.p))
		got := verify(t, dkim.Verifier{Resolver: z, Limits: dkim.Limits{KeyBits: tt.max}}, text)
		if outcome(got) != tt.want {
			t.Errorf("got %s, want %s", outcome(got), tt.want)
		}
	}
	lists, err := reference.ReadKey("../testdata/keys/lists._domainkey.lists.example.net.pem")
	if err != nil {
		t.Fatal(err)
	}
	z := zone(t, keyAt("s._domainkey.acme.test", reference.Record(lists)))
	if got := verify(t, dkim.Verifier{Resolver: z}, reference.DKIM("acme.test", "s", lists).Sign(plain)); outcome(got) != "pass Valid" || got[0].KeyBits != 1024 {
		t.Errorf("1024 bits: got %s, %d bits", outcome(got), got[0].KeyBits)
	}
}

// TestKeyLookup: RFC 6376 §6.1.2. A lookup that fails is temporary unless the body hash has
// failed anyway.
func TestKeyLookup(t *testing.T) {
	key := rsaKey(t)
	good, other, ed := reference.Record(key), "p="+rsaPublic(t, "s2026._domainkey.acme.test"), reference.Record(reference.Ed25519("x"))
	text := reference.DKIM("acme.test", "s", key).Sign(plain)
	const at = "s._domainkey.acme.test"
	for name, tt := range map[string]struct {
		text string
		zone []string
		want string
	}{
		"NXDOMAIN":              {text, nil, "permerror KeyMissing"},
		"NODATA":                {text, []string{at + ". 60 A 192.0.2.1"}, "permerror KeyMissing"},
		"CNAME":                 {text, []string{at + ". 60 CNAME k.bulk.test.", keyAt("k.bulk.test", good)}, "pass Valid"},
		"CNAME to nothing":      {text, []string{at + ". 60 CNAME k.bulk.test."}, "permerror KeyMissing"},
		"SERVFAIL":              {text, []string{"; FAULT " + at + " TXT SERVFAIL"}, "temperror KeyUnavailable"},
		"TIMEOUT":               {text, []string{"; FAULT " + at + " TXT TIMEOUT"}, "temperror KeyUnavailable"},
		"BOGUS":                 {text, []string{"; FAULT " + at + " TXT BOGUS"}, "temperror KeyUnavailable"},
		"SERVFAIL, body broken": {text + "x", []string{"; FAULT " + at + " TXT SERVFAIL"}, "fail BodyHashMismatch"},
		"two, the second holds": {text, []string{keyAt(at, other), keyAt(at, good)}, "pass Valid"},
		"revoked and good":      {text, []string{keyAt(at, "p="), keyAt(at, good)}, "pass Valid"},
		"rubbish and good":      {text, []string{keyAt(at, "v=spf1 -all"), keyAt(at, good)}, "pass Valid"},
		"type and good":         {text, []string{keyAt(at, ed), keyAt(at, good)}, "pass Valid"},
		"the fourth holds":      {text, []string{keyAt(at, other), keyAt(at, ed), keyAt(at, "p="), keyAt(at, good)}, "fail SignatureMismatch"},
		"wildcard":              {text, []string{keyAt("*._domainkey.acme.test", good)}, "pass Valid"},
		"body broken":           {text + "x", []string{keyAt(at, good)}, "fail BodyHashMismatch"},
		"body broken, revoked":  {text + "x", []string{keyAt(at, "p=")}, "permerror KeyRevoked"},
	} {
		if got := outcome(verify(t, dkim.Verifier{Resolver: zone(t, tt.zone...)}, tt.text)); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}

// TestInternationalized: U-labels of d=, s= and i= are looked up as A-labels and hashed as
// written (RFC 8616 §5).
func TestInternationalized(t *testing.T) {
	key := rsaKey(t)
	z := zone(t, keyAt("xn--schlssel-95a._domainkey.xn--bcher-kva.test", reference.Record(key)), keyAt("s._domainkey.xn--bcher-kva.test", "t=s; "+reference.Record(key)[9:]))
	for _, tt := range [][3]string{
		{"bücher.test", "schlüssel", "pass Valid"},
		{"BÜCHER.test", "schlüssel", "pass Valid"},
		{"xn--bcher-kva.test", "xn--schlssel-95a", "pass Valid"},
		{"bücher.test", "s", "pass Valid"},
		{"b\xfccher.test", "s", "neutral Malformed"},
	} {
		text := reference.DKIM(tt[0], tt[1], key).With("v=1;", "v=1; i=käufer@"+tt[0]+";").Sign(plain)
		got := verify(t, dkim.Verifier{Resolver: z}, text)
		if outcome(got) != tt[2] || tt[2] == "pass Valid" && got[0].Domain != "xn--bcher-kva.test" {
			t.Errorf("%q: got %s for %s, want %s", tt, outcome(got), got[0].Domain, tt[2])
		}
	}
	text := reference.DKIM("xn--bcher-kva.test", "s", key).With("v=1;", "v=1; i=@bücher.test;").Sign(plain)
	if got := outcome(verify(t, dkim.Verifier{Resolver: z}, text)); got != "pass Valid" {
		t.Errorf("d= as A-label, i= as U-label, t=s: got %s", got)
	}
}

// TestHeaders: RFC 6376 §3.4.2, §5.4.2 and what happens to a message on its way.
func TestHeaders(t *testing.T) {
	key := rsaKey(t)
	z := zone(t, keyAt("s._domainkey.acme.test", reference.Record(key)))
	relaxed := reference.DKIM("acme.test", "s", key)
	simple := relaxed.Canonical("simple", "simple")
	over := with("From:To", "From:From:To")(relaxed)
	change := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	const mismatch = "fail SignatureMismatch"
	for name, tt := range map[string]struct {
		s    reference.Signature
		on   func(string) string
		want string
	}{
		"relaxed, name in upper case":   {relaxed, change("Subject:  ", "SUBJECT:  "), "pass Valid"},
		"relaxed, space before colon":   {relaxed, change("Subject:  ", "Subject \t:  "), "pass Valid"},
		"relaxed, space after colon":    {relaxed, change("Subject:  two", "Subject:two"), "pass Valid"},
		"relaxed, fold":                 {relaxed, change("two  spaces", "two\r\n\tspaces"), "pass Valid"},
		"relaxed, space at the end":     {relaxed, change("spaces \r\n", "spaces\t \r\n \r\n"), "pass Valid"},
		"relaxed, vertical tab":         {relaxed, change("spaces \r\n", "spaces \x0b\r\n"), mismatch},
		"relaxed, no-break space":       {relaxed, change("spaces \r\n", "spaces\u00a0\r\n"), mismatch},
		"relaxed, word joined":          {relaxed, change("two  spaces", "twospaces"), mismatch},
		"simple, as it is":              {simple, change("", ""), "pass Valid"},
		"simple, name in upper case":    {simple, change("Subject:  ", "SUBJECT:  "), mismatch},
		"simple, one space less":        {simple, change("two  spaces", "two spaces"), mismatch},
		"simple, fold":                  {simple, change("two  spaces", "two\r\n spaces"), mismatch},
		"simple, space at the end":      {simple, change("spaces \r\n", "spaces\r\n"), mismatch},
		"simple, fold of the signature": {simple, change("; bh=", ";\r\n bh="), mismatch},
		"relaxed, fold of signature":    {relaxed, change("; bh=", ";\r\n \tbh="), "pass Valid"},
		"relaxed, field name of ours":   {relaxed, change("DKIM-Signature", "dkim-SIGNATURE"), "pass Valid"},
		"b= changed alone":              {relaxed, change("; bh=", "; foo=x; bh="), mismatch},
		"From added on top":             {relaxed, func(s string) string { return "From: evil@evil.test\r\n" + s }, "pass Valid"},
		"From added below":              {relaxed, change("Date:", "From: evil@evil.test\r\nDate:"), mismatch},
		"over-signed, as it is":         {over, change("", ""), "pass Valid"},
		"over-signed, From on top":      {over, func(s string) string { return "From: evil@evil.test\r\n" + s }, mismatch},
		"over-signed, From below":       {over, change("Date:", "From: evil@evil.test\r\nDate:"), mismatch},
		"unsigned field added":          {relaxed, func(s string) string { return "X-New: x\r\n" + s }, "pass Valid"},
		"signed field removed":          {relaxed, change("To: erin@example.net\r\n", ""), mismatch},
		"fields in another order":       {relaxed, change("From: Dana Doe <dana@acme.test>\r\nTo: erin@example.net\r\n", "To: erin@example.net\r\nFrom: Dana Doe <dana@acme.test>\r\n"), "pass Valid"},
	} {
		if got := outcome(verify(t, dkim.Verifier{Resolver: z}, tt.on(tt.s.Sign(plain)))); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
	// Several fields of one name: from the bottom up, each once.
	two := strings.Replace(plain, "To: ", "Received: one\r\nReceived: two\r\nReceived: three\r\nTo: ", 1)
	s := relaxed.With("From:To", "From:Received:Received:To")
	s.Names = []string{"From", "Received", "Received", "To", "Subject", "Date"}
	for text, want := range map[string]string{
		s.Sign(two): "pass Valid",
		strings.Replace(s.Sign(two), "Received: one\r\n", "Received: zero\r\n", 1):                              "pass Valid",
		strings.Replace(s.Sign(two), "Received: three\r\n", "", 1):                                              mismatch,
		strings.Replace(s.Sign(two), "Received: two\r\nReceived: three", "Received: three\r\nReceived: two", 1): mismatch,
	} {
		if got := outcome(verify(t, dkim.Verifier{Resolver: z}, text)); got != want {
			t.Errorf("Received twice: got %s, want %s", got, want)
		}
	}
}

// TestSignatureIDs: header.b tells the signatures apart (RFC 6008 §4).
func TestSignatureIDs(t *testing.T) {
	z := zone(t)
	sig := func(b string) string {
		return "DKIM-Signature: v=1; a=rsa-sha256; d=acme.test; s=s; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=" + b + "\r\n"
	}
	got := verify(t, dkim.Verifier{Resolver: z}, sig("AAAABBBBCCCCDDDD")+sig("AAAABBBBCCCCEEEE")+sig("FFFF")+sig("AAAABBBBCCCCDDDD")+plain)
	var ids []string
	for _, s := range got {
		ids = append(ids, s.B)
	}
	if want := "AAAABBBBCCCCDDDD AAAABBBBCCCCE FFFF AAAABBBBCCCCDDDD"; strings.Join(ids, " ") != want {
		t.Errorf("got %v, want %s", ids, want)
	}
}

// TestKeyWork: keys are tried as far as their work is paid for, those of the author first,
// wherever they stand.
func TestKeyWork(t *testing.T) {
	own, other := rsaKey(t), reference.Ed25519("other.test")
	z := zone(t, keyAt("s._domainkey.acme.test", reference.Record(own)), keyAt("s._domainkey.other.test", reference.Record(other)))
	text := reference.DKIM("acme.test", "s", own).Sign(plain)
	for range 3 {
		text = reference.DKIM("other.test", "s", other).Sign(text)
	}
	for work, want := range map[int]string{
		0:   "pass Valid, pass Valid, pass Valid, pass Valid",
		160: "pass Valid, policy KeyTooCostly, policy KeyTooCostly, pass Valid",
		76:  "policy KeyTooCostly, policy KeyTooCostly, policy KeyTooCostly, pass Valid",
		1:   "policy KeyTooCostly, policy KeyTooCostly, policy KeyTooCostly, policy KeyTooCostly",
	} {
		if got := outcome(verify(t, dkim.Verifier{Resolver: z, Limits: dkim.Limits{KeyWork: work}}, text)); got != want {
			t.Errorf("KeyWork %d: got %s, want %s", work, got, want)
		}
	}
	for name, want := range map[string]int{"short": 19, "main._domainkey.simple.example": 76} {
		k, err := signature.ParseKey("p=" + rsaPublic(t, name))
		if err != nil || k.Work() != want {
			t.Errorf("%s: work %d, want %d (%v)", name, k.Work(), want, err)
		}
	}
}

// TestManySimilarSignatures: telling signatures apart takes a time that grows with their number
// and not with its square. Values that have 60 octets in common are shown to where they differ.
func TestManySimilarSignatures(t *testing.T) {
	z := zone(t)
	var text strings.Builder
	const n = 2000
	for i := range n {
		fmt.Fprintf(&text, "DKIM-Signature: v=1; a=rsa-sha256; d=acme.test; s=s; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=%s%04d\r\n", strings.Repeat("A", 56), i)
	}
	began := time.Now()
	x := (&dkim.Verifier{Resolver: z}).Begin(t.Context())
	for line := range strings.SplitSeq(strings.TrimSuffix(text.String(), "\r\n"), "\r\n") {
		x.Field(message.Field{Raw: []byte(line), Colon: strings.IndexByte(line, ':')})
	}
	seen := map[string]bool{}
	for _, s := range x.Finish() {
		seen[s.B] = true
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	if len(seen) < 200 {
		t.Errorf("%d of the signatures that are read are told apart", len(seen))
	}
}
