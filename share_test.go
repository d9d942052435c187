package postseal

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/tools/txtar"

	"postseal/message"
	"postseal/resolver"
	"postseal/resolver/dnstest"
)

// extent is a piece of memory.
type extent struct {
	from, to uintptr
	what     string
}

// extents are the memory of w that is used again, deep.
func extents(w *work) []extent {
	walk := sharing{seen: map[uintptr]bool{}, skip: keptTypes}
	walk.collect = func(p, size uintptr, what string) {
		walk.found = append(walk.found, extent{p, p + size, what})
	}
	walk.visit(reflect.ValueOf(&w.header), "work.header")
	walk.visit(reflect.ValueOf(&w.bodies), "work.bodies")
	walk.visit(reflect.ValueOf(&w.text), "work.text")
	return append(walk.found, extent{uintptr(unsafe.Pointer(w)), uintptr(unsafe.Pointer(w)) + unsafe.Sizeof(*w), "work"})
}

// keptTypes lead to what belongs to all messages.
var keptTypes = map[reflect.Type]bool{reflect.TypeFor[*Verifier](): true, reflect.TypeFor[*work](): true}

// sharing walks over everything that a value leads to.
type sharing struct {
	seen    map[uintptr]bool
	skip    map[reflect.Type]bool
	collect func(p, size uintptr, what string)
	text    func(p, size uintptr, what string) // of strings; nil is collect
	found   []extent
}

