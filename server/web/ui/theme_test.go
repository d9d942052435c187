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

// TestDarkIsDark: dark that was chosen has the colors of dark that follows the system, which axe looks at.
func TestDarkIsDark(t *testing.T) {
	var found []string
	for _, mark := range []string{":root:not([data-theme=light]){", ":root[data-theme=dark]{color-scheme:dark;"} {
		_, rest, ok := strings.Cut(string(style), mark)
		colors, _, _ := strings.Cut(rest, "}")
		if !ok || !strings.Contains(colors, "--ink:") {
			t.Fatalf("%s is missing", mark)
		}
		found = append(found, colors)
	}
	if found[0] != found[1] {
		t.Errorf("%s\n%s", found[0], found[1])
	}
}
