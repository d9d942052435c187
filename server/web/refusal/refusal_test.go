package refusal

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/time/rate"

	"postseal"
	"postseal/lab/listenertest"
	"postseal/resolver/dnstest"
)

// hostile is text that would do harm if it were markup.
const hostile = `<script>alert(1)</script>"'&`

func bank() *Facts {
	return &Facts{Ref: "V8J8SAPH", At: time.Date(2026, 11, 29, 18, 42, 7, 0, time.UTC), Until: time.Date(2026, 12, 29, 18, 42, 7, 0, time.UTC), Host: "mx.example.net",
		Applied: postseal.Reject, Reason: postseal.DMARCReject, Client: "203.0.113.7", ClientName: "host-7.cheap.example", Author: "bank.test", DMARC: "fail", Policy: "reject",
		SPF: Check{Domain: "cheap.example", Result: "pass", Term: "ip4:203.0.113.0/24"}, PolicyName: "_dmarc.bank.test", Record: "v=DMARC1; p=reject; aspf=s",
		Reply: []string{"550-5.7.1 Rejected: this message fails DMARC.", "550 5.7.1 Details: https://mx.example.net/r/V8J8SAPH-000000"}}
}

// open serves one page of f with the key of the test.
func open(t *testing.T, f func(context.Context, string) (*Facts, error), limited bool) (*public, *Key) {
	t.Helper()
	names, err := dnstest.Parse("")
	if err != nil {
		t.Fatal(err)
	}
	key := &Key{secret: [keyLen]byte{1, 2, 3}}
	p := newPublic(Options{Engine: listenertest.Engine(t, names, "", io.Discard), Key: func() *Key { return key }, Find: f})
	if !limited {
		p.limits.All.SetLimit(rate.Inf)
		p.limits.Each = rate.Inf
	}
	return p, key
}

func get(h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rw := httptest.NewRecorder()
	h.ServeHTTP(rw, r)
	return rw
}

// TestWords: each language has each sentence, with the same placeholders.
func TestWords(t *testing.T) {
	holder := regexp.MustCompile(`\{\w+\}`)
	english := languages["en"].text
	for _, code := range codes {
		w := languages[code].text
		if len(w) != len(english) {
			t.Errorf("%s has %d sentences, want %d", code, len(w), len(english))
		}
		if n := len(strings.Fields(w["months"])); n != 12 {
			t.Errorf("%s has %d months", code, n)
		}
		for key, text := range english {
			want, got := holder.FindAllString(text, -1), holder.FindAllString(w[key], -1)
			slices.Sort(want)
			slices.Sort(got)
			if w[key] == "" || !slices.Equal(slices.Compact(want), slices.Compact(got)) {
				t.Errorf("%s: %s has %v, want %v", code, key, got, want)
			}
		}
	}
}

// TestPage: every reason in every language is a whole page: no placeholder is left, no script, one
// h1, nothing from elsewhere, and hostile text is text.
func TestPage(t *testing.T) {
	evil := bank()
	evil.ClientName, evil.Author, evil.Record, evil.Change, evil.Reply = hostile, hostile, hostile, hostile, []string{hostile}
	evil.DKIM = []Check{{Domain: hostile, Selector: hostile, Result: "fail", Reason: hostile}}
	var cases []*Facts
	for _, r := range []postseal.Reason{postseal.DMARCReject, postseal.DMARCQuarantine, postseal.DMARCTempError, postseal.AuthorMalformed, postseal.MessageLimit, postseal.LocalRule, "internal.error"} {
		for _, a := range []postseal.Action{postseal.Reject, postseal.Defer} {
			known, unknown := bank(), bank()
			known.Applied, known.Reason = a, r
			unknown.Applied, unknown.Reason, unknown.Author, unknown.Client, unknown.SPF = a, r, "", "", Check{}
			cases = append(cases, known, unknown)
		}
	}
	for _, f := range append(cases, evil) {
		for _, code := range codes {
			p, key := open(t, func(context.Context, string) (*Facts, error) { c := *f; return &c, nil }, false)
			rw := get(p, "/r/V8J8SAPH-"+key.Tag("V8J8SAPH"), "Accept-Language", code, "Accept", "text/html")
			if rw.Code != 200 || rw.Header().Get("Content-Language") != code {
				t.Fatalf("%d %v", rw.Code, rw.Header())
			}
			checkHTML(t, rw.Body.String())
			if text := rw.Body.String(); strings.Contains(text, "{") {
				t.Errorf("%s %s: a placeholder is left in\n%s", f.Reason, code, text)
			}
		}
	}
}

