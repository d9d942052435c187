package rules

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postseal"
	"postseal/internal/core/smtpreply"
	"postseal/resolver/dnstest"
)

// TestReplies: the operator's text replaces the sentences, never the codes, and the reference of the
// verdict is always there.
func TestReplies(t *testing.T) {
	for _, test := range []struct {
		name     string
		replies  Replies
		url      string
		from, ip string
		want     string // lines, joined by |
	}{
		{"none", Replies{}, "", "reject.test", "203.0.113.7", ""},
		{"placeholders", Replies{Reject: []string{"No mail as {domain} from {ip}.", "Call +49 30 1234, {ref}"}}, "", "reject.test", "203.0.113.7",
			"550 5.7.26|No mail as reject.test from 203.0.113.7.|Call +49 30 1234, REF"},
		{"the reference is added", Replies{Reject: []string{"No."}}, "", "reject.test", "203.0.113.7", "550 5.7.26|No.|Ref REF"},
		{"the URL", Replies{Reject: []string{"See {url}"}}, "https://mx.example.net/r", "reject.test", "203.0.113.7", "550 5.7.26|See https://mx.example.net/r/REF"},
		{"the URL is added", Replies{Reject: []string{"No."}}, "https://mx.example.net/r", "reject.test", "203.0.113.7", "550 5.7.26|No.|Details: https://mx.example.net/r/REF"},
		{"a URL that is too long", Replies{Reject: []string{"See {url}"}}, "https://mx.example.net/" + strings.Repeat("r", 220), "reject.test", "203.0.113.7", "550 5.7.26|See (reference REF)|"},
		{"%", Replies{Reject: []string{"100 % sure, {ref}"}}, "", "reject.test", "203.0.113.7", "550 5.7.26|100 % sure, REF"},
		{"a text for reject does not defer", Replies{Reject: []string{"No."}}, "", "broken.test", "203.0.113.7", ""},
		{"defer", Replies{Defer: []string{"Later, {ref}."}}, "", "broken.test", "203.0.113.7", "451 4.4.3|Later, REF."},
		{"an address that is not known", Replies{Reject: []string{"From {ip}, {ref}"}}, "", "", "", "550 5.7.1|From an unknown address, REF"},
		{"a domain that is not known", Replies{Reject: []string{"As {domain}, {ref}"}}, "", "", "203.0.113.7", "550 5.7.1|As the sender's domain, REF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, plain := replyOf(t, &test.replies, test.url, test.from, test.ip), replyOf(t, &Replies{}, test.url, test.from, test.ip)
			if test.want == "" {
				test.want = plain
			}
			test.want = strings.TrimSuffix(test.want, "|")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// replyOf is the reply to a message, with REF for its reference.
func replyOf(t *testing.T, replies *Replies, url, from, ip string) string {
	t.Helper()
	dns, err := dnstest.Parse(`
reject.test.        300 TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.reject.test. 300 TXT "v=DMARC1; p=reject"
broken.test.        300 TXT "v=spf1 include:down.test -all"
_dmarc.broken.test. 300 TXT "v=DMARC1; p=reject"
; FAULT down.test ANY SERVFAIL
`)
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{AuthservID: "mx.example.net", Resolver: dns,
		Policy: &Policy{Replies: *replies, Base: postseal.EnforcePolicy{Mode: postseal.Strict, ReplyURL: url}}})
	if err != nil {
		t.Fatal(err)
	}
	var conn postseal.Conn
	if ip != "" {
		conn.Remote = netip.AddrPortFrom(netip.MustParseAddr(ip), 25)
	}
	header := ""
	if from != "" {
		header = "From: a@" + from + "\r\n"
	}
	r, err := postseal.VerifyReader(context.Background(), v, conn, "x.test", "b@"+from, strings.NewReader(header+"Subject: x\r\n\r\nx\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	reply := r.Decision.Reply
	if reply == nil {
		t.Fatalf("accepted: %+v", r.Decision)
	}
	if text, err := smtpreply.Milter(reply.Code, reply.Enhanced, reply.Lines); err != nil || strings.Contains(text, "...") {
		t.Errorf("%q, %v", text, err)
	}
	all := append([]string{string('0'+byte(reply.Code/100)) + string('0'+byte(reply.Code/10%10)) + string('0'+byte(reply.Code%10)) + " " + reply.Enhanced}, reply.Lines...)
	return strings.ReplaceAll(strings.Join(all, "|"), r.Ref, "REF")
}

// TestCheckReplies: what no reply may be is said with its line.
func TestCheckReplies(t *testing.T) {
	for _, test := range []struct {
		lines []string
		url   string
		line  int
		want  string
	}{
		{[]string{"fine {ref} {ip} {domain} {url}"}, "https://" + strings.Repeat("a", 200), 0, "can have 350 characters"},
		{[]string{"{url}", "{domain} {ref} {ip}"}, "https://" + strings.Repeat("a", 200), 0, ""},
		{[]string{"Sent from {ip}. Ask {domain}, or us: {url}"}, "https://mx.example.net/r", 0, ""},
		{[]string{strings.Repeat("a", 196) + "{url}"}, "https://mx.example.net/r", 0, ""},
		{[]string{strings.Repeat("a", 197) + "{url}"}, "https://mx.example.net/r", 0, "can have 237 characters"},
		{[]string{strings.Repeat("a", 217) + "{url}"}, "a", 0, "can have 237 characters"},
		{[]string{"a", "{url}"}, "", 1, "{url} needs reply_url"},
		{[]string{"a", "{User}"}, "", 1, "{User} is not known"},
		{[]string{"a{", "}{"}, "", 0, ""},
		{[]string{"Grüße"}, "", 0, "printable ASCII"},
		{[]string{"a\r\n250 OK"}, "", 0, "printable ASCII"},
		{[]string{"a", " "}, "", 1, "the line is empty"},
		{[]string{strings.Repeat("a", 236)}, "", 0, ""},
		{[]string{strings.Repeat("a", 237)}, "", 0, "can have 237 characters"},
		{make([]string, 9), "", -1, "has 9 lines"},
	} {
		line, got := Replies{}.Check(test.lines, test.url)
		if line != test.line && got != "" || !strings.HasPrefix(got, test.want) && !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%q: %d %q, want %d %q", test.lines, line, got, test.line, test.want)
		}
	}
}
