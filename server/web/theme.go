package web

import (
	"net/http"
	"time"
)

// themeCookie names the cookie with the colors that a reader chose, and themeLasts is how long a
// browser keeps it.
const (
	themeCookie = "theme"
	themeLasts  = 365 * 24 * time.Hour
)

// Theme returns the colors that the reader of a page chose, light or dark; "" for those of the
// system.
func Theme(r *http.Request) string {
	c, err := r.Cookie(themeCookie)
	if err != nil || c.Value != "light" && c.Value != "dark" {
		return ""
	}
	return c.Value
}

// setTheme is POST /theme: it keeps the choice in a cookie, and shows the page again. The server
// writes the choice into each page, so no page is shown in other colors first.
func (w *web) setTheme(rw http.ResponseWriter, r *http.Request) {
	const longest = 16 << 10
	r.Body = http.MaxBytesReader(rw, r.Body, longest)
	c := http.Cookie{Name: themeCookie, Path: "/", HttpOnly: true, Secure: overTLS(r), SameSite: http.SameSiteStrictMode}
	switch choice := r.PostFormValue("theme"); choice {
	case "light", "dark":
		c.Value, c.MaxAge = choice, int(themeLasts.Seconds())
	case "auto", "":
		c.MaxAge = -1
	default:
		problem(rw, http.StatusBadRequest, "theme is not one of light, dark, auto")
		return
	}
	http.SetCookie(rw, &c)
	http.Redirect(rw, r, inside(r.PostFormValue("next")), http.StatusSeeOther)
}