func checkHTML(t *testing.T, body string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	headings := 0
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if n.Data == "h1" {
			headings++
		}
		if n.Data == "script" || n.Data == "img" {
			t.Errorf("an element %s", n.Data)
		}
		for _, a := range n.Attr {
			link := a.Key == "href" && !strings.HasPrefix(a.Val, "?lang=") && a.Val != styleName && a.Val != "data:,"
			if link || a.Key == "style" || a.Key == "src" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
	}
	if headings != 1 {
		t.Errorf("%d h1", headings)
	}
}

// TestText: programs get text, browsers HTML.
func TestText(t *testing.T) {
	p, key := open(t, func(context.Context, string) (*Facts, error) { return bank(), nil }, false)
	path := "/r/v8j8-saph-" + strings.ToLower(key.Tag("V8J8SAPH"))
	for _, c := range []struct{ accept, agent, want string }{
		{"text/html,*/*;q=0.8", "Mozilla/5.0", "text/html; charset=utf-8"}, {"*/*", "curl/8.5", "text/plain; charset=utf-8"},
		{"text/plain", "", "text/plain; charset=utf-8"}, {"", "", "text/html; charset=utf-8"}, {"*/*", "Mozilla/5.0", "text/html; charset=utf-8"}} {
		rw := get(p, path, "Accept", c.accept, "User-Agent", c.agent)
		if got := rw.Header().Get("Content-Type"); got != c.want || rw.Code != 200 {
			t.Errorf("%q: %d %s, want %s", c.accept, rw.Code, got, c.want)
		}
		for _, want := range []string{"A message from bank.test was not delivered", "29 November 2026, 18:42 UTC", "203.0.113.7 (host-7.cheap.example)", "V8J8-SAPH", "postmaster@example.net", "29 December 2026",
			"for cheap.example, which is not bank.test", "d=bank.test"} {
			if !strings.Contains(rw.Body.String(), want) {
				t.Errorf("%s: %q is missing in\n%s", c.want, want, rw.Body)
			}
		}
	}
	if rw := get(p, path+"?lang=ja", "Accept-Language", "de"); rw.Header().Get("Content-Language") != "ja" {
		t.Error("the language of the address does not hold")
	}
	if rw := get(p, "/r/"+styleName); rw.Code != 200 || !strings.Contains(rw.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("style: %d %v", rw.Code, rw.Header())
	}
}

// TestOnePage: whatever is asked for, what does not exist has one body, one length and one set of
// fields, and nothing is looked up for it.
func TestOnePage(t *testing.T) {
	looks := 0
	p, key := open(t, func(context.Context, string) (*Facts, error) { looks++; return nil, ErrUnknown }, false)
	first := get(p, "/r/00000000-000000")
	paths := []string{"/", "/r/", "/r", "/live", "/v1/verdicts/V8J8SAPH", "/metrics", "/r/V8J8SAPH", "/r/V8J8SAPH-000000", "/r/../live", "/r/" + strings.Repeat("A", 5000), "/r/%00", "/r/" + hostileLetters,
		"/r/V8J8SAPH-" + key.Tag("V8J8SAPH")}
	for i := range 2000 {
		paths = append(paths, "/r/V8J8SAPH-"+crockford.EncodeToString([]byte{byte(i), byte(i >> 8), 1, 2})[:tagLen])
	}
	for _, path := range paths {
		rw := get(p, path)
		if rw.Code != 404 || rw.Body.String() != first.Body.String() {
			t.Fatalf("%.80s: %d\n%s", path, rw.Code, rw.Body)
		}
		for name, values := range first.Header() {
			if !slices.Equal(rw.Header()[name], values) {
				t.Errorf("%.80s: %s is %v, want %v", path, name, rw.Header()[name], values)
			}
		}
	}
	if looks > 2 { // the right tag, and a guess that happens to be right
		t.Errorf("%d looks into the store for guesses", looks)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		rw := httptest.NewRecorder()
		p.ServeHTTP(rw, httptest.NewRequest(method, "/r/V8J8SAPH", nil))
		if rw.Code != 405 {
			t.Errorf("%s: %d", method, rw.Code)
		}
	}
}

const hostileLetters = "%3Cscript%3Ealert(1)%3C/script%3E"

