// Package web is the http listener: metrics, health, and verification of a posted message.
// Errors are problem documents (RFC 9457).
package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"postseal"
	"postseal/internal/app/received"
	"postseal/internal/core/address"
	"postseal/message"
	"postseal/server/listener"
)

// The bounds of a request.
const (
	headerTime  = 10 * time.Second
	bodyTime    = 30 * time.Second // for each piece
	requestTime = 5 * time.Minute
	idleTime    = 2 * time.Minute
	headerBytes = 16 << 10
	readyTime   = 5 * time.Second
)

// Refusal is an error that is shown to the client.
type Refusal struct {
	Status int
	Detail string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Detail }

// JSON returns the handler of a route that answers with JSON.
func JSON(e *listener.Engine, content func(*http.Request) (any, error)) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		c, err := content(r)
		if err != nil {
			fail(e, rw, r, err)
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		json.NewEncoder(rw).Encode(c)
	}
}

// Stream returns the handler of a route that keeps sending. f must report an error before it
// writes anything.
func Stream(e *listener.Engine, f func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if err := f(rw, r); err != nil {
			fail(e, rw, r, err)
		}
	}
}

// fail answers with a Refusal, or logs any other error.
func fail(e *listener.Engine, rw http.ResponseWriter, r *http.Request, err error) {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		problem(rw, refusal.Status, refusal.Detail)
		return
	}
	e.Log.Error("a page cannot be shown", "door", listener.HTTP, "page", r.Pattern, "error", listener.Text(err))
	problem(rw, http.StatusInternalServerError, "it cannot be shown; see the log for details")
}

// New returns the service with the routes of the daemon. ready says why the daemon cannot work;
// logins is where a fleet keeps its logins, nil for a daemon of its own.
func New(e *listener.Engine, ready func(context.Context) error, logins Logins, more ...Route) *http.Server {
	w := &web{engine: e, ready: ready, sessions: newSessions(time.Now, logins), logins: newLogins()}
	return &http.Server{Handler: w.handler(more...), ReadHeaderTimeout: headerTime, ReadTimeout: requestTime, WriteTimeout: requestTime,
		IdleTimeout: idleTime, MaxHeaderBytes: headerBytes}
}

// Routes returns all routes that New serves with more.
func Routes(e *listener.Engine, more ...Route) []Route {
	return append((&web{engine: e}).routes(), more...)
}

// handler serves the routes of w and more.
func (w *web) handler(more ...Route) http.Handler {
	mux := http.NewServeMux()
	byPath := map[string]methods{}
	w.assets = map[string]string{}
	for _, route := range append(w.routes(), more...) {
		if byPath[route.Path] == nil {
			byPath[route.Path] = methods{}
			mux.Handle(route.Path, byPath[route.Path])
		}
		byPath[route.Path][route.Method] = w.admit(route)
		if route.Asset != "" {
			w.assets[route.Asset] = route.Path
		}
	}
	mux.HandleFunc("/", nothing)
	return w.guard(mux)
}

// settleTime is how long the metrics wait for the verdicts of messages that have been answered: milliseconds, unless
// a client does not read its answer.
const settleTime = 200 * time.Millisecond

// metrics returns the handler of the metrics. They include those of every message that has been answered.
func (w *web) metrics() http.HandlerFunc {
	page := w.engine.Metrics.Handler()
	return func(rw http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), settleTime)
		defer cancel()
		w.engine.Settle(ctx)
		page.ServeHTTP(rw, r)
	}
}

// routes are those that need only the engine of the daemon.
func (w *web) routes() []Route {
	return append(w.loginRoutes(),
		Route{Method: http.MethodGet, Path: "/metrics", Access: Open, Handler: w.metrics()},
		Route{Method: http.MethodGet, Path: "/healthz", Access: Open, Handler: w.health},
		Route{Method: http.MethodGet, Path: "/readyz", Access: Open, Handler: w.readiness},
		Route{Method: http.MethodPost, Path: "/v1/verify", Access: Host, Handler: w.verify},
		Route{Method: http.MethodGet, Path: "/debug/pprof/", Access: Admin, Handler: w.profiles(pprof.Index)},
		Route{Method: http.MethodGet, Path: "/debug/pprof/profile", Access: Admin, Handler: w.profiles(pprof.Profile)},
		Route{Method: http.MethodGet, Path: "/debug/pprof/trace", Access: Admin, Handler: w.profiles(pprof.Trace)})
}

func nothing(rw http.ResponseWriter, _ *http.Request) {
	problem(rw, http.StatusNotFound, "not found")
}

// profiles accepts a request if the configuration allows profiles.
func (w *web) profiles(next http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if w.engine.Current().Config.Listen.Profiles {
			next(rw, r)
			return
		}
		nothing(rw, r)
	}
}

