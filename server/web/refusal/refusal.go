// Package refusal is the public page that a sender reaches from the reply to a rejected or
// deferred message. It answers one question for people who do not know email: why did my message
// not arrive? It shows nothing private and nothing of other messages, and every unknown address gets
// the same answer.
package refusal

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"golang.org/x/text/language"

	"postseal/server/listener"
	"postseal/server/web"
)

// ErrUnknown reports that no page exists for a reference.
var ErrUnknown = errors.New("no refused message has this reference")

// Options are what the page needs of the daemon.
type Options struct {
	Engine *listener.Engine
	// Key returns the key of the tags, nil while there is none: then no page exists.
	Key func() *Key
	// Find returns what may be shown of a message that was rejected or deferred, or ErrUnknown.
	Find func(ctx context.Context, ref string) (*Facts, error)
}

// The bounds of a request.
const (
	headerTime  = 5 * time.Second
	requestTime = 20 * time.Second
	idleTime    = 30 * time.Second
	headerBytes = 8 << 10
	findTime    = 3 * time.Second
)

// New returns the server of the page.
func New(o Options) *http.Server {
	p := newPublic(o)
	return &http.Server{Handler: p, ReadHeaderTimeout: headerTime, ReadTimeout: requestTime, WriteTimeout: requestTime, IdleTimeout: idleTime, MaxHeaderBytes: headerBytes}
}

// public serves the page.
type public struct {
	Options
	limits *web.ClientLimits
	reads  chan struct{} // one element for each read of the store
}

func newPublic(o Options) *public {
	return &public{Options: o, limits: newLimits(), reads: make(chan struct{}, maxReads)}
}

//go:embed style.css
var style []byte

var (
	styleSum  = sha256.Sum256(style)
	styleName = hex.EncodeToString(styleSum[:8]) + ".css" // next to the pages, so that a proxy passes on one path
)

// ServeHTTP implements http.Handler. It reads only the path and the language of a request, three
// header fields and the address of the client.
func (p *public) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	defer p.Engine.Recover(listener.Public, nil)
	words := wordsFor(r)
	rw.Header().Set("X-Content-Type-Options", "nosniff")
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		rw.Header().Set("Allow", http.MethodGet)
		p.show(rw, r, http.StatusMethodNotAllowed, lost(words))
	case strings.HasSuffix(r.URL.Path, "/"+styleName): // the page over the limits has it too
		rw.Header().Set("Content-Type", "text/css; charset=utf-8")
		rw.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		rw.Write(style) //nolint:errcheck // the client is gone
	case !p.limits.Allow(web.Client(p.Engine.Current(), r, true)):
		rw.Header().Set("Retry-After", "60")
		p.show(rw, r, http.StatusTooManyRequests, busy(words))
	default:
		p.page(rw, r, words)
	}
}

// page shows the message of "/r/REF-TAG". The tag is compared before anything is looked up.
func (p *public) page(rw http.ResponseWriter, r *http.Request, words *words) {
	_, text, found := strings.Cut(r.URL.Path, "/r/")
	key := p.Key()
	if !found || key == nil {
		p.show(rw, r, http.StatusNotFound, lost(words))
		return
	}
	ref, ok := key.Ref(text)
	if !ok {
		p.show(rw, r, http.StatusNotFound, lost(words))
		return
	}
	select {
	case p.reads <- struct{}{}:
		defer func() { <-p.reads }()
	default:
		p.show(rw, r, http.StatusServiceUnavailable, busy(words))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), findTime)
	defer cancel()
	switch f, err := p.Find(ctx, ref); {
	case errors.Is(err, ErrUnknown):
		p.show(rw, r, http.StatusNotFound, lost(words))
	case err != nil:
		p.Engine.Log.Warn("the page of a refusal cannot be shown", "door", listener.Public, "ref", ref, "error", listener.Text(err))
		p.show(rw, r, http.StatusServiceUnavailable, busy(words))
	default:
		p.show(rw, r, http.StatusOK, describe(f, words))
	}
}

// show writes a page, as text for programs that do not ask for HTML.
func (p *public) show(rw http.ResponseWriter, r *http.Request, status int, v *view) {
	v.Style = styleName
	h := rw.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Language", v.Lang)
	h.Set("Vary", "Accept, Accept-Language")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	var b bytes.Buffer
	media, write := "text/html; charset=utf-8", v.html
	if accept := r.Header.Get("Accept"); accept != "" && !strings.Contains(accept, "html") && !(strings.Contains(accept, "*/*") && strings.HasPrefix(r.UserAgent(), "Mozilla/")) {
		media, write = "text/plain; charset=utf-8", v.text
	}
	if err := write(&b); err != nil {
		http.Error(rw, "the page cannot be shown", http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", media)
	rw.WriteHeader(status)
	rw.Write(b.Bytes()) //nolint:errcheck // the client is gone
}

// wordsFor picks the language of a request: "?lang=de", else Accept-Language, else English.
func wordsFor(r *http.Request) *words {
	if w := languages[r.URL.Query().Get("lang")]; w != nil {
		return w
	}
	const longest = 200
	accept := r.Header.Get("Accept-Language")
	if len(accept) > longest {
		accept = ""
	}
	_, i := language.MatchStrings(matcher, accept)
	return languages[codes[i]]
}
