package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"slices"
	"sync"
	"time"

	"postseal/internal/app/fleet"
	"postseal/server/listener"
)

// The lifetimes of a session and of a login code.
const (
	sessionIdle  = 12 * time.Hour
	sessionLimit = 7 * 24 * time.Hour
	codeLife     = 5 * time.Minute
	maxSessions  = 1000
)

// Logins keep logins where all daemons of a fleet find them.
type Logins interface {
	BeginLogin(ctx context.Context, x *fleet.Login, l fleet.Lifetimes) error
	FindLogin(ctx context.Context, id []byte, l fleet.Lifetimes) (fleet.Login, bool, error)
	EndLogin(ctx context.Context, id []byte) error
	AddCode(ctx context.Context, id []byte, l fleet.Lifetimes) error
	TakeCode(ctx context.Context, id []byte, l fleet.Lifetimes) (bool, error)
}

// withoutFleet is how long a login of the fleet holds here while the database is away: it may have
// ended elsewhere.
const withoutFleet = 10 * time.Minute

// idLen is the length of what a browser holds (rand.Text).
const idLen = 26

var lifetimes = fleet.Lifetimes{Idle: sessionIdle, Limit: sessionLimit, Code: codeLife, Most: maxSessions}

// sessions are the logged-in browsers, and the codes for one login each. Those of this daemon end
// with it; those of a fleet are in its database.
type sessions struct {
	now    func() time.Time
	logins Logins // nil for a daemon of its own
	mu     sync.Mutex
	byID   map[string]*session
	code   map[string]time.Time // until when it is valid
}

type session struct {
	began, seen time.Time
	name        string
	proof       listener.Proof // it ends when the credentials change
	member      bool           // the token is that of another daemon of the fleet
	confirmed   time.Time      // when the fleet last knew it; zero if only this daemon does
}

func newSessions(now func() time.Time, logins Logins) *sessions {
	return &sessions{now: now, logins: logins, byID: map[string]*session{}, code: map[string]time.Time{}}
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
	if err != nil || len(c.Value) != idLen {
		return u, false
	}
	if s.logins != nil {
		s.confirm(r.Context(), c.Value)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.now()
	x := s.byID[c.Value]
	if x == nil {
		return u, false
	}
	if u, ok = x.user(now); !ok || s.ended(x, at) {
		delete(s.byID, c.Value)
		return listener.User{}, false
	}
	x.seen = at
	return u, true
}

// confirm asks the fleet about a session. If the fleet does not answer, what was known stays for a
// while, and so does a login that was made without it.
func (s *sessions) confirm(ctx context.Context, id string) {
	found, ok, err := s.logins.FindLogin(ctx, sum(id), lifetimes)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.byID[id]
	switch {
	case ok && x == nil:
		s.evict()
		x = &session{began: s.now(), name: found.Name}
		copy(x.proof[:], found.Proof)
		s.byID[id] = x
	case !ok && x != nil && !x.confirmed.IsZero():
		delete(s.byID, id)
	}
	if ok {
		x.seen, x.member, x.confirmed = s.now(), found.Member, s.now()
	}
}

// ended reports whether the time of a session is over.
func (s *sessions) ended(x *session, at time.Time) bool {
	return at.Sub(x.seen) > sessionIdle || at.Sub(x.began) > sessionLimit || !x.confirmed.IsZero() && at.Sub(x.confirmed) > withoutFleet
}

// user returns whose session it is, as long as the login is still good.
func (x *session) user(now *listener.Snapshot) (u listener.User, ok bool) {
	if x.name == tokenUser.Name && (x.member || now.Token.Set() && x.proof == now.Token.Proof()) {
		return tokenUser, true
	}
	i := slices.IndexFunc(now.Users, func(u listener.User) bool { return u.Name == x.name && u.Proof() == x.proof })
	if i < 0 {
		return u, false
	}
	return now.Users[i], true
}

// begin starts a session in the browser of r.
func (s *sessions) begin(rw http.ResponseWriter, r *http.Request, user listener.User, token listener.Token) {
	id := rand.Text()
	x := &session{began: s.now(), seen: s.now(), name: user.Name, proof: user.Proof()}
	if user == tokenUser {
		x.proof = token.Proof()
	}
	if s.logins != nil && s.logins.BeginLogin(r.Context(), &fleet.Login{ID: sum(id), Name: user.Name, Role: string(user.Role), Proof: x.proof[:]}, lifetimes) == nil {
		x.confirmed = s.now()
	}
	s.mu.Lock()
	s.evict()
	s.byID[id] = x
	s.mu.Unlock()
	http.SetCookie(rw, &http.Cookie{Name: cookieName(r), Value: id, Path: "/", HttpOnly: true, Secure: overTLS(r), SameSite: http.SameSiteStrictMode})
}

// sum is what the database holds of what a browser holds.
func sum(id string) []byte {
	h := sha256.Sum256([]byte(id))
	return h[:]
}

// evict removes sessions that ended, and the least recently used one if there are too many.
func (s *sessions) evict() {
	oldest, now := "", s.now()
	for id, x := range s.byID {
		switch {
		case s.ended(x, now):
			delete(s.byID, id)
		case oldest == "" || x.seen.Before(s.byID[oldest].seen):
			oldest = id
		}
	}
	if len(s.byID) >= maxSessions {
		delete(s.byID, oldest)
	}
}

// end ends the session of a request. If the fleet cannot be told, that is an error: the session
// would hold on the other daemons.
func (s *sessions) end(rw http.ResponseWriter, r *http.Request) (err error) {
	if c, missing := r.Cookie(cookieName(r)); missing == nil {
		if s.logins != nil {
			err = s.logins.EndLogin(r.Context(), sum(c.Value))
		}
		s.mu.Lock()
		delete(s.byID, c.Value)
		s.mu.Unlock()
	}
	http.SetCookie(rw, &http.Cookie{Name: cookieName(r), Path: "/", MaxAge: -1, HttpOnly: true, Secure: overTLS(r), SameSite: http.SameSiteStrictMode})
	return err
}

// newCode creates a code for one login, here if the fleet does not answer.
func (s *sessions) newCode(ctx context.Context) string {
	code := rand.Text()
	if s.logins != nil && s.logins.AddCode(ctx, sum(code), lifetimes) == nil {
		return code
	}
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
func (s *sessions) redeem(ctx context.Context, code string) bool {
	s.mu.Lock()
	until, ok := s.code[code]
	delete(s.code, code)
	valid := ok && !s.now().After(until)
	s.mu.Unlock()
	if valid || s.logins == nil || len(code) != idLen {
		return valid
	}
	valid, err := s.logins.TakeCode(ctx, sum(code), lifetimes)
	return valid && err == nil
}
