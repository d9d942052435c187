package web

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"postseal/internal/app/conf"
	"postseal/server/listener"
)

// Access says who may use a route.
type Access string

// The kinds of access.
const (
	// Open is for everyone: health and metrics, which show no mail.
	Open Access = "open"
	// Host is for local clients, and for others with the token or a login.
	Host Access = "host"
	// Reader needs the token or a login, even for local clients. If there is no token, which
	// only happens when the state directory cannot be used, it is like Host.
	Reader Access = "reader"
	// Admin is like Reader, for those whose role is admin: it changes things.
	Admin Access = "admin"
)

// Route is one path of the http listener.
type Route struct {
	Method  string // GET includes HEAD
	Path    string // a pattern of http.ServeMux without a method
	Access  Access
	Page    bool   // for people: users who are not logged in are sent to the login page
	Stream  bool   // it lasts as long as its reader: the number of those is limited
	Asset   string // the name of a file that pages load, such as style.css; Path has a hash of its content too
	Handler http.HandlerFunc
}

// admit accepts a request if its client may use the route. A page of another site cannot use a
// reader's browser (Fetch Metadata, RFC 6454), nor reach the listener through its own name.
func (w *web) admit(route Route) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		s := w.engine.Current()
		switch {
		case route.Access == Open:
		case !w.knownHost(s, r):
			problem(rw, http.StatusMisdirectedRequest, "this host name is not accepted: add it to [web] hosts")
			return
		case !sameSite(r, route.Page):
			problem(rw, http.StatusForbidden, "a request from a page of another site")
			return
		case claimsUser(s, r):
			problem(rw, http.StatusBadRequest, "the field of [web] auth_header may come from a trusted proxy only")
			return
		case !w.mayUse(s, route.Access, r):
			w.refuse(rw, r, s, route)
			return
		case route.Access == Admin:
			w.note(s, r)
		}
		if route.Stream {
			end, refused := w.streams.begin(w.sessionOf(s, r))
			if refused != nil {
				rw.Header().Set("Retry-After", "5")
				problem(rw, refused.Status, refused.Detail)
				return
			}
			defer end()
		}
		route.Handler(rw, w.withUser(s, r))
	}
}

// knownHost reports whether the host name in the request is one of ours.
func (w *web) knownHost(s *listener.Snapshot, r *http.Request) bool {
	if viaUnix(r) {
		return true
	}
	name := r.Host
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.Unmap().IsLoopback() || ip.Unmap() == arrivedAt(r)
	}
	if name == "localhost" {
		return true
	}
	for _, h := range s.Config.Web.Hosts {
		if strings.EqualFold(string(h), name) {
			return true
		}
	}
	return false
}

// arrivedAt returns the address of this host that a request came to.
func arrivedAt(r *http.Request) netip.Addr {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return netip.Addr{}
	}
	at, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// viaUnix reports whether a request came through a unix socket, whose file mode decides who may
// use it.
func viaUnix(r *http.Request) bool {
	_, err := netip.ParseAddrPort(r.RemoteAddr)
	return err != nil
}

// crossOrigin rejects requests that change something and come from a page of another site.
var crossOrigin = http.NewCrossOriginProtection()

// sameSite reports whether a request was not made by a page of another site. Links to our pages
// may be followed from anywhere.
func sameSite(r *http.Request, page bool) bool {
	if crossOrigin.Check(r) != nil {
		return false
	}
	if page && r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" {
		return true
	}
	origin, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	switch site {
	case "", "none", "same-origin":
	default:
		return false
	}
	// Our pages send no referrer, so browsers send "Origin: null" with their forms (Fetch standard, append a request
	// Origin header). No page can set Sec-Fetch-Site.
	return origin == "" || origin == "null" && site == "same-origin" || strings.EqualFold(strings.TrimPrefix(strings.TrimPrefix(origin, "https://"), "http://"), r.Host)
}

// mayUse reports whether the client of a request has the access.
func (w *web) mayUse(s *listener.Snapshot, access Access, r *http.Request) bool {
	user, known := w.userOf(s, r)
	switch {
	case known && (access != Admin || user.Role == listener.AdminRole):
		return true
	case access == Host:
		return !s.Configured && local(r)
	}
	return !known && !s.Token.Set() && local(r)
}

// userOf returns who makes a request: the holder of the token, who is logged in, or whom a
// trusted proxy logged in.
func (w *web) userOf(s *listener.Snapshot, r *http.Request) (listener.User, bool) {
	text, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if bearer && s.Token.Is(text) {
		return tokenUser, true
	}
	if u, ok := w.sessions.valid(r, s); ok {
		return u, true
	}
	name := r.Header.Get(s.Config.Web.AuthHeader)
	if s.Config.Web.AuthHeader == "" || name == "" || !fromProxy(s, r) {
		return listener.User{}, false
	}
	u := listener.User{Name: name, Role: listener.ReaderRole}
	if h := s.Config.Web.RoleHeader; h != "" && r.Header.Get(h) == string(listener.AdminRole) {
		u.Role = listener.AdminRole
	}
	return u, true
}