type web struct {
	engine   *listener.Engine
	ready    func(context.Context) error
	sessions *sessions
	logins   *ClientLimits
	streams  streamLimits
	assets   map[string]string // the path of each Route.Asset
	hashing  sync.Mutex
}

// guard ends a request that caused a panic, and only that request.
func (w *web) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			switch {
			case p == nil:
			case p == http.ErrAbortHandler:
				panic(p)
			default:
				w.engine.Panicked(listener.HTTP, p)
				problem(rw, http.StatusInternalServerError, "a bug in postseal; see the log for details")
			}
		}()
		rw.Header().Set("X-Content-Type-Options", "nosniff")
		rw.Header().Set("Cache-Control", "no-store") // all but assets
		next.ServeHTTP(rw, r)
	})
}

// methods are the handlers of one path by method; GET includes HEAD.
type methods map[string]http.HandlerFunc

// ServeHTTP implements http.Handler.
func (m methods) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if next := m[method]; next != nil {
		next(rw, r)
		return
	}
	allowed := strings.Join(slices.Sorted(maps.Keys(m)), ", ")
	rw.Header().Set("Allow", allowed)
	problem(rw, http.StatusMethodNotAllowed, "use "+allowed)
}

// problem answers with a problem document.
func problem(rw http.ResponseWriter, status int, detail string) {
	rw.Header().Set("Content-Type", "application/problem+json")
	rw.WriteHeader(status)
	json.NewEncoder(rw).Encode(struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{http.StatusText(status), status, detail})
}

func (w *web) health(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "ok\n") }

func (w *web) readiness(rw http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTime)
	defer cancel()
	if err := w.ready(ctx); err != nil {
		problem(rw, http.StatusServiceUnavailable, "not ready: "+err.Error())
		return
	}
	io.WriteString(rw, "ready\n")
}

// envelope reads ip, helo, from and rcpt of the query. All are optional.
func envelope(q url.Values) (conn postseal.Conn, helo, from string, err error) {
	for key := range q {
		switch key {
		case "ip", "helo", "from", "rcpt":
		default:
			return conn, "", "", errors.New("unknown parameter " + key + "; known are ip, helo, from, rcpt")
		}
	}
	if s := q.Get("ip"); s != "" {
		ip, ok := received.Literal(s)
		if !ok {
			return conn, "", "", errors.New("ip is not an address such as 192.0.2.25 or 2001:db8::25")
		}
		conn.Remote = netip.AddrPortFrom(ip, 0)
	}
	return conn, q.Get("helo"), address.Bare(q.Get("from")), nil
}

// steady gives each read of a body its own timeout, within that of the request.
type steady struct {
	io.ReadCloser
	control *http.ResponseController
	end     time.Time
}

// Read implements io.Reader.
func (s *steady) Read(b []byte) (int, error) {
	deadline := time.Now().Add(bodyTime)
	if deadline.After(s.end) {
		deadline = s.end
	}
	if err := s.control.SetReadDeadline(deadline); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return s.ReadCloser.Read(b)
}

// verify answers with the JSON of the verdict, schema postseal.verify/1.
func (w *web) verify(rw http.ResponseWriter, r *http.Request) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "message/rfc822" && media != "message/global" {
		problem(rw, http.StatusUnsupportedMediaType, "send the message with Content-Type: message/rfc822")
		return
	}
	conn, helo, from, err := envelope(r.URL.Query())
	if err != nil {
		problem(rw, http.StatusBadRequest, err.Error())
		return
	}
	if w.engine.Short(listener.HTTP, netip.Addr{}) {
		rw.Header().Set("Retry-After", "30")
		problem(rw, http.StatusServiceUnavailable, "low memory: try again later")
		return
	}
	s := w.engine.Current()
	body := http.MaxBytesReader(rw, &steady{r.Body, http.NewResponseController(rw), time.Now().Add(requestTime)}, int64(s.Config.Limits.HTTPMessage))
	conn, helo, text := relayed(s, conn, helo, message.NewCRLFReader(body))
	kept := w.engine.Bodies.Begin()
	report, err := postseal.VerifyReader(r.Context(), s.Verifier, conn, helo, from, io.TeeReader(text, kept.AfterHeader()))
	if err != nil || report.Cost.Bytes == 0 {
		kept.Release()
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		problem(rw, http.StatusRequestEntityTooLarge, "the message is larger than [limits] http_message")
		return
	case err != nil:
		problem(rw, http.StatusBadRequest, "the message could not be read completely")
		return
	case report.Cost.Bytes == 0:
		problem(rw, http.StatusBadRequest, "the body is empty: post a message, header and body")
		return
	}
	report.Recipients = r.URL.Query()["rcpt"]
	w.engine.Record(listener.Verdict{Listener: listener.HTTP, Report: report, Snapshot: s, Took: time.Duration(report.Cost.Micros) * time.Microsecond, Body: kept.Explain(report)})
	rw.Header().Set("Content-Type", "application/json")
	json.NewEncoder(rw).Encode(report)
}
