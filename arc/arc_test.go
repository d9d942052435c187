package arc_test

import (
	"crypto"
	"fmt"
	"strings"
	"testing"
	"time"

	"postseal/arc"
	"postseal/lab/reference"
	"postseal/resolver/dnstest"
)

const message = "From: Dana Doe <dana@acme.test>\r\nTo: anvils@lists.test\r\nSubject:  cliffs \r\nDate: Mon, 2 Nov 2026 09:05:41 +0100\r\n\r\n" +
	"Only below  ten metres. \r\n\r\nDana\r\n"

func clock() time.Time { return time.Date(2026, 11, 2, 9, 30, 0, 0, time.UTC) }

// keys are those of the sealers: RSA of one.test, Ed25519 of all others.
func key(t testing.TB, d string) crypto.Signer {
	t.Helper()
	if d != "one.test" {
		return reference.Ed25519(d)
	}
	k, err := reference.ReadKey("../testdata/keys/main._domainkey.simple.example.pem")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func set(t testing.TB, d string) reference.Set {
	return reference.Set{Domain: d, Selector: "s", Key: key(t, d), Results: "mx." + d + "; dmarc=pass header.from=acme.test"}
}

// zone holds the keys of one.test to five.test, and lines more.
func zone(t testing.TB, lines ...string) *dnstest.Zone {
	t.Helper()
	for _, d := range []string{"one.test", "two.test", "three.test", "four.test", "five.test"} {
		lines = append(lines, "s._domainkey."+d+". 60 TXT "+reference.TXT(reference.Record(key(t, d))))
	}
	z, err := dnstest.Parse(strings.Join(lines, "\n") + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func verify(t testing.TB, z *dnstest.Zone, text string) arc.Result {
	t.Helper()
	r, err := (&arc.Verifier{Resolver: z, Now: clock}).Verify(t.Context(), strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// outcome is "code reason instance/instances oldest-pass".
func outcome(r arc.Result) string {
	return fmt.Sprintf("%s %s %d/%d %d", r.Code, strings.TrimPrefix(string(r.Reason), "arc."), r.Instance, r.Instances, r.OldestPass)
}

func TestChains(t *testing.T) {
	one, two, three := set(t, "one.test"), set(t, "two.test"), set(t, "three.test")
	for name, tt := range map[string]struct{ text, want string }{
		"none":                {message, "none NoChain 0/0 0"},
		"one set, RSA":        {reference.SealAll(message, one), "pass Valid 0/1 0"},
		"one set, Ed25519":    {reference.SealAll(message, two), "pass Valid 0/1 0"},
		"three sets":          {reference.SealAll(message, one, two, three), "pass Valid 0/3 0"},
		"other fields on top": {"Received: by x\r\n" + reference.SealAll(message, one), "pass Valid 0/1 0"},
		"between the sets":    {reference.SealAll("List-Id: <x>\r\n"+reference.SealAll(message, one), two), "pass Valid 0/2 0"},
		"empty body":          {reference.SealAll("From: a@acme.test\r\n\r\n", one), "pass Valid 0/1 0"},
		"no body":             {reference.SealAll("From: a@acme.test\r\n", one), "pass Valid 0/1 0"},
		"one.test sealed, then the subject changed": {
			reference.SealAll(strings.Replace(reference.SealAll(message, one), "Subject: ", "Subject: [anvils]", 1), two), "pass Valid 0/2 2"},
		"changed after the second of three": {
			reference.SealAll(reference.SealAll(message, one, two)+"footer\r\n", three), "pass Valid 0/3 3"},
		"changed after the first of three": {
			reference.SealAll(reference.SealAll(message, one)+"footer\r\n", two, three), "pass Valid 0/3 2"},
		"body changed after sealing":    {reference.SealAll(message, one, two) + "footer\r\n", "fail BodyHashMismatch 2/2 0"},
		"header changed after sealing":  {strings.Replace(reference.SealAll(message, one, two), "cliffs", "Cliffs", 1), "fail SignatureMismatch 2/2 0"},
		"white space changed, relaxed":  {strings.Replace(reference.SealAll(message, one), "below  ten", "below ten", 1), "pass Valid 0/1 0"},
		"assessment of 1 changed":       {strings.Replace(reference.SealAll(message, one, two), "mx.one.test; dmarc=pass", "mx.one.test; dmarc=Pass", 1), "fail SealMismatch 2/2 0"},
		"case of a field name, relaxed": {strings.Replace(reference.SealAll(message, one), "ARC-Seal", "aRC-seAL", 1), "pass Valid 0/1 0"},
		"fold in a seal, relaxed":       {strings.Replace(reference.SealAll(message, one), "; cv=", ";\r\n  \tcv=", 1), "pass Valid 0/1 0"},
		"order of the fields of a set":  {reorder(reference.SealAll(message, one)), "pass Valid 0/1 0"},
	} {
		if got := outcome(verify(t, zone(t), tt.text)); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}

// reorder puts the three ARC fields on top into the opposite order.
func reorder(text string) string {
	fields, body := reference.Split(text)
	fields[0], fields[2] = fields[2], fields[0]
	return strings.Join(fields, "\r\n") + "\r\n\r\n" + body
}

// drop takes the n-th field of this name away, from the top.
func drop(text, name string, n int) string {
	fields, body := reference.Split(text)
	var kept []string
	for _, f := range fields {
		if strings.HasPrefix(f, name+":") {
			if n--; n == 0 {
				continue
			}
		}
		kept = append(kept, f)
	}
	return strings.Join(kept, "\r\n") + "\r\n\r\n" + body
}

func TestStructure(t *testing.T) {
	one, two := set(t, "one.test"), set(t, "two.test")
	chain := reference.SealAll(message, one, two)
	first, _, _ := strings.Cut(chain, "\r\nARC-Message")
	status := func(s reference.Set, cv string) reference.Set { s.Chain = cv; return s }
	assessment := func(old, new string) reference.Set {
		s := one
		s.Assessment = func(f string) string { return strings.Replace(f, old, new, 1) }
		return s
	}
	for name, tt := range map[string]struct{ text, want string }{
		"no seal 2":              {drop(chain, "ARC-Seal", 1), "fail IncompleteSet 2/2 0"},
		"no seal 1":              {drop(chain, "ARC-Seal", 2), "fail IncompleteSet 1/2 0"},
		"no signature 2":         {drop(chain, "ARC-Message-Signature", 1), "fail IncompleteSet 2/2 0"},
		"no signature 1":         {drop(chain, "ARC-Message-Signature", 2), "fail IncompleteSet 1/2 0"},
		"no results 2":           {drop(chain, "ARC-Authentication-Results", 1), "fail IncompleteSet 2/2 0"},
		"no results 1":           {drop(chain, "ARC-Authentication-Results", 2), "fail IncompleteSet 1/2 0"},
		"seal alone":             {"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=one.test; s=s; b=AAAA\r\n" + message, "fail IncompleteSet 1/1 0"},
		"results alone":          {"ARC-Authentication-Results: i=1; mx\r\n" + message, "fail IncompleteSet 1/1 0"},
		"gap":                    {strings.ReplaceAll(chain, "i=2", "i=3"), "fail IncompleteSet 2/3 0"},
		"does not begin at 1":    {strings.ReplaceAll(reference.SealAll(message, one), "i=1", "i=2"), "fail IncompleteSet 1/2 0"},
		"seal twice":             {first + "\r\n" + chain, "fail DuplicateField 2/2 0"},
		"whole set twice":        {reference.SealAll(message, one)[:len(reference.SealAll(message, one))-len(message)] + reference.SealAll(message, one), "fail DuplicateField 1/1 0"},
		"01 is 1, so twice":      {"ARC-Seal: i=01; a=rsa-sha256; cv=none; d=one.test; s=s; b=AAAA\r\n" + reference.SealAll(message, one), "fail DuplicateField 1/1 0"},
		"i=0":                    {strings.Replace(chain, "ARC-Seal: i=2", "ARC-Seal: i=0", 1), "fail InvalidInstance 0/2 0"},
		"i=a":                    {strings.Replace(chain, "ARC-Seal: i=2", "ARC-Seal: i=a", 1), "fail InvalidInstance 0/2 0"},
		"i=-1":                   {strings.Replace(chain, "ARC-Seal: i=2", "ARC-Seal: i=-1", 1), "fail InvalidInstance 0/2 0"},
		"i empty":                {strings.Replace(chain, "ARC-Seal: i=2", "ARC-Seal: i=", 1), "fail InvalidInstance 0/2 0"},
		"i=100":                  {strings.Replace(chain, "ARC-Seal: i=2", "ARC-Seal: i=100", 1), "fail InvalidInstance 0/2 0"},
		"i=51":                   {strings.ReplaceAll(chain, "i=2", "i=51"), "fail TooManySets 51/1 0"},
		"i=99999999999999999999": {strings.Replace(chain, "ARC-Seal: i=2", "ARC-Seal: i=99999999999999999999", 1), "fail InvalidInstance 0/2 0"},
		"no tags at all":         {"ARC-Seal: x\r\n" + message, "fail Malformed 0/0 0"},
		"empty":                  {"ARC-Seal:\r\n" + message, "fail Malformed 0/0 0"},
		"tag twice":              {strings.Replace(chain, "cv=pass", "cv=pass; cv=pass", 1), "fail Malformed 0/2 0"},
		"1 with cv=pass":         {reference.SealAll(message, status(one, "pass")), "fail WrongChainStatus 1/1 0"},
		"2 with cv=none":         {reference.SealAll(message, one, status(two, "none")), "fail WrongChainStatus 2/2 0"},
		"2 with cv=fail":         {reference.SealAll(message, one, status(two, "fail")), "fail ChainFailed 2/2 0"},
		"1 with cv=fail":         {reference.SealAll(message, status(one, "fail")), "fail ChainFailed 1/1 0"},
		"1 of 2 with cv=fail":    {reference.SealAll(message, status(one, "fail"), two), "fail WrongChainStatus 1/2 0"},
		"1 with another cv":      {reference.SealAll(message, status(one, "unknown")), "fail WrongChainStatus 1/1 0"},
		"1 with empty cv":        {reference.SealAll(message, status(one, " ")), "fail WrongChainStatus 1/1 0"},
		"cv in upper case":       {reference.SealAll(message, status(one, "NONE"), status(two, "Pass")), "fail WrongChainStatus 1/2 0"},
		"results without i":      {reference.SealAll(message, assessment("i=1; ", "")), "fail InvalidInstance 0/1 0"},
		"results, i not first":   {reference.SealAll(message, assessment("i=1; mx.one.test;", "mx.one.test; i=1;")), "fail InvalidInstance 0/1 0"},
		"results without ;":      {reference.SealAll(message, assessment("i=1;", "i=1")), "fail InvalidInstance 0/1 0"},
		"results with I=":        {reference.SealAll(message, assessment("i=1;", "I=1;")), "fail InvalidInstance 0/1 0"},
		"results of another i":   {reference.SealAll(message, assessment("i=1;", "i=2;")), "fail IncompleteSet 1/2 0"},
		"results with CFWS":      {reference.SealAll(message, assessment("i=1;", "(a (b\\)) c;)\r\n i (x) = (y) 1 (z) ;")), "pass Valid 0/1 0"},
		"results, open comment":  {reference.SealAll(message, assessment("i=1;", "(i=1;")), "fail InvalidInstance 0/1 0"},
		"payload is rubbish":     {reference.SealAll(message, assessment("dmarc=pass", "=;;\"(")), "pass Valid 0/1 0"},
		"payload is empty":       {reference.SealAll(message, assessment(" mx.one.test; dmarc=pass header.from=acme.test", "")), "pass Valid 0/1 0"},
	} {
		if got := outcome(verify(t, zone(t), tt.text)); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}

// TestSets: 50 sets are a chain, 51 are not.
func TestSets(t *testing.T) {
	var sets []reference.Set
	for range arc.MaxSets {
		sets = append(sets, set(t, "two.test"))
	}
	text := reference.SealAll(message, sets...)
	z := zone(t)
	if got, want := outcome(verify(t, z, text)), "pass Valid 0/50 0"; got != want {
		t.Errorf("50 sets: got %s, want %s", got, want)
	}
	if got, want := outcome(verify(t, z, reference.SealAll(text, set(t, "two.test")))), "fail TooManySets 51/50 0"; got != want {
		t.Errorf("51 sets: got %s, want %s", got, want)
	}
}

func TestSignatureTags(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(reference.Signature) reference.Signature
		want   string
	}{
		"as it is":                          {func(s reference.Signature) reference.Signature { return s }, "pass Valid"},
		"v= is ignored":                     {with("i=1;", "i=1; v=7;"), "pass Valid"},
		"i= is last":                        {with("i=1; a=", "a=").And("b={b}", "b={b}; i=1"), "pass Valid"},
		"unknown tag":                       {with("i=1;", "i=1; foo=bar;"), "pass Valid"},
		"; at the end":                      {with("b={b}", "b={b};"), "pass Valid"},
		";; inside":                         {with("i=1;", "i=1;;"), "fail Malformed"},
		"space around =":                    {with("d=one", "d  =  one"), "pass Valid"},
		"no tag name":                       {with("i=1;", "i=1; =x;"), "fail Malformed"},
		"bad tag name":                      {with("i=1;", "i=1; _x=x;"), "fail Malformed"},
		"tag twice":                         {with("s=s;", "s=s; s=s;"), "fail Malformed"},
		"tag in upper case":                 {with("s=s;", "S=s;"), "fail Malformed"},
		"no a":                              {with("a=rsa-sha256; ", ""), "fail Malformed"},
		"a empty":                           {with("a=rsa-sha256", "a="), "fail AlgorithmUnknown"},
		"a unknown":                         {with("a=rsa-sha256", "a=rsa-md5"), "fail AlgorithmUnknown"},
		"a in upper case":                   {with("a=rsa-sha256", "a=RSA-SHA256"), "fail AlgorithmUnknown"},
		"rsa-sha1":                          {with("a=rsa-sha256", "a=rsa-sha1"), "fail AlgorithmUnknown"},
		"a of another key":                  {with("a=rsa-sha256", "a=ed25519-sha256"), "fail KeyUnusable"},
		"no b":                              {with(";\r\n\tb={b}", ""), "fail Malformed"},
		"b empty":                           {with("b={b}", "b="), "fail Malformed"},
		"b is no base64":                    {with("b={b}", "b=!!{b}"), "fail Malformed"},
		"b of something else":               {with("b={b}", "b=AAAA"), "fail SignatureMismatch"},
		"no bh":                             {with("bh={bh};", ""), "fail Malformed"},
		"bh empty":                          {with("bh={bh};", "bh=;"), "fail Malformed"},
		"bh too short":                      {with("bh={bh};", "bh=AAAA;"), "fail Malformed"},
		"bh with a fold":                    {with("bh={bh}", "bh=\r\n {bh} "), "pass Valid"},
		"no d":                              {with("d=one.test; ", ""), "fail Malformed"},
		"d empty":                           {with("d=one.test", "d="), "fail Malformed"},
		"d is no name":                      {with("d=one.test", "d=one..test"), "fail Malformed"},
		"d with a parenthesis":              {with("d=one.test", "d=one.test(.two.test"), "fail Malformed"},
		"d in upper case":                   {with("d=one.test", "d=ONE.Test"), "pass Valid"},
		"no s":                              {with("s=s;", ""), "fail Malformed"},
		"s empty":                           {with("s=s;", "s=;"), "fail Malformed"},
		"no h":                              {with("h=From:To:Subject:Date; ", ""), "fail Malformed"},
		"h empty":                           {with("h=From:To:Subject:Date", "h="), "fail Malformed"},
		"h without From":                    {with("h=From:To:Subject:Date", "h=To:Subject:Date").Signing("To", "Subject", "Date"), "fail FromNotSigned"},
		"h in lower case":                   {with("h=From:To:Subject:Date", "h=from:to:subject:date"), "pass Valid"},
		"h with spaces":                     {with("h=From:To:Subject:Date", "h=From : To :\r\n Subject : Date"), "pass Valid"},
		"h in another order":                {with("h=From:To:Subject:Date", "h=To:From:Subject:Date"), "fail SignatureMismatch"},
		"h with a field that is not there":  {with("Subject:Date", "Subject:Date:X-None:From"), "pass Valid"},
		"h with an empty name":              {with("From:To", "From::To"), "pass Valid"},
		"h with no field name":              {with("From:To", "From:T o"), "fail Malformed"},
		"h with ARC-Seal":                   {with("From:To", "From:ARC-Seal:To"), "fail SealSigned"},
		"h with ARC-Authentication-Results": {with("From:To", "From:ARC-Authentication-Results:To").Signing("From", "ARC-Authentication-Results", "To", "Subject", "Date"), "pass Valid"},
		"h with ARC-Message-Signature":      {with("From:To", "From:ARC-Message-Signature:To"), "pass Valid"},
		"no c, signed relaxed":              {with("c=relaxed/relaxed; ", ""), "fail BodyHashMismatch"},
		"no c, signed simple":               {canonical("simple", "simple").And("c=simple/simple; ", ""), "pass Valid"},
		"c empty":                           {with("c=relaxed/relaxed", "c="), "fail Malformed"},
		"c without body":                    {canonical("relaxed", "simple").And("c=relaxed/simple", "c=relaxed"), "pass Valid"},
		"c with empty body":                 {with("c=relaxed/relaxed", "c=relaxed/"), "fail Malformed"},
		"c unknown":                         {with("c=relaxed/relaxed", "c=nofws/nofws"), "fail Malformed"},
		"simple/simple":                     {canonical("simple", "simple"), "pass Valid"},
		"simple/relaxed":                    {canonical("simple", "relaxed"), "pass Valid"},
		"relaxed/simple":                    {canonical("relaxed", "simple"), "pass Valid"},
		"q unknown":                         {with("i=1;", "i=1; q=http;"), "fail Malformed"},
		"q known among others":              {with("i=1;", "i=1; q=http:dns/txt;"), "pass Valid"},
		"no t":                              {with("i=1;", "i=1;"), "pass Valid"},
		"t empty":                           {with("i=1;", "i=1; t=;"), "fail Malformed"},
		"t is no number":                    {with("i=1;", "i=1; t=soon;"), "fail Malformed"},
		"x over":                            {with("i=1;", "i=1; t=1; x=2;"), "fail Expired"},
		"x not over":                        {with("i=1;", "i=1; t=1; x=99999999999;"), "pass Valid"},
		"x before t":                        {with("i=1;", "i=1; t=99999999999; x=99999999998;"), "fail Malformed"},
		"x is no number":                    {with("i=1;", "i=1; x=never;"), "fail Malformed"},
		"l of the whole body":               {with("i=1;", "i=1; l=32;"), "pass Valid"},
		"l beyond the body":                 {with("i=1;", "i=1; l=33;"), "fail BodyHashMismatch"},
		"l of a part":                       {with("i=1;", "i=1; l=10;").Hashing(10), "fail BodyNotCovered"},
		"l=0":                               {with("i=1;", "i=1; l=0;").Hashing(0), "fail BodyNotCovered"},
		"l is no number":                    {with("i=1;", "i=1; l=all;"), "fail Malformed"},
		"l beyond 64 bits":                  {with("i=1;", "i=1; l=99999999999999999999999999;"), "fail BodyHashMismatch"},
	} {
		s := set(t, "one.test")
		s.Message = tt.change
		r := verify(t, zone(t), reference.SealAll(message, s))
		if got := string(r.Code) + " " + strings.TrimPrefix(string(r.Reason), "arc."); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}

var with, canonical = reference.With, reference.Canonical

func TestSealTags(t *testing.T) {
	for name, tt := range map[string]struct{ old, new, want string }{
		"as it is":             {"", "", "pass Valid"},
		"no t":                 {" t=12345;", "", "pass Valid"},
		"t empty":              {"t=12345", "t=", "fail Malformed"},
		"t is no number":       {"t=12345", "t=x", "fail Malformed"},
		"h":                    {"t=12345;", "h=From;", "fail SealCoversHeader"},
		"h empty":              {"t=12345;", "h=;", "fail SealCoversHeader"},
		"unknown tag":          {"t=12345;", "foo=bar;", "pass Valid"},
		"tags of a signature":  {"t=12345;", "bh=!; c=x; l=y; x=1; v=9; q=z;", "pass Valid"},
		"tag twice":            {"t=12345;", "t=12345; t=12345;", "fail Malformed"},
		"bad tag name":         {"t=12345;", "1t=12345;", "fail Malformed"},
		";; inside":            {"t=12345;", ";", "fail Malformed"},
		"; at the end":         {"b={b}", "b={b};", "pass Valid"},
		"S=":                   {"s=s;", "S=s;", "fail Malformed"},
		"no s":                 {"s=s;", "", "fail Malformed"},
		"s empty":              {"s=s;", "s=;", "fail Malformed"},
		"no d":                 {"d=one.test;", "", "fail Malformed"},
		"d empty":              {"d=one.test;", "d=;", "fail Malformed"},
		"d is no name":         {"d=one.test;", "d=one test;", "fail Malformed"},
		"no a":                 {"a=rsa-sha256;", "", "fail Malformed"},
		"a empty":              {"a=rsa-sha256;", "a=;", "fail AlgorithmUnknown"},
		"a unknown":            {"a=rsa-sha256;", "a=rsa-poptart;", "fail AlgorithmUnknown"},
		"rsa-sha1":             {"a=rsa-sha256;", "a=rsa-sha1;", "fail AlgorithmUnknown"},
		"no cv":                {"cv=none;", "", "fail Malformed"},
		"cv empty":             {"cv=none;", "cv=;", "fail WrongChainStatus"},
		"no b":                 {"b={b}", "", "fail Malformed"},
		"b empty":              {"b={b}", "b=", "fail Malformed"},
		"b is no base64":       {"b={b}", "b=%%%", "fail Malformed"},
		"b of something else":  {"b={b}", "b=AAAA", "fail SealMismatch"},
		"white space around b": {"b={b}", "b = \r\n\t {b} \r\n ", "pass Valid"},
		"no i":                 {"i=1;", "", "fail InvalidInstance"},
	} {
		s := set(t, "one.test")
		s.Seal = func(field string) string { return strings.Replace(field, tt.old, tt.new, 1) }
		r := verify(t, zone(t), reference.SealAll(message, s))
		if got := string(r.Code) + " " + strings.TrimPrefix(string(r.Reason), "arc."); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}

// TestKeys: whatever is wrong with a key is permanent, a failed lookup too (RFC 8617
// §5.2.1).
func TestKeys(t *testing.T) {
	good := reference.Record(key(t, "one.test"))
	short, err := reference.ReadKey("../testdata/keys/short.pem")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ record, want string }{
		"good":            {reference.TXT(good), "pass Valid"},
		"without v":       {reference.TXT(strings.TrimPrefix(good, "v=DKIM1; ")), "pass Valid"},
		"spaces in p":     {reference.TXT(strings.Replace(good, "p=MIIB", "p= MI IB", 1)), "pass Valid"},
		"missing":         {"", "fail KeyUnusable"},
		"rubbish":         {`"hello"`, "fail KeyUnusable"},
		"revoked":         {`"v=DKIM1; p="`, "fail KeyUnusable"},
		"another service": {reference.TXT(good + "; s=tlsrpt"), "fail KeyUnusable"},
		"another hash":    {reference.TXT(good + "; h=sha1"), "fail KeyUnusable"},
		"another type":    {reference.TXT(reference.Record(key(t, "two.test"))), "fail KeyUnusable"},
		"another key":     {reference.TXT(reference.Record(short)), "fail KeyUnusable"},
		"test mode":       {reference.TXT(good + "; t=y:s"), "pass Valid"},
	} {
		line := ""
		if tt.record != "" {
			line = "k._domainkey.one.test. 60 TXT " + tt.record
		}
		s := set(t, "one.test")
		s.Selector = "k"
		r := verify(t, zone(t, line), reference.SealAll(message, s))
		if got := string(r.Code) + " " + strings.TrimPrefix(string(r.Reason), "arc."); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
	for _, kind := range []string{"SERVFAIL", "TIMEOUT", "REFUSED", "BOGUS"} {
		s := set(t, "one.test")
		s.Selector = "k"
		r := verify(t, zone(t, "; FAULT k._domainkey.one.test TXT "+kind), reference.SealAll(message, s))
		if r.Code != arc.Fail || r.Reason != arc.KeyUnusable {
			t.Errorf("%s: got %s, want fail KeyUnusable", kind, outcome(r))
		}
	}
	two := reference.TXT(reference.Record(key(t, "three.test"))) + "\nk._domainkey.one.test. 60 TXT " + reference.TXT(good)
	s := set(t, "one.test")
	s.Selector = "k"
	if r := verify(t, zone(t, "k._domainkey.one.test. 60 TXT "+two), reference.SealAll(message, s)); r.Code != arc.Pass {
		t.Errorf("two records, the second is the key: got %s", outcome(r))
	}
}

// TestInternationalized: U-labels are looked up as A-labels and hashed as written (RFC
// 8617 §4.1.4).
func TestInternationalized(t *testing.T) {
	s := set(t, "bücher.test")
	z := zone(t, "s._domainkey.xn--bcher-kva.test. 60 TXT "+reference.TXT(reference.Record(s.Key)))
	r := verify(t, z, reference.SealAll(message, s))
	if r.Code != arc.Pass || r.Sealers[0] != (arc.Sealer{Domain: "xn--bcher-kva.test", Selector: "s"}) {
		t.Errorf("got %s %v", outcome(r), r.Sealers)
	}
}

func TestDescription(t *testing.T) {
	r := verify(t, zone(t), reference.SealAll(message, set(t, "one.test"), set(t, "two.test")))
	if got, want := fmt.Sprint(r.Sealers), "[{one.test s} {two.test s}]"; got != want {
		t.Errorf("Sealers = %s, want %s", got, want)
	}
	if got, want := string(r.Results[0]), " mx.one.test; dmarc=pass header.from=acme.test"; got != want {
		t.Errorf("Results[0] = %q, want %q", got, want)
	}
	r = verify(t, zone(t), reference.SealAll(message, set(t, "one.test"))+"x")
	if r.Problem != "i=1: the body changed after sealing" {
		t.Errorf("Problem = %q", r.Problem)
	}
}

func TestReasons(t *testing.T) {
	seen := map[arc.Reason]bool{}
	for _, r := range arc.Reasons() {
		if seen[r] || !strings.HasPrefix(string(r), "arc.") {
			t.Errorf("reason %q", r)
		}
		seen[r] = true
	}
}
