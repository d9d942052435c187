package web

import (
	"crypto/rand"
	"net/http"
	"slices"
	"sync"
	"time"

	"postseal/server/listener"
)

// The lifetimes of a session and of a login code.
const (
	sessionIdle  = 12 * time.Hour
	sessionLimit = 7 * 24 * time.Hour
	codeLife     = 5 * time.Minute
	maxSessions  = 1000
)

// sessions are the logged-in browsers, and the codes for one login each. They end with the
// daemon.
type sessions struct {
	now  func() time.Time
	mu   sync.Mutex
	byID map[string]*session
	code map[string]time.Time // until when it is valid
}

type session struct {
	began, seen time.Time
	user        listener.User
	token       listener.Token // it ends when the token changes
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, byID: map[string]*session{}, code: map[string]time.Time{}}
}

// cookieName is the name of a session cookie. A browser sends a cookie whose name starts with
// __Host- only to this host, over TLS.
func cookieName(r *http.Request) string {
	if overTLS(r) {
		return "__Host-postseal"
	}
	return "postseal"
}

// overTLS reports whether the browser uses TLS, to us or to the proxy in front of us. A false
// claim here only changes the name of a cookie.
func overTLS(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}

// valid returns the user of the session that a request belongs to, and keeps it alive. A session
// ends when the token changes, or the line of its user.
func (s *sessions) valid(r *http.Request, now *listener.Snapshot) (u listener.User, ok bool) {
	c, err := r.Cookie(cookieName(r))
	if err != nil {
		return u, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.now()
	x := s.byID[c.Value]
	if x == nil || at.Sub(x.seen) > sessionIdle || at.Sub(x.began) > sessionLimit || !x.holds(now) {
		delete(s.byID, c.Value)
		return u, false
	}
	x.seen = at
	return x.user, true
}

// holds reports whether the login is still good.
func (x *session) holds(now *listener.Snapshot) bool {
	if x.user == tokenUser {
		return now.Token.Set() && x.token == now.Token
	}
	return slices.Contains(now.Users, x.user)
}

// begin starts a session in the browser of r.
func (s *sessions) begin(rw http.ResponseWriter, r *http.Request, user listener.User, token listener.Token) {
	id := rand.Text()
	s.mu.Lock()
	s.evict()
	s.byID[id] = &session{s.now(), s.now(), user, token}
	s.mu.Unlock()
	http.SetCookie(rw, &http.Cookie{Name: cookieName(r), Value: id, Path: "/", HttpOnly: true, Secure: overTLS(r), SameSite: http.SameSiteStrictMode})
}

// evict removes expired sessions, and the least recently used one if there are too many.
func (s *sessions) evict() {
	oldest, now := "", s.now()
	for id, x := range s.byID {
		switch {
		case now.Sub(x.seen) > sessionIdle || now.Sub(x.began) > sessionLimit:
			delete(s.byID, id)
		case oldest == "" || x.seen.Before(s.byID[oldest].seen):
			oldest = id
		}
	}
	if len(s.byID) >= maxSessions {
		delete(s.byID, oldest)
	}
}

// end ends the session of a request.
func (s *sessions) end(rw http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(cookieName(r)); err == nil {
		s.mu.Lock()
		delete(s.byID, c.Value)
		s.mu.Unlock()
	}
	http.SetCookie(rw, &http.Cookie{Name: cookieName(r), Path: "/", MaxAge: -1, HttpOnly: true, Secure: overTLS(r), SameSite: http.SameSiteStrictMode})
}

// newCode creates a code for one login.
func (s *sessions) newCode() string {
	code := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for c, until := range s.code {
		if now.After(until) {
			delete(s.code, c)
		}
	}
	if len(s.code) < maxSessions {
		s.code[code] = now.Add(codeLife)
	}
	return code
}

// redeem uses up a code.
func (s *sessions) redeem(code string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.code[code]
	delete(s.code, code)
	return ok && !s.now().After(until)
}
