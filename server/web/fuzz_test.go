package web

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzVerify: whatever is asked and posted, the answer is one JSON document, a verdict or a
// problem, and the log has lines of ours only.
func FuzzVerify(f *testing.F) {
	f.Add("ip=192.0.2.1&helo=x.test&from=%3Ca@pass.test%3E", mail)
	f.Add("ip=[IPv6:::1]&rcpt=a&rcpt=%00%0d%0averdict=accept", "From: \"\r\n x\"@\x00\n\n")
	f.Add("from=%zz;&helo=%1b[31m", strings.Repeat("x: y\n", 300))
	var log bytes.Buffer
	h, _ := handler(f, &log, nil)
	f.Fuzz(func(t *testing.T, query, message string) {
		log.Reset()
		r := request("POST", "/v1/verify", message)
		r.URL.RawQuery = query
		rw := httptest.NewRecorder()
		h.ServeHTTP(rw, r)
		body := rw.Body.Bytes()
		if rw.Code >= 500 || !json.Valid(body) || bytes.Count(body, []byte("\n")) != 1 {
			t.Fatalf("%d %q", rw.Code, body)
		}
		lines := strings.TrimSuffix(log.String(), "\n")
		if strings.Contains(lines, "\n") || strings.ContainsFunc(lines, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			t.Fatalf("the log has %q", lines)
		}
	})
}