// TestLimits: a client gets 30 pages a minute, all clients together 20 a second, also by many
// addresses of one IPv6 network.
func TestLimits(t *testing.T) {
	p, _ := open(t, nil, true)
	p.limits.All.SetLimit(rate.Inf)
	codes := map[int]int{}
	for range 100 {
		codes[get(p, "/r/X").Code]++
	}
	if codes[404] < perMinute || codes[404] > perMinute+2 || codes[429] == 0 {
		t.Errorf("one client: %v", codes)
	}
	if rw := get(p, "/r/"+styleName); rw.Code != 200 || rw.Header().Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("the style of the page over the limits: %d %s", rw.Code, rw.Header().Get("Content-Type"))
	}
	p, _ = open(t, nil, true)
	codes = map[int]int{}
	for i := range 100 {
		r := httptest.NewRequest("GET", "/r/X", nil)
		r.RemoteAddr = "[2001:db8::" + string(rune('a'+i%6)) + "]:1"
		rw := httptest.NewRecorder()
		p.ServeHTTP(rw, r)
		codes[rw.Code]++
	}
	if codes[404] > perMinute+2 {
		t.Errorf("one network: %v", codes)
	}
	p, _ = open(t, nil, true)
	codes = map[int]int{}
	for i := range 200 {
		r := httptest.NewRequest("GET", "/r/X", nil)
		r.RemoteAddr = "127.0.0.1:1" // a proxy on this host tells who asks
		r.Header.Set("X-Forwarded-For", "198.51.100."+string(rune('0'+i%10)))
		rw := httptest.NewRecorder()
		p.ServeHTTP(rw, r)
		codes[rw.Code]++
	}
	if codes[404] < perSecond || codes[404] > perSecond+5 {
		t.Errorf("all clients: %v", codes)
	}
}

// TestKey: the key is made once and kept; a tag depends on it.
func TestKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "refusal.key")
	a, err := ReadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ReadKey(path)
	if err != nil || a.Tag("V8J8SAPH") != b.Tag("V8J8SAPH") {
		t.Error("the key is not kept", err)
	}
	other := &Key{}
	if tag := a.Tag("V8J8SAPH"); len(tag) != tagLen || tag == other.Tag("V8J8SAPH") || tag == a.Tag("V8J8SAPJ") {
		t.Errorf("tag %s", tag)
	}
	for _, text := range []string{"V8J8SAPH" + a.Tag("V8J8SAPH"), "v8j8-saph-" + strings.ToLower(a.Tag("V8J8SAPH"))} {
		if ref, ok := a.Ref(text); !ok || ref != "V8J8SAPH" {
			t.Errorf("%s: %s %v", text, ref, ok)
		}
	}
}

// TestBusy: a store that fails is not the same as no page, and says so.
func TestBusy(t *testing.T) {
	p, key := open(t, func(context.Context, string) (*Facts, error) { return nil, io.ErrUnexpectedEOF }, false)
	if rw := get(p, "/r/V8J8SAPH-"+key.Tag("V8J8SAPH")); rw.Code != 503 || !strings.Contains(rw.Body.String(), "Please try again later") {
		t.Errorf("%d %s", rw.Code, rw.Body)
	}
}

// FuzzRef: no text but the right one has a reference.
func FuzzRef(f *testing.F) {
	k := &Key{secret: [keyLen]byte{9}}
	f.Add("V8J8SAPH-" + k.Tag("V8J8SAPH"))
	f.Add("--------------------------------------------")
	f.Fuzz(func(t *testing.T, text string) {
		ref, ok := k.Ref(text)
		if ok && (len(ref) != refLen || misread.Replace(strings.ToUpper(text)) != ref+k.Tag(ref)) {
			t.Errorf("%q is %q", text, ref)
		}
	})
}

// TestNoAddress: text of a client with an "@" is not shown.
func TestNoAddress(t *testing.T) {
	f := bank()
	f.ClientName, f.SPF.Domain, f.SPF.Term, f.Change = "secret@x.test", "secret@x.test", "exists:secret@x.test", "write to secret@x.test"
	f.DKIM, f.Reply = []Check{{Domain: "secret@x.test", Selector: "secret@x.test", Result: "fail"}}, []string{"550 secret@x.test"}
	p, key := open(t, func(context.Context, string) (*Facts, error) { return f, nil }, false)
	if body := get(p, "/r/V8J8SAPH-"+key.Tag("V8J8SAPH")).Body.String(); strings.Contains(body, "secret") {
		t.Error(body)
	}
	if _, err := json.Marshal(f); err != nil {
		t.Error(err)
	}
}

// TestPlainWords: what happened is told in at most 60 words, in sentences of at most 25, in each language whose words
// have spaces; in English a reader of twelve years follows it (Flesch and Kincaid: grade 7).
func TestPlainWords(t *testing.T) {
	end := regexp.MustCompile(`[.?!:;] `)
	facts := bank()
	for _, code := range codes {
		w := languages[code]
		for _, r := range []postseal.Reason{postseal.DMARCReject, postseal.DMARCTempError, postseal.AuthorMalformed, postseal.MessageLimit, postseal.LocalRule} {
			for _, a := range []postseal.Action{postseal.Reject, postseal.Defer} {
				f := *facts
				f.Reason, f.Applied = r, a
				v := describe(&f, w)
				told := strings.Join(append([]string{v.Title + "."}, v.Why...), " ")
				if n := len(strings.Fields(told)); n > 60 || len([]rune(told)) > 400 {
					t.Errorf("%s %s %s: %d words: %s", code, r, a, n, told)
				}
				all := strings.Join(slices.Concat([]string{told, v.Answer}, v.Do, []string{v.Unsent}, v.End), " ")
				for _, sentence := range end.Split(all, -1) {
					if n := len(strings.Fields(sentence)); n > 25 || n == 1 && len([]rune(sentence)) > 100 {
						t.Errorf("%s %s %s: a sentence of %d words: %s", code, r, a, n, sentence)
					}
				}
				if grade := schoolGrade(told); code == "en" && grade > 7 {
					t.Errorf("%s %s: grade %.1f: %s", r, a, grade, told)
				}
			}
		}
	}
}

