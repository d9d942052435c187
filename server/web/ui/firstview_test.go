package ui

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"postseal/server/listener"
	"postseal/store"
)

// The budget of the first view of a page: octets and requests, and how long they take on a phone with 150 ms to the
// server and 1.6 Mbit/s. Half of the 1.5 s to the first paint is left to the phone.
const (
	viewBytes    = 20_000
	viewRequests = 4
	viewTime     = 750 * time.Millisecond
	roundTrip    = 150 * time.Millisecond
	octetsPerSec = 1_600_000 / 8
	headOctets   = 600 // of a request with its response
)

// TestFirstView: what a browser loads to show each page is within the budget, counted and not measured: the page, and
// what it names in its head, compressed. TestFirstPaint measures it.
func TestFirstView(t *testing.T) {
	jobs, done, _ := bulked(t)
	full := &source{db: filled(t), watched: watching(t), jobs: jobs, notices: noticed(), evidence: told(), compared: compared(), trial: &Trial{"strict", "treewalk", now, 10, 3, 2}}
	for path, s := range map[string]*source{"/live": full, "/search?q=author:bulk.test": full, "/search?q=domain:bank.test": full, "/v/" + store.RefText(1000) + "?dns=now": full, "/whatif": full, "/audit/acme.test": full, "/audit/watch": full,
		"/bulk": full, "/bulk/" + done: full, "/reports/shop.example": {db: reported(t)}, "/reports/out": {db: outgoing(t)}, "/system?checks=1": inspectedSource(t), "/system/config": inspectedSource(t), "/system/exempt": inspectedSource(t)} {
		h := as(handler(s), listener.AdminRole)
		body, size := loaded(t, h, path)
		sizes := []int{size}
		doc, err := html.Parse(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for n := range doc.Descendants() {
			if to := attr(n, "href") + attr(n, "src"); n.Type == html.ElementNode && (n.Data == "link" || n.Data == "script" || n.Data == "img") {
				_, size := loaded(t, h, to)
				sizes = append(sizes, size)
			}
		}
		sum := 0
		for _, n := range sizes {
			sum += n
		}
		// A connection and the page, then another connection for what is next to it: two round trips each.
		takes := 4*roundTrip + time.Duration(sum+headOctets*len(sizes))*time.Second/octetsPerSec
		t.Logf("%s: %d octets in %d requests, %v on the way", path, sum, len(sizes), takes.Round(time.Millisecond))
		if sum > viewBytes || len(sizes) > viewRequests || takes > viewTime {
			t.Errorf("%s: the budget is %d octets, %d requests, %v", path, viewBytes, viewRequests, viewTime)
		}
	}
}

// loaded returns what a browser gets from an address, and its octets on the way.
func loaded(t *testing.T, h http.Handler, path string) (body string, size int) {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Accept-Encoding", "gzip")
	r.Header.Set("Sec-Fetch-Site", "none")
	rw := httptest.NewRecorder()
	h.ServeHTTP(rw, r)
	size = rw.Body.Len()
	z, err := gzip.NewReader(bytes.NewReader(rw.Body.Bytes()))
	if err != nil || rw.Code != http.StatusOK {
		t.Fatalf("%s: %d, %v", path, rw.Code, err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), size
}