func (s *sharing) visit(v reflect.Value, path string) {
	if s.skip[v.Type()] || v.Type() == reflect.TypeFor[context.Context]() || v.Kind() == reflect.Func || v.Kind() == reflect.Chan {
		return
	}
	switch v.Kind() {
	case reflect.String:
		collect := s.collect
		if s.text != nil {
			collect = s.text
		}
		if n := v.Len(); n > 0 {
			collect(uintptr(unsafe.Pointer(unsafe.StringData(v.String()))), uintptr(n), path)
		}
	case reflect.Interface:
		if !v.IsNil() {
			s.visit(v.Elem(), path)
		}
	case reflect.Pointer:
		if v.IsNil() || s.seen[v.Pointer()] {
			return
		}
		s.seen[v.Pointer()] = true
		s.collect(v.Pointer(), v.Type().Elem().Size(), path)
		s.visit(v.Elem(), path)
	case reflect.Slice:
		if v.Cap() > 0 {
			s.collect(v.Pointer(), uintptr(v.Cap())*v.Type().Elem().Size(), path)
		}
		s.elements(v, path)
	case reflect.Array:
		s.elements(v, path)
	case reflect.Map:
		for _, k := range v.MapKeys() {
			s.visit(k, path+" key")
			s.visit(v.MapIndex(k), fmt.Sprintf("%s[%v]", path, k))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			s.visit(v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	}
}

func (s *sharing) elements(v reflect.Value, path string) {
	switch v.Type().Elem().Kind() {
	case reflect.Uint8, reflect.Int, reflect.Int32:
		return
	}
	for i := range v.Len() {
		s.visit(v.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
}

// TestReportsShareNothing: nothing that a Report leads to lies in memory that the next message
// is written to.
func TestReportsShareNothing(t *testing.T) {
	files, err := filepath.Glob("testdata/vectors/*/*.txtar")
	if err != nil || len(files) < 400 {
		t.Fatalf("%d vectors: %v", len(files), err)
	}
	checked := 0
	for _, file := range files {
		parts := readVector(t, file)
		from, ip, helo := "a@sender.test", "192.0.2.1", "mx.sender.test"
		fmt.Sscanf(strings.ReplaceAll(parts["envelope"], "\"\"", "x@x.test"), "ip %s helo %s from %s", &ip, &helo, &from)
		addr, err := netip.ParseAddr(ip)
		if err != nil || parts["message"] == "" {
			continue
		}
		zone, err := dnstest.Parse(parts["zone"])
		if err != nil {
			continue // the zone of another resolver
		}
		v, err := New(Config{Resolver: resolver.NewCache(zone, resolver.CacheOptions{})})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // with and without answers in the cache
			reportSharesNothing(t, file, v, Conn{Remote: netip.AddrPortFrom(addr, 25)}, helo, from, parts["message"])
		}
		checked++
	}
	if checked < 300 {
		t.Errorf("only %d vectors were checked", checked)
	}
}

func readVector(t *testing.T, file string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{}
	for _, f := range txtar.Parse(data).Files {
		parts[f.Name] = string(f.Data)
	}
	return parts
}

func reportSharesNothing(t *testing.T, name string, v *Verifier, conn Conn, helo, from, text string) {
	t.Helper()
	s := v.Session(t.Context(), conn)
	s.Helo(helo)
	tx := s.Mail(from)
	w := tx.work
	out := tx.MessageWriter()
	if _, err := out.Write(bytes.ReplaceAll([]byte(text), []byte("\n"), []byte("\r\n"))); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := out.Close(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	reused := extents(w)
	r, err := tx.Finish(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	reused = append(reused, extents(w)...)
	walk := sharing{seen: map[uintptr]bool{}, skip: keptTypes}
	walk.collect = func(p, size uintptr, what string) {
		for _, e := range reused {
			if p < e.to && e.from < p+size {
				t.Errorf("%s: %s lies in %s", name, what, e.what)
			}
		}
	}
	walk.visit(reflect.ValueOf(r), "Report")
	outlivesRelease(t, name, tx, r)
	if len(r.Evidence().DNS) == 0 && conn.Remote.Addr().IsValid() && r.Limit() == "" {
		t.Errorf("%s: no evidence of the DNS", name)
	}
}

// verifierOn makes a Verifier of c that knows the records of a zone.
func verifierOn(t *testing.T, zone string, c Config) *Verifier {
	t.Helper()
	records, err := dnstest.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	c.Resolver = records
	v, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// outlivesRelease: strings of a Report and its Decision lie outside of what Release gives away.
func outlivesRelease(t *testing.T, name string, tx *Transaction, r *Report) {
	t.Helper()
	given := sharing{seen: map[uintptr]bool{}, skip: keptTypes}
	given.collect = func(p, size uintptr, what string) {
		given.found = append(given.found, extent{p, p + size, what})
	}
	given.visit(reflect.ValueOf(&tx.rooms.header), "the header section")
	given.collect(uintptr(unsafe.Pointer(tx)), unsafe.Sizeof(*tx), "the Transaction")
	within := func(p, size uintptr, what string) {
		for _, e := range given.found {
			if p < e.to && e.from < p+size {
				t.Errorf("%s: %s lies in %s", name, what, e.what)
			}
		}
	}
	texts := sharing{seen: map[uintptr]bool{}, skip: keptTypes, collect: func(uintptr, uintptr, string) {}, text: within}
	texts.visit(reflect.ValueOf(r), "Report")
	decision := sharing{seen: map[uintptr]bool{}, skip: keptTypes, collect: within}
	decision.visit(reflect.ValueOf(r.Decision), "Decision")
}

// TestRelease: a Report that was released leaves nothing to the next message.
func TestRelease(t *testing.T) {
	v := verifierOn(t, "acme.test. TXT \"v=spf1 ip4:192.0.2.1 -all\"\n_dmarc.acme.test. TXT \"v=DMARC1; p=reject\"\n", Config{})
	var all sync.WaitGroup
	for i := range 8 {
		ip, from, want := "192.0.2.1", "a@acme.test", Accept
		if i%2 == 1 {
			ip, from, want = "192.0.2.2", "", Reject
		}
		all.Go(func() {
			for range 200 {
				s := v.Session(t.Context(), Conn{Remote: netip.MustParseAddrPort(ip + ":25")})
				r, err := s.Verify(t.Context(), from, nil, strings.NewReader("From: a@acme.test\r\n\r\nx\r\n"))
				if err != nil || r.Decision.Action != want || r.ReversePath != from || len(r.Recipients) != 0 || r.Header().Len() != 1 || r.Limit() != "" {
					t.Errorf("%s: %v, %+v", ip, err, r)
				}
				r.Release()
			}
		})
	}
	all.Wait()
	(&Report{}).Release()
}

// TestReleaseAfterPanic: what a defect left behind is not used again.
func TestReleaseAfterPanic(t *testing.T) {
	v := verifierOn(t, "", Config{Policy: panicking{}})
	r, err := VerifyReader(t.Context(), v, Conn{}, "x", "", strings.NewReader("From: a@acme.test\r\n\r\nx\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Release(); r.Decision.Reason != InternalError {
		t.Errorf("released: %+v", r.Decision)
	}
}

type panicking struct{}

func (panicking) Decide(*Report) Decision { panic("defect") }

// TestNoHeaders: without header changes everything else is the same.
func TestNoHeaders(t *testing.T) {
	text := "Authentication-Results: mx.test; spf=pass\r\nFrom: a@acme.test\r\n\r\nx\r\n"
	reports := map[bool]*Report{}
	for _, without := range []bool{false, true} {
		v := verifierOn(t, "acme.test. TXT \"v=spf1 ip4:192.0.2.1 -all\"\n", Config{AuthservID: "mx.test", NoHeaders: without})
		var err error
		if reports[without], err = VerifyReader(t.Context(), v, Conn{Remote: netip.MustParseAddrPort("192.0.2.1:25")}, "x", "a@acme.test", strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	with, without := reports[false], reports[true]
	if len(with.Headers.Add) == 0 || len(with.Headers.Remove) != 1 || without.Headers.Add != nil || without.Headers.Remove != nil {
		t.Errorf("with: %+v, without: %+v", with.Headers, without.Headers)
	}
	if !reflect.DeepEqual(with.Decision, without.Decision) || !reflect.DeepEqual(with.SPF, without.SPF) || !reflect.DeepEqual(with.DMARC, without.DMARC) {
		t.Errorf("with: %+v, without: %+v", with, without)
	}
}

// TestEnded: a transaction that ended has no hold on the one that took its work over.
func TestEnded(t *testing.T) {
	v := verifierOn(t, "acme.test. TXT \"v=spf1 ip4:192.0.2.1 -all\"\n", Config{})
	s := v.Session(t.Context(), Conn{Remote: netip.MustParseAddrPort("192.0.2.1:25")})
	for _, end := range []func(*Transaction){(*Transaction).Abort, func(tx *Transaction) { tx.Finish(t.Context()) }} {
		tx := s.Mail("a@acme.test")
		out := tx.MessageWriter()
		end(tx)
		other := s.Mail("b@acme.test")
		tx.Abort()
		if _, err := tx.Finish(t.Context()); err == nil {
			t.Error("Finish after the end")
		}
		if _, err := out.Write([]byte("From: x@acme.test\r\n")); err == nil {
			t.Error("Write of the writer after the end")
		}
		if err := out.Close(); err == nil {
			t.Error("Close of the writer after the end")
		}
		if tx.Field(message.Field{}) == nil || tx.EndHeader() == nil {
			t.Error("a field after the end")
		}
		if _, err := tx.Write([]byte("x")); err == nil {
			t.Error("body after the end")
		}
		tx.SPF(t.Context())
		if r, err := other.Finish(t.Context()); err != nil || r.SPF[0].Code != "pass" {
			t.Errorf("the other one: %v, %v", r, err)
		}
	}
}

// TestAborted: evidence is kept of what has a report, and of nothing else.
func TestAborted(t *testing.T) {
	v := verifierOn(t, "acme.test. TXT \"v=spf1 ip4:192.0.2.1 -all\"\n", Config{})
	s := v.Session(t.Context(), Conn{Remote: netip.MustParseAddrPort("192.0.2.1:25")})
	aborted, finished := s.Mail("a@acme.test"), s.Mail("a@acme.test")
	aborted.Abort()
	if n := len(aborted.asked.Exchanges()); n > 0 {
		t.Errorf("%d questions are kept of an aborted transaction", n)
	}
	if _, err := finished.Finish(t.Context()); err != nil || len(finished.asked.Exchanges()) == 0 {
		t.Errorf("no questions are kept: %v", err)
	}
}

// blocking answers no question for a key before it is cancelled.
type blocking struct{ resolver.Resolver }

func (b blocking) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if strings.Contains(name, "._domainkey.") {
		<-ctx.Done()
		return resolver.Answer{}, ctx.Err()
	}
	return b.Resolver.Lookup(ctx, name, t)
}

// TestCancelledQuestions: a question that turned out not to be needed, and was cancelled, is
// part of the evidence: a replay asks it too.
func TestCancelledQuestions(t *testing.T) {
	zone, err := dnstest.Parse("acme.test. TXT \"v=spf1 -all\"\n")
	if err != nil {
		t.Fatal(err)
	}
	v, err := New(Config{Resolver: blocking{zone}})
	if err != nil {
		t.Fatal(err)
	}
	// A seal alone is no chain, but its key is asked for as it arrives.
	text := "ARC-Seal: i=1; a=ed25519-sha256; cv=none; d=acme.test; s=x; b=AAAA\r\nFrom: a@acme.test\r\n\r\n"
	r, err := VerifyReader(t.Context(), v, Conn{Remote: netip.MustParseAddrPort("192.0.2.1:25")}, "acme.test", "a@acme.test", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range r.Exchanges() {
		if e.Name == "x._domainkey.acme.test" {
			if resolver.KindOf(e.Err) != resolver.Canceled {
				t.Errorf("%+v", e)
			}
			return
		}
	}
	t.Errorf("the question for the key is not in %+v", r.Exchanges())
}
