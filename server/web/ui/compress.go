package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"postseal/server/web"
)

// assets are the files that pages load.
var assets = map[string]struct {
	media   string
	content []byte
}{
	"style.css": {"text/css; charset=utf-8", style},
	"app.js":    {"text/javascript; charset=utf-8", script},
	"icon.svg":  {"image/svg+xml", icon},
}

// assetPath returns the address of an asset. It has a hash of the content, so a browser never asks for the same
// content again, and never takes that of another version.
func assetPath(name string) string {
	sum := sha256.Sum256(assets[name].content)
	base, form, _ := strings.Cut(name, ".")
	return "/assets/" + base + "." + hex.EncodeToString(sum[:8]) + "." + form
}

// assetRoute serves an asset. It reveals nothing about mail: the login page needs it too. It is compressed once.
func assetRoute(name string) web.Route {
	content, media := assets[name].content, assets[name].media
	sum := sha256.Sum256(content)
	tag, small := hex.EncodeToString(sum[:8]), compress(content, gzip.BestCompression)
	return web.Route{Method: http.MethodGet, Path: assetPath(name), Asset: name, Access: web.Open, Handler: func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h.Set("Content-Type", media)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("Vary", "Accept-Encoding")
		h.Set("ETag", `"`+tag+`"`)
		body := content
		if acceptsGzip(r) {
			h.Set("Content-Encoding", "gzip")
			h.Set("ETag", `"`+tag+`-gz"`)
			body = small
		}
		http.ServeContent(rw, r, name, time.Time{}, bytes.NewReader(body))
	}}
}

// send sends a page, compressed if the request comes from the console itself or from the address bar.
// Requests that another site causes get it as it is: the length of a compressed page would tell that
// site whether its words are among the secret ones (BREACH).
func send(rw http.ResponseWriter, r *http.Request, status int, body []byte) {
	rw.Header().Add("Vary", "Accept-Encoding, Sec-Fetch-Site")
	if from := r.Header.Get("Sec-Fetch-Site"); acceptsGzip(r) && (from == "same-origin" || from == "none") {
		rw.Header().Set("Content-Encoding", "gzip")
		body = compress(body, gzip.BestSpeed)
	}
	rw.WriteHeader(status)
	rw.Write(body) //nolint:errcheck // the client is gone
}

// acceptsGzip reports whether a request takes gzip: it is named, and not with q=0 (RFC 9110 §12.5.3).
func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, quality, _ := strings.Cut(strings.ReplaceAll(part, " ", ""), ";q=")
		if !strings.EqualFold(name, "gzip") {
			continue
		}
		return quality == "" || strings.Trim(quality, "0.") != ""
	}
	return false
}

func compress(body []byte, level int) []byte {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		panic(err) // the level is one of the package
	}
	z.Write(body) //nolint:errcheck // a buffer takes it
	z.Close()     //nolint:errcheck // a buffer takes it
	return b.Bytes()
}
