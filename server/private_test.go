package server

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestMasked: with [bundles] private no page and no JSON shows a local part or a subject, until an administrator
// asks for those of one message; the log says who did. Copies stay masked.
func TestMasked(t *testing.T) {
	d := runOn(t, listeners+"[bundles]\ndir = '"+t.TempDir()+"'\nprivate = true\nkeep = 'all'\n[store]\nurl = 'sqlite:"+t.TempDir()+"/store.db'\njournal_dir = '"+t.TempDir()+"'\n",
		zone+"quote.test. 60 TXT \"v=spf1 exists:%{l}.ex.quote.test -all exp=why.quote.test\"\nwhy.quote.test. 60 TXT \"%{l} may not send, nor %{s}\"\n_dmarc.quote.test. 60 TXT \"v=DMARC1; p=reject; rua=mailto:reports@quote.test\"\n")
	ref := d.post("ip=192.0.2.1&helo=x.test&from=secret.local%2Btag@quote.test&rcpt=secretrcpt@X.test", "From: \"Secretname\" <secretfrom@quote.test>\r\nTo: secretto@x.test, \"secret quoted\"@x.test\r\nSubject: secretsubject & <more>\r\nMessage-ID: <secretmid@x>\r\n\r\nx\n")["ref"].(string)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, body := d.get("/v/" + ref); strings.Contains(body, `id="postman"`) {
			break // the history has it
		}
	}
	for _, path := range []string{"/v/" + ref, "/v/" + ref + "?dns=now", "/v1/verdicts/" + ref, "/v1/verdicts/" + ref + "/story?dns=now", "/live?show=all", "/search?q=author:quote.test", "/v1/verdicts", "/whatif"} {
		status, body := d.get(path)
		if i := strings.Index(strings.ToLower(body), "secret"); status != 200 || i >= 0 {
			t.Errorf("%s: %d, %q", path, status, body[max(0, i-100):min(len(body), max(0, i)+60)])
		}
	}
	status, body := d.get("/v/" + ref)
	for _, want := range []string{"s…@quote.test", "s…@X.test", "Local parts are masked.", ">Show</button>", "(a name with the local part)"} {
		if !strings.Contains(body, want) {
			t.Errorf("%d, %q is missing in\n%.9000s", status, want, body)
		}
	}
	_, body = d.do(http.MethodPost, "/v/"+ref+"/show", "")
	for _, want := range []string{"secret.local&#43;tag@quote.test", "secretrcpt@X.test", "&#34;Secretname&#34; &lt;secretfrom@quote.test&gt;", "secretsubject &amp; &lt;more&gt;", "The log says who asked"} {
		if !strings.Contains(body, want) {
			t.Errorf("after Show, %q is missing in\n%.12000s", want, body)
		}
	}
	if _, copied, ok := strings.Cut(body, `id="postman"`); !ok || strings.Contains(strings.ToLower(copied[:strings.Index(copied, "</pre>")]), "secret") {
		t.Error("the copy for the postmaster holds a local part")
	}
	if log := d.log.String(); !strings.Contains(log, "POST /v/"+ref+"/show") || strings.Contains(log, "secret") {
		t.Errorf("the log:\n%s", log)
	}
	if _, body := d.get("/v/" + ref); strings.Contains(body, "secret") {
		t.Error("it is still shown on the next page")
	}
}
