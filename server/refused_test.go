package server

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"postseal/server/listener"
)

var linked = regexp.MustCompile(`https://mx\.test(/r/[0-9A-Z]{8}-[0-9A-Z]{6})`)

// publicPage reads a page of the public listener.
func (d *daemonUnderTest) publicPage(path string) (int, string) {
	d.t.Helper()
	r, err := http.Get(fmt.Sprintf("http://%s%s", d.Addr(listener.Public), path))
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

// TestRefusal: the reply to a rejected message links to a page on its own listener. The page
// shows nothing private even if the evidence keeps everything; accepted mail has none; the
// console is not there.
func TestRefusal(t *testing.T) {
	const private = "Zebra-Recipient"
	for _, kept := range []struct{ name, config string }{
		{"evidence and history", "[bundles]\ndir = '" + t.TempDir() + "'\nkeep = 'all'\nprivate = true\n[store]\nurl = 'sqlite:" + t.TempDir() + "/store.db'\njournal_dir = '" + t.TempDir() + "'\n"},
		{"evidence", "[bundles]\ndir = '" + t.TempDir() + "'\nkeep = 'all'\nprivate = true\n[store]\nurl = 'none'\n"},
	} {
		t.Run(kept.name, func(t *testing.T) {
			d := run(t, "reply_url = 'https://mx.test/r/'\n"+listeners+"public = '127.0.0.1:0'\n"+kept.config+
				"[[rule]]\nname = 'Zebra rule'\nwhen = 'author.domains.exists(d, d.within(\"rule.test\"))'\naction = 'reject'\nwhy = 'Zebra reason'\n")
			mail := func(author string) string {
				return "From: Zebra <zebra-author@" + author + ">\nTo: zebra-to@zebra-mailbox.test\nSubject: zebra subject\nMessage-ID: <zebra@id.test>\n\nzebra body\n"
			}
			given := d.post("ip=192.0.2.1&helo=x.test&from=zebra-sender@reject.test&rcpt=zebra-rcpt@zebra-mailbox.test", mail("reject.test"))
			lines := fmt.Sprint(given["decision"])
			found := linked.FindStringSubmatch(lines)
			if found == nil {
				t.Fatalf("no link in %s", lines)
			}
			status, body := d.publicPage(found[1])
			if status != 200 {
				t.Fatalf("%d %s", status, body)
			}
			for _, want := range []string{"reject.test", "192.0.2.1", "v=DMARC1; p=reject", "postmaster@mx.test", "Details: https://mx.test/r/", "DNS lookups: 0 of 10.", "There is no sign of a mailing list or a forwarder."} {
				if !strings.Contains(body, want) {
					t.Errorf("%q is missing in\n%s", want, body)
				}
			}
			pages := []string{body}
			ruled := linked.FindStringSubmatch(fmt.Sprint(d.post("ip=192.0.2.1&helo=x.test&from=zebra-sender@rule.test", mail("rule.test"))["decision"]))
			if ruled == nil {
				t.Fatal("a local rule gives no link")
			}
			status, body = d.publicPage(ruled[1])
			if status != 200 || !strings.Contains(body, "A rule set by this server") {
				t.Errorf("a local rule: %d %s", status, body)
			}
			for _, page := range append(pages, body) {
				if i := strings.Index(strings.ToLower(page), strings.ToLower(private[:5])); i >= 0 {
					t.Errorf("private text on the page: %q", page[max(0, i-20):min(len(page), i+40)])
				}
			}
			accepted := d.post("ip=192.0.2.1&helo=x.test&from=a@accept.test", mail("accept.test"))
			ref := accepted["ref"].(string)
			_, nothing := d.publicPage("/r/00000000-000000")
			for _, path := range []string{"/r/" + ref + "-" + d.replyTag(ref), "/r/" + strings.TrimSuffix(found[1][3:], found[1][len(found[1])-1:]), "/live", "/v1/verdicts", "/metrics", "/"} {
				if status, body := d.publicPage(path); status != 404 || body != nothing {
					t.Errorf("%s: %d %s", path, status, body)
				}
			}
		})
	}
}
