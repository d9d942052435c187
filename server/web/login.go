package web

import (
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"postseal/server/listener"
)

// newLogins limits the attempts to guess a token: five per minute for a client, twenty for all.
func newLogins() *ClientLimits {
	return &ClientLimits{All: rate.NewLimiter(rate.Every(time.Minute/20), 20), Each: rate.Every(time.Minute / 5), Burst: 5, MaxClients: 1000}
}

// LoginCode is the response to POST /v1/login-codes.
type LoginCode struct {
	Schema  string `json:"schema"`
	Path    string `json:"path"`    // where to open it
	Seconds int    `json:"seconds"` // how long it is valid
}

// LoginSchema identifies the JSON format of a LoginCode.
const LoginSchema = "postseal.login/1"

func (w *web) loginRoutes() []Route {
	return []Route{
		{Method: http.MethodGet, Path: "/login", Access: Open, Page: true, Handler: w.loginForm},
		{Method: http.MethodPost, Path: "/login/enter", Access: Open, Page: true, Handler: w.login},
		{Method: http.MethodPost, Path: "/logout", Access: Reader, Page: true, Handler: w.logout},
		{Method: http.MethodPost, Path: "/theme", Access: Reader, Page: true, Handler: w.setTheme},
		{Method: http.MethodPost, Path: "/v1/login-codes", Access: Admin, Handler: JSON(w.engine, func(r *http.Request) (any, error) {
			return LoginCode{LoginSchema, "/login?code=" + w.sessions.newCode(r.Context()), int(codeLife.Seconds())}, nil
		})},
	}
}

// loginPage needs no script and no other file. A code is only used when the button is pressed,
// so a program that merely opens a link does not consume it.
var loginPage = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en"{{with .Theme}} data-theme="{{.}}"{{end}}><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>Log in · postseal</title>
{{with .Icon}}<link rel="icon" href="{{.}}">{{end}}{{with .Style}}<link rel="stylesheet" href="{{.}}">{{end}}</head><body><main class="pub"><h1>Log in to postseal</h1>
{{if .Problem}}<p class="note w" role="alert">{{.Problem}}</p>{{end}}
{{if .Off}}<div class="state off"><p><b>This daemon has no token, so no one can log in.</b></p><p>Run it with a state directory (<code>STATE_DIRECTORY</code>, as systemd does), where it makes one, or set <code>[listen] http_token_file</code>.</p></div>{{else}}<form method="post" action="/login/enter"><input type="hidden" name="next" value="{{.Next}}">
{{if .Code}}<input type="hidden" name="code" value="{{.Code}}"><p>This link opens the console once.</p>
<p><button class="btn pri">Open the console</button></p>
{{else}}{{if .Users}}<p><label for="name">Name</label></p><p><input class="fld" id="name" name="name" autocomplete="username" autofocus></p>{{else}}<input name="name" autocomplete="username" hidden>{{end}}<p><label for="token">{{if .Users}}Password, or the token without a name{{else}}Token{{end}}</label></p><p><input class="fld" id="token" name="token" type="password" autocomplete="current-password" required{{if not .Users}} autofocus{{end}}></p>
<p><button class="btn pri">Log in</button></p>
<p class="small">Run <code>postseal ui</code> on the mail server for a link that logs you in. The token is in the file of
<code>[listen] http_token_file</code>, or in <code>console.token</code> of the state directory.</p>{{end}}
</form>{{end}}</main></body></html>
`))

type loginData struct {
	Next, Code, Problem, Theme string
	Icon, Style                string // paths
	Users                      bool   // people log in with a name
	Off                        bool   // there is nothing to log in with
}

func (w *web) loginForm(rw http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	w.showLogin(rw, r, http.StatusOK, loginData{Next: inside(q.Get("next")), Code: q.Get("code")})
}

func (w *web) showLogin(rw http.ResponseWriter, r *http.Request, status int, d loginData) {
	s := w.engine.Current()
	d.Theme, d.Users, d.Off = Theme(r), len(s.Users) > 0, d.Code == "" && !s.Token.Set() && len(s.Users) == 0
	d.Icon, d.Style = w.assets["icon.svg"], w.assets["style.css"]
	PageHeaders(rw)
	rw.WriteHeader(status)
	loginPage.Execute(rw, d) //nolint:errcheck // the client is gone
}

// inside returns the path of ours to continue with; it never returns an external address.
func inside(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}

// login accepts the token or a code, and starts a session.
func (w *web) login(rw http.ResponseWriter, r *http.Request) {
	const longest = 16 << 10
	s := w.engine.Current()
	if !w.knownHost(s, r) || !sameSite(r, false) {
		problem(rw, http.StatusForbidden, "a request from a page of another site, or to an unknown name")
		return
	}
	who := Client(s, r, false)
	r.Body = http.MaxBytesReader(rw, r.Body, longest)
	next := inside(r.PostFormValue("next"))
	if !w.logins.Allow(who) {
		rw.Header().Set("Retry-After", "60")
		w.showLogin(rw, r, http.StatusTooManyRequests, loginData{Next: next, Problem: "Too many attempts. Wait a minute."})
		return
	}
	code := r.PostFormValue("code")
	user, ok := w.loggedIn(s, r, code)
	if !ok {
		w.engine.Log.Warn("a login to the console failed", "door", listener.HTTP, "client", who)
		d := loginData{Next: next, Problem: "This is not the token."}
		switch {
		case code != "":
			d.Problem = "This link was used already, or is older than five minutes."
		case len(s.Users) > 0:
			d.Problem = "Name and password do not match."
		}
		w.showLogin(rw, r, http.StatusForbidden, d)
		return
	}
	w.engine.Log.Info("a login to the console", "door", listener.HTTP, "client", who, "user", listener.Text(user.Name))
	w.sessions.begin(rw, r, user, s.Token)
	http.Redirect(rw, r, next, http.StatusSeeOther)
}

// loggedIn returns who logs in: by a code, the token, or a name and its password. A name that does
// not exist costs as much as a wrong password.
func (w *web) loggedIn(s *listener.Snapshot, r *http.Request, code string) (u listener.User, ok bool) {
	password, name := r.PostFormValue("token"), r.PostFormValue("name")
	switch {
	case code != "":
		return tokenUser, w.sessions.redeem(r.Context(), code)
	case s.Token.Is(password):
		return tokenUser, true
	case len(s.Users) == 0:
		return u, false
	}
	w.hashing.Lock() // a hash takes 19 MiB: one at a time
	defer w.hashing.Unlock()
	candidate := s.Users[0]
	i := slices.IndexFunc(s.Users, func(u listener.User) bool { return u.Name == name })
	if i >= 0 {
		candidate = s.Users[i]
	}
	same := candidate.Is(password)
	return candidate, same && i >= 0
}

func (w *web) logout(rw http.ResponseWriter, r *http.Request) {
	if err := w.sessions.end(rw, r); err != nil {
		w.engine.Log.Error("a logout ended the login on this host only: the database does not answer", "door", listener.HTTP, "error", listener.Text(err))
	}
	http.Redirect(rw, r, "/login", http.StatusSeeOther)
}

// PageHeaders sets the header fields of a page for people: nothing is loaded from other sites,
// no inline script or style runs, and no other page may frame it.
func PageHeaders(rw http.ResponseWriter) {
	h := rw.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}
