package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestTheme: the choice of colors is kept in a cookie and leads back to the page; what is not a
// choice is refused, and no choice leads to another site.
func TestTheme(t *testing.T) {
	h, w := console(t, "")
	rec := httptest.NewRecorder()
	w.sessions.begin(rec, request("POST", "/login/enter", ""), tokenUser, w.engine.Current().Token)
	session := rec.Result().Cookies()[0]
	for _, c := range []struct {
		theme, next   string
		status        int
		to, cookie    string
		overTLS, gone bool
	}{
		{"dark", "/search?q=a+b", 303, "/search?q=a+b", "dark", false, false},
		{"light", "//evil.test/", 303, "/", "light", true, false},
		{"auto", "https://evil.test/", 303, "/", "", false, true},
		{"pink", "/live", 400, "", "", false, false},
		{"", "/live", 303, "/live", "", false, true},
	} {
		r := request("POST", "/theme", url.Values{"theme": {c.theme}, "next": {c.next}}.Encode())
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.AddCookie(session)
		if c.overTLS {
			r.Header.Set("X-Forwarded-Proto", "https")
			r.Header.Set("Authorization", "Bearer "+consoleToken)
		}
		rw := httptest.NewRecorder()
		h.ServeHTTP(rw, r)
		cookies := rw.Result().Cookies()
		if rw.Code != c.status || rw.Header().Get("Location") != c.to {
			t.Errorf("%q: %d to %q", c.theme, rw.Code, rw.Header().Get("Location"))
		}
		switch {
		case c.status != 303 && len(cookies) > 0:
			t.Errorf("%q: refused, and sets %v", c.theme, cookies)
		case c.status == 303 && (len(cookies) != 1 || cookies[0].Value != c.cookie || (cookies[0].MaxAge < 0) != c.gone || cookies[0].Secure != c.overTLS || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode):
			t.Errorf("%q: cookies %v", c.theme, cookies)
		}
	}
	for value, want := range map[string]string{"dark": ` data-theme="dark"`, "light": ` data-theme="light"`, `"><script>`: "", "auto": ""} {
		r := request("GET", "/login", "")
		r.AddCookie(&http.Cookie{Name: "theme", Value: value})
		rw := httptest.NewRecorder()
		h.ServeHTTP(rw, r)
		if got := rw.Body.String(); !strings.Contains(got, `<html lang="en"`+want+">") {
			t.Errorf("%q: %.80s", value, got)
		}
	}
}