// schoolGrade is the formula of Flesch and Kincaid. Domain names and addresses count as words without syllables.
func schoolGrade(text string) float64 {
	words, plain, syllables := 0, 0, 0
	vowels := regexp.MustCompile(`[aeiouy]+`)
	for _, w := range strings.Fields(strings.ToLower(text)) {
		words++
		if w = strings.Trim(w, ".,?!:;"); strings.ContainsAny(w, ".@-0123456789") {
			continue
		}
		n := len(vowels.FindAllString(w, -1))
		if strings.HasSuffix(w, "e") && !strings.HasSuffix(w, "le") && n > 1 {
			n--
		}
		plain++
		syllables += max(n, 1)
	}
	sentences := len(regexp.MustCompile(`[.?!](\s|$)`).FindAllString(text, -1))
	return 0.39*float64(words)/float64(sentences) + 11.8*float64(syllables)/float64(plain) - 15.59
}

var update = flag.Bool("update", false, "rewrite the pages in testdata")

// TestLanguages: the page of a refusal and of a deferral in each language, as text, are those of testdata, where they
// can be read. After a change that is meant: go test ./server/web/refusal -update.
func TestLanguages(t *testing.T) {
	facts := bank()
	facts.SPF.Lookups, facts.SPF.Most, facts.Strict, facts.Direct = 3, 10, "adkim=s, aspf=s", true
	facts.Until = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	deferred := *facts
	deferred.Applied, deferred.Reason, deferred.DKIM = postseal.Defer, postseal.DMARCTempError, []Check{{Domain: "bank.test", Selector: "s1", Result: "temperror", Aligned: true, Reason: "the key cannot be looked up"}}
	deferred.Strict, deferred.ClientName, deferred.SPF.Term, deferred.Reply, deferred.Change = "", "", "", nil, "nothing, if the name servers answer again"
	const between = "\n-----\n\n"
	for _, code := range codes {
		t.Run(code, func(t *testing.T) {
			var b strings.Builder
			for _, f := range []*Facts{facts, &deferred} {
				c := *f
				if err := describe(&c, languages[code]).text(&b); err != nil {
					t.Fatal(err)
				}
				b.WriteString(between)
			}
			for i, v := range []*view{lost(languages[code]), busy(languages[code])} {
				if err := v.text(&b); err != nil {
					t.Fatal(err)
				}
				b.WriteString(between[:len(between)*(1-i)])
			}
			path := filepath.Join("testdata", code+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil || string(want) != b.String() {
				t.Errorf("%v: it differs from %s:\n%s", err, path, &b)
			}
		})
	}
}

// TestSteps: in each language the page tells the number of lookups and the tags of strict alignment, in HTML and as text.
func TestSteps(t *testing.T) {
	f := bank()
	f.SPF.Lookups, f.SPF.Most, f.Strict, f.Direct = 3, 10, "adkim=s, aspf=s", true
	for _, code := range codes {
		for _, accept := range []string{"text/html", "text/plain"} {
			t.Run(code+" "+accept, func(t *testing.T) {
				p, key := open(t, func(context.Context, string) (*Facts, error) { c := *f; return &c, nil }, false)
				body := get(p, "/r/V8J8SAPH-"+key.Tag("V8J8SAPH"), "Accept-Language", code, "Accept", accept).Body.String()
				body = strings.NewReplacer("<code>", "", "</code>", "").Replace(body)
				w := languages[code]
				for _, want := range []string{strings.NewReplacer("{count}", "3", "{most}", "10").Replace(w.text["step.lookups"]), "adkim=s, aspf=s", w.text["step.direct"], "ip4:203.0.113.0/24"} {
					if !strings.Contains(body, strings.TrimSpace(want)) {
						t.Errorf("%q is missing in\n%s", want, body)
					}
				}
			})
		}
	}
}

// TestFrenchDay: the first day of a month is not a cardinal number in French.
func TestFrenchDay(t *testing.T) {
	day := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for code, want := range map[string]string{"fr": "1er décembre 2026", "de": "1. Dezember 2026", "pl": "1 grudnia 2026", "ja": "2026年12月1日"} {
		if got := languages[code].date(day); got != want {
			t.Errorf("%s: %s, want %s", code, got, want)
		}
	}
}