// sessionOf names the session of a request. It is "" for programs that have the token, and for local clients without
// one: they have no session.
func (w *web) sessionOf(s *listener.Snapshot, r *http.Request) string {
	text, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if bearer && s.Token.Is(text) {
		return ""
	}
	if _, ok := w.sessions.valid(r, s); ok {
		c, err := r.Cookie(cookieName(r))
		if err == nil {
			return "session " + c.Value
		}
	}
	if u, known := w.userOf(s, r); known {
		return "user " + u.Name // of the proxy, which keeps the session
	}
	return ""
}

// withUser returns r with who made it, for UserOf.
func (w *web) withUser(s *listener.Snapshot, r *http.Request) *http.Request {
	u, known := w.userOf(s, r)
	if !known && !s.Token.Set() && local(r) {
		u = listener.User{Name: "(local)", Role: listener.AdminRole}
	}
	return WithUser(r, u)
}

// WithUser returns r as made by u, for UserOf.
func WithUser(r *http.Request, u listener.User) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), userKey{}, u))
}

type userKey struct{}

// UserOf returns who made a request that a Route serves; the zero User if that is not known.
func UserOf(r *http.Request) listener.User {
	u, _ := r.Context().Value(userKey{}).(listener.User)
	return u
}

// tokenUser is the holder of the token.
var tokenUser = listener.User{Name: "token", Role: listener.AdminRole}

// fromProxy reports whether a request came from a trusted proxy.
func fromProxy(s *listener.Snapshot, r *http.Request) bool {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && trustedProxy(s, at.Addr().Unmap())
}

// claimsUser reports whether a request names a user in the fields of a proxy, but does not come from
// a trusted one.
func claimsUser(s *listener.Snapshot, r *http.Request) bool {
	for _, h := range []string{s.Config.Web.AuthHeader, s.Config.Web.RoleHeader} {
		if h != "" && r.Header.Get(h) != "" && !fromProxy(s, r) {
			return true
		}
	}
	return false
}

// note logs who changes something.
func (w *web) note(s *listener.Snapshot, r *http.Request) {
	u, _ := w.userOf(s, r)
	w.engine.Log.Info("an act in the console", "door", listener.HTTP, "user", listener.Text(cmp.Or(u.Name, "(local)")), "client", Client(s, r, false), "act", r.Method+" "+listener.Text(r.URL.Path))
}

// forwardedBy are the fields in which a proxy says that it forwards a request.
var forwardedBy = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"}

// local reports whether a request was made on this host, and not for a client of a proxy on it.
func local(r *http.Request) bool {
	if slices.ContainsFunc(forwardedBy, func(name string) bool { return r.Header.Get(name) != "" }) {
		return false
	}
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	return err != nil || at.Addr().Unmap().IsLoopback()
}

// Client returns the address under which a request is counted: the one that a trusted proxy
// names, or else that of the connection, as a /64 for IPv6. With trustLoopback, a proxy on this host
// is trusted too. The address is for counting only, never for access.
func Client(s *listener.Snapshot, r *http.Request, trustLoopback bool) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return "unix"
	}
	addr := at.Addr().Unmap()
	names := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(names) - 1; i >= 0 && (trustedProxy(s, addr) || trustLoopback && addr.IsLoopback()); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(names[i]))
		if err != nil {
			break
		}
		addr = next.Unmap().WithZone("")
	}
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil { // one client has at least this network
			return p.String()
		}
	}
	return addr.String()
}

func trustedProxy(s *listener.Snapshot, addr netip.Addr) bool {
	return slices.ContainsFunc(s.Config.Web.TrustedProxies, func(p conf.Prefix) bool { return p.Contains(addr) })
}

// refuse tells the client what is missing. A user who is known has too low a role.
func (w *web) refuse(rw http.ResponseWriter, r *http.Request, s *listener.Snapshot, route Route) {
	_, known := w.userOf(s, r)
	switch {
	case known:
		problem(rw, http.StatusForbidden, "this needs the role admin")
	case !s.Token.Set():
		problem(rw, http.StatusForbidden, "only local clients may use it: set [listen] http_token_file")
	case route.Page:
		http.Redirect(rw, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
	default:
		rw.Header().Set("WWW-Authenticate", "Bearer")
		problem(rw, http.StatusUnauthorized, "the token is missing or wrong: send Authorization: Bearer TOKEN; it is in [listen] http_token_file, or else in console.token in the state directory")
	}
}
