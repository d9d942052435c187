package ui

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestThemeOfPage: the server writes the chosen colors into the page, and the page offers the others.
// The form leads back to the address of the page.
func TestThemeOfPage(t *testing.T) {
	h := handler(&source{db: filled(t)})
	for theme, want := range map[string][]string{
		"":      {`<html lang="en"><head>`, `value="light"`, `value="dark"`},
		"light": {`<html lang="en" data-theme="light">`, `value="auto"`, `value="dark"`},
		"dark":  {`<html lang="en" data-theme="dark">`, `value="auto"`, `value="light"`},
	} {
		r := httptest.NewRequest("GET", "/search?q=author:bank.test&after=", nil)
		if theme != "" {
			r.AddCookie(&http.Cookie{Name: "theme", Value: theme})
		}
		rw := httptest.NewRecorder()
		h.ServeHTTP(rw, r)
		for _, part := range append(want, `name="next" value="/search?q=author:bank.test&amp;after="`) {
			if !strings.Contains(rw.Body.String(), part) {
				t.Errorf("%q: %s is missing", theme, part)
			}
		}
		if theme != "" && strings.Contains(rw.Body.String(), `value="`+theme+`">`) {
			t.Errorf("%q is offered although it is chosen", theme)
		}
	}
}
