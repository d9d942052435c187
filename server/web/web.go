// Package web is the http listener: metrics, health, and verification of a message that is
// posted. Errors are problem documents (RFC 9457).
package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"postseal"
	"postseal/internal/app/received"
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

// Page is what can be read as JSON at an address. It may show mail.
type Page struct {
	Path    string // a pattern of http.ServeMux without a method
	Content func(*http.Request) (any, error)
}

// Refusal is the error of a Page that is told to the client.
type Refusal struct {
	Status int
	Detail string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Detail }

func (w *web) show(p Page) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		content, err := p.Content(r)
		var refusal *Refusal
		switch {
		case errors.As(err, &refusal):
			problem(rw, refusal.Status, refusal.Detail)
			return
		case err != nil:
			w.engine.Log.Error("a page cannot be shown", "door", listener.HTTP, "page", p.Path, "error", listener.Text(err))
			problem(rw, http.StatusInternalServerError, "it cannot be shown; the log says more")
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		json.NewEncoder(rw).Encode(content)
	}
}

// New makes the service. ready says why the daemon cannot do its work.
func New(e *listener.Engine, ready func(context.Context) error, pages ...Page) *http.Server {
	w := &web{engine: e, ready: ready}
	mux := http.NewServeMux()
	mux.Handle("/metrics", only(http.MethodGet, e.Metrics.Handler().ServeHTTP))
	mux.Handle("/healthz", only(http.MethodGet, w.health))
	mux.Handle("/readyz", only(http.MethodGet, w.readiness))
	mux.Handle("/v1/verify", only(http.MethodPost, w.known(w.verify)))
	for _, p := range pages {
		mux.Handle(p.Path, only(http.MethodGet, w.private(w.show(p))))
	}
	mux.HandleFunc("/debug/pprof/", w.profiles(pprof.Index))
	mux.HandleFunc("/debug/pprof/profile", w.profiles(pprof.Profile))
	mux.HandleFunc("/debug/pprof/trace", w.profiles(pprof.Trace))
	mux.HandleFunc("/", nothing)
	return &http.Server{Handler: w.guard(mux), ReadHeaderTimeout: headerTime, ReadTimeout: requestTime, WriteTimeout: requestTime,
		IdleTimeout: idleTime, MaxHeaderBytes: headerBytes}
}

func nothing(rw http.ResponseWriter, _ *http.Request) {
	problem(rw, http.StatusNotFound, "there is nothing at this address")
}

// profiles lets a request through as long as the configuration allows profiles.
func (w *web) profiles(next http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if w.engine.Current().Config.Listen.Profiles {
			w.private(next)(rw, r)
			return
		}
		nothing(rw, r)
	}
}

// known asks for the token, where there is one.
func (w *web) known(next http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		text, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if t := w.engine.Current().Token; t.Set() && !t.Is(text) {
			rw.Header().Set("WWW-Authenticate", "Bearer")
			problem(rw, http.StatusUnauthorized, "the token of [listen] http_token_file is missing or wrong")
			return
		}
		next(rw, r)
	}
}

// private is known, and without a token lets this machine alone read what shows mail.
func (w *web) private(next http.HandlerFunc) http.HandlerFunc {
	return w.known(func(rw http.ResponseWriter, r *http.Request) {
		if !w.engine.Current().Token.Set() && !local(r) {
			problem(rw, http.StatusForbidden, "only this machine may read it: set [listen] http_token_file")
			return
		}
		next(rw, r)
	})
}

// local: a unix socket has no port, and lets in whom its mode does.
func local(r *http.Request) bool {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	return err != nil || at.Addr().Unmap().IsLoopback()
}

type web struct {
	engine *listener.Engine
	ready  func(context.Context) error
}

// guard ends a request that met a defect, and no more than that.
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
				problem(rw, http.StatusInternalServerError, "a defect of postseal; the log says more")
			}
		}()
		rw.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(rw, r)
	})
}

// only lets one method through; GET stands for HEAD too.
func only(method string, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == method || method == http.MethodGet && r.Method == http.MethodHead {
			next(rw, r)
			return
		}
		rw.Header().Set("Allow", method)
		problem(rw, http.StatusMethodNotAllowed, "use "+method)
	})
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

// envelope reads ip, helo, from and rcpt of the address. Each may be absent.
func envelope(q url.Values) (conn postseal.Conn, helo, from string, err error) {
	for key := range q {
		switch key {
		case "ip", "helo", "from", "rcpt":
		default:
			return conn, "", "", errors.New("there is no parameter " + key + "; known are ip, helo, from, rcpt")
		}
	}
	if s := q.Get("ip"); s != "" {
		ip, ok := received.Literal(s)
		if !ok {
			return conn, "", "", errors.New("ip is no address such as 192.0.2.25 or 2001:db8::25")
		}
		conn.Remote = netip.AddrPortFrom(ip, 0)
	}
	return conn, q.Get("helo"), bare(q.Get("from")), nil
}

func bare(path string) string {
	if len(path) >= 2 && path[0] == '<' && path[len(path)-1] == '>' {
		return path[1 : len(path)-1]
	}
	return path
}

// steady gives each read of a body its own time, within that of the request.
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
	conn, helo, from, err := envelope(r.URL.Query())
	if err != nil {
		problem(rw, http.StatusBadRequest, err.Error())
		return
	}
	if w.engine.Short(listener.HTTP) {
		rw.Header().Set("Retry-After", "30")
		problem(rw, http.StatusServiceUnavailable, "memory is short: try again later")
		return
	}
	s := w.engine.Current()
	body := http.MaxBytesReader(rw, &steady{r.Body, http.NewResponseController(rw), time.Now().Add(requestTime)}, int64(s.Config.Limits.HTTPMessage))
	report, err := postseal.VerifyReader(r.Context(), s.Verifier, conn, helo, from, message.NewCRLFReader(body))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		problem(rw, http.StatusRequestEntityTooLarge, "the message is larger than [limits] http_message")
		return
	case err != nil:
		problem(rw, http.StatusBadRequest, "the message cannot be read to its end")
		return
	case report.Cost.Bytes == 0:
		problem(rw, http.StatusBadRequest, "the body is empty: post a message, header and body")
		return
	}
	report.Recipients = r.URL.Query()["rcpt"]
	w.engine.Record(listener.Verdict{Listener: listener.HTTP, Report: report, Snapshot: s, Took: time.Duration(report.Cost.Micros) * time.Microsecond})
	rw.Header().Set("Content-Type", "application/json")
	json.NewEncoder(rw).Encode(report)
}
