package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"postseal/server/listener"
)

// TestMemoryShort: no message is taken, metrics and health are there.
func TestMemoryShort(t *testing.T) {
	h, e := handler(t, io.Discard, nil)
	e.Memory = listener.NewMemory(1, "off")
	for path, want := range map[string]int{"/v1/verify?ip=192.0.2.1": http.StatusServiceUnavailable, "/metrics": http.StatusOK, "/healthz": http.StatusOK} {
		method, body := "GET", ""
		if strings.HasPrefix(path, "/v1") {
			method, body = "POST", mail
		}
		rw := httptest.NewRecorder()
		h.ServeHTTP(rw, request(method, path, body))
		if rw.Code != want || (want == http.StatusServiceUnavailable) != (rw.Header().Get("Retry-After") != "") {
			t.Errorf("%s: %d, Retry-After %q, want %d", path, rw.Code, rw.Header().Get("Retry-After"), want)
		}
	}
}
