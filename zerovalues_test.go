package postseal_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postseal"
	"postseal/arc"
	"postseal/authres"
	"postseal/bundle"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/domain"
	"postseal/lint"
	"postseal/message"
	"postseal/resolver"
	"postseal/resolver/dnstest"
	"postseal/resolver/stub"
	"postseal/spf"
)

// mistake is a call that a program should not make.
type mistake struct {
	name string
	call func(ctx context.Context) error
	fine bool // it has nothing to complain about
}

// noError is a call without an error result: it must return.
func noError(name string, call func(ctx context.Context)) mistake {
	return mistake{name, func(ctx context.Context) error { call(ctx); return nil }, true}
}

// TestZeroValues: a zero or nil value of each exported type answers every method: with an error where
// there is one to return, never with a panic, and never by waiting.
func TestZeroValues(t *testing.T) {
	f, _ := message.ParseField([]byte("DKIM-Signature: v=1; a=rsa-sha256; d=acme.test; s=k; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA"))
	seal, _ := message.ParseField([]byte("ARC-Seal: i=1; a=rsa-sha256; d=acme.test; s=k; cv=none; b=AAAA"))
	for _, tests := range [][]mistake{engineMistakes(t), verifierMistakes(f, seal), messageMistakes(), resolverMistakes(), otherMistakes()} {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) { tt.run(t) })
		}
	}
}

func (m *mistake) run(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("panic: %v", p)
			}
		}()
		err := m.call(ctx)
		if (err == nil) != m.fine {
			err = fmt.Errorf("the error is %v", err)
		} else {
			err = nil
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits")
	}
}

func engineMistakes(t *testing.T) []mistake {
	v := misuseVerifier(t)
	mail := "From: a@acme.test\r\n\r\nhi\r\n"
	var none *postseal.Verifier
	noReport := new(postseal.Report)
	var noReply *postseal.Reply
	all := []mistake{
		{"zero Session.Verify", func(ctx context.Context) error {
			_, err := new(postseal.Session).Verify(ctx, "", nil, strings.NewReader(mail))
			return err
		}, false},
		{"zero Transaction", func(ctx context.Context) error {
			x := new(postseal.Transaction)
			x.Rcpt("a@b.test")
			x.SPF(ctx)
			x.Held()
			x.Abort()
			if x.Field(message.Field{}) == nil || x.EndHeader() == nil {
				return nil
			}
			if _, err := x.Write(nil); err == nil {
				return nil
			}
			w := x.MessageWriter()
			if _, err := io.WriteString(w, mail); err == nil || w.Close() == nil {
				return nil
			}
			_, err := x.Finish(ctx)
			return err
		}, false},
		{"typed nil reader", func(ctx context.Context) error {
			_, err := postseal.VerifyReader(ctx, v, misuseConn, "", "", (*strings.Reader)(nil))
			return err
		}, false},
		{"typed nil Resolver", func(context.Context) error {
			_, err := postseal.New(postseal.Config{Resolver: (*resolver.Cache)(nil)})
			return err
		}, false},
		{"typed nil Policy", func(context.Context) error {
			_, err := postseal.New(postseal.Config{Resolver: new(dnstest.Zone), Policy: (*postseal.EnforcePolicy)(nil)})
			return err
		}, false},
		noError("nil contexts", func(context.Context) {
			var none context.Context
			if r, err := postseal.VerifyReader(none, v, misuseConn, "", "a@acme.test", strings.NewReader(mail)); err != nil || r.SPF[0].Code != spf.Pass {
				t.Errorf("VerifyReader = %v, %v", r, err)
			}
			x := v.Session(none, misuseConn).MailWithSPF("a@acme.test", v.StartSPF(none, misuseConn, "", "a@acme.test"))
			x.SPF(none)
			r, err := x.Finish(none)
			if err != nil || r.SPF[0].Code != spf.Pass {
				t.Errorf("Finish = %v, %v", r, err)
			}
			v.Reconsider(none, r)
			v.Diagnose(none, r, nil)
			dns := v.Config().Resolver
			_, err1 := (&dkim.Verifier{Resolver: dns}).Verify(none, strings.NewReader(mail))
			_, err2 := (&arc.Verifier{Resolver: dns}).Verify(none, strings.NewReader(mail))
			got := (&spf.Checker{Resolver: dns}).Check(none, spf.Request{IP: misuseConn.Remote.Addr(), Sender: "a@acme.test"})
			policy := (&dmarc.Evaluator{Resolver: dns}).Discover(none, "acme.test")
			if err1 != nil || err2 != nil || got.Code != spf.Pass || policy.Policy != dmarc.PolicyReject {
				t.Errorf("%v, %v, %+v, %+v", err1, err2, got, policy)
			}
		}),
		{"negative timeout", func(context.Context) error {
			_, err := postseal.New(postseal.Config{Resolver: new(dnstest.Zone), Limits: postseal.Limits{Timeout: -1}})
			return err
		}, false},
		{"Finish twice", func(ctx context.Context) error {
			x := v.Session(ctx, misuseConn).Mail("")
			if _, err := x.Finish(ctx); err != nil {
				return nil
			}
			x.Abort()
			x.Held()
			_, err := x.Finish(ctx)
			return err
		}, false},
		{"Apply without a destination", func(context.Context) error {
			return postseal.HeaderChanges{Add: []postseal.HeaderField{{Name: "A", Value: " b"}}}.Apply(nil, strings.NewReader(mail))
		}, false},
		{"Apply without a source", func(context.Context) error { return postseal.HeaderChanges{}.Apply(io.Discard, nil) }, false},
		noError("nil Verifier without an error", func(ctx context.Context) {
			if d := none.Reconsider(ctx, noReport); d.Applied != postseal.Defer {
				t.Errorf("Reconsider = %+v", d)
			}
			none.Config()
			none.Diagnose(ctx, noReport, nil)
			v.Diagnose(ctx, noReport, nil)
			c := none.StartSPF(ctx, misuseConn, "", "a@acme.test")
			if r := c.First(ctx); r.Code != spf.TempError {
				t.Errorf("First = %+v", r)
			}
		}),
		noError("nil and zero SPFCheck", func(ctx context.Context) {
			for _, c := range []*postseal.SPFCheck{nil, new(postseal.SPFCheck)} {
				c.First(ctx)
				c.Wait(ctx)
				c.Of()
				c.Size()
				if !c.Done() {
					t.Error("not done")
				}
				if _, err := v.Session(ctx, misuseConn).MailWithSPF("", c).Finish(ctx); err != nil {
					t.Error(err)
				}
			}
		}),
		noError("zero Report", func(context.Context) {
			_ = noReport.String()
			noReport.SameOrganization("acme.test")
			noReport.Exchanges()
			noReport.RemoteIP()
			postseal.AddedFields(noReport)
			postseal.Corroboration(noReport, []string{"acme.test"})
			postseal.IndirectFlow(noReport)
			if _, err := noReport.MarshalJSON(); err != nil {
				t.Error(err)
			}
			if d := new(postseal.EnforcePolicy).Decide(noReport); d.Applied == postseal.Reject {
				t.Errorf("Decide = %+v", d)
			}
		}),
		noError("nil Reply", func(context.Context) {
			if noReply.Text() != "" || noReply.EnhancedCode() != [3]int{} {
				t.Error("a reply where there is none")
			}
		}),
		noError("ForgedFields of nothing", func(context.Context) { postseal.ForgedFields(nil) }),
	}
	for _, x := range []*postseal.Verifier{nil, new(postseal.Verifier)} {
		for i, s := range []*postseal.Session{new(postseal.Session), x.Session(t.Context(), misuseConn)} {
			all = append(all, mistake{fmt.Sprintf("Session %d of Verifier %t", i, x != nil), func(ctx context.Context) error {
				s.Helo("mx.acme.test")
				s.At(time.Now())
				x := s.Mail("a@acme.test")
				defer x.Abort()
				x.Rcpt("b@acme.test")
				if r := x.SPF(ctx); r.Code == spf.Pass || r.Code == spf.Fail {
					t.Errorf("SPF = %+v", r)
				}
				_, err := x.Finish(ctx)
				return err
			}, false})
		}
	}
	return all
}

func verifierMistakes(signature, seal message.Field) []mistake {
	return []mistake{
		noError("zero dkim.Verification", func(context.Context) {
			x := new(dkim.Verification)
			_ = x.Field(signature)
			_ = x.EndHeader()
			_, _ = x.Write([]byte("hi\r\n"))
			x.Finish()
		}),
		noError("zero arc.Validation", func(context.Context) {
			x := new(arc.Validation)
			_ = x.Field(seal)
			_ = x.EndHeader()
			_, _ = x.Write([]byte("hi\r\n"))
			x.Finish()
		}),
		{"dkim: typed nil Resolver", func(ctx context.Context) error {
			_, err := (&dkim.Verifier{Resolver: (*stub.Client)(nil)}).Verify(ctx, strings.NewReader("From: a@b.test\r\n\r\n"))
			return err
		}, false},
		{"arc: typed nil Resolver", func(ctx context.Context) error {
			_, err := (&arc.Verifier{Resolver: (*dnstest.Zone)(nil)}).Verify(ctx, strings.NewReader("From: a@b.test\r\n\r\n"))
			return err
		}, false},
		{"dkim: typed nil reader", func(ctx context.Context) error {
			_, err := (&dkim.Verifier{Resolver: new(dnstest.Zone)}).Verify(ctx, (*bytes.Buffer)(nil))
			return err
		}, false},
		noError("dkim: Diagnose nothing", func(ctx context.Context) {
			(*dkim.Verifier)(nil).Diagnose(ctx, nil, nil, nil)
			new(dkim.Verifier).Diagnose(ctx, nil, nil, new(dkim.Result))
			new(dkim.Verifier).Diagnose(ctx, new(message.Header), []byte("hi\r\n"), &dkim.Result{FieldIndex: 7})
			new(dkim.Verifier).Diagnose(ctx, new(message.Header), []byte("hi\r\n"), &dkim.Result{FieldIndex: -1})
		}),
		noError("zero results", func(context.Context) {
			new(arc.Result).OldestTrusted(nil)
			new(dkim.Result).Name()
			spf.Result{}.ReceivedSPF(spf.Request{}, "")
		}),
		noError("spf: typed nil Resolver", func(ctx context.Context) {
			c := &spf.Checker{Resolver: (*resolver.Cache)(nil)}
			if r := c.Check(ctx, spf.Request{IP: netip.MustParseAddr("192.0.2.1"), Sender: "a@acme.test"}); r.Code != spf.TempError {
				panic(fmt.Sprintf("%+v", r))
			}
		}),
		noError("spf: a zero Request", func(ctx context.Context) { new(spf.Checker).Check(ctx, spf.Request{}) }),
		noError("dmarc: nothing", func(ctx context.Context) {
			for _, e := range []*dmarc.Evaluator{nil, new(dmarc.Evaluator), {Resolver: (*dnstest.Zone)(nil)}} {
				e.Discover(ctx, "acme.test")
				e.EvaluateAll(ctx, nil, nil)
				e.Evaluate(ctx, "", []dmarc.Identifier{{}})
			}
			if r := new(dmarc.Evaluator).EvaluateAll(ctx, []domain.Name{"acme.test"}, nil); r.Code != dmarc.TempError {
				panic(fmt.Sprintf("%+v", r))
			}
			_ = dmarc.Policy("?").Strength()
		}),
	}
}

func messageMistakes() []mistake {
	return []mistake{
		{"zero Splitter", func(context.Context) error {
			_, err := new(message.Splitter).Write([]byte("From: a@b.test\r\n\r\nhi"))
			return err
		}, false},
		{"Close of a zero Splitter", func(context.Context) error { return new(message.Splitter).Close() }, false},
		{"a Splitter without a Sink", func(context.Context) error {
			s := message.NewSplitter(nil, message.Limits{})
			s.PastLimits()
			return s.Stream(strings.NewReader("From: a@b.test\r\n\r\n"))
		}, false},
		{"Stream without a reader", func(context.Context) error {
			return message.Stream(headerOnly{new(message.Header)}, nil, message.Limits{})
		}, false},
		{"CRLF reader of nothing", func(context.Context) error {
			_, err := io.ReadAll(message.NewCRLFReader(nil))
			return err
		}, false},
		{"copy of a CRLF reader of nothing", func(context.Context) error {
			_, err := io.Copy(io.Discard, message.NewCRLFReader(nil))
			return err
		}, false},
		noError("Fields", func(context.Context) {
			for _, f := range []message.Field{{}, {Raw: []byte("A: b"), Colon: 9}, {Raw: []byte("A: b"), Colon: -1}} {
				f.Name()
				f.Value()
				f.Is("a")
				h := new(message.Header)
				h.Add(f)
				h.Count("a")
				h.At(0).Value()
				message.FindAuthor(h)
				message.Limits{}.Check(h, f)
			}
		}),
		noError("nil Header", func(context.Context) {
			var h *message.Header
			h.Len()
			h.Size()
			h.Count("a")
			h.Index("a")
			message.FindAuthor(h)
			message.Limits{}.Check(h, message.Field{})
		}),
		noError("texts", func(context.Context) {
			message.CRLF(nil)
			message.HasCRLF(nil)
			message.AppendCRLF(nil, nil)
			message.ParseField(nil)
			_ = (&message.LimitError{}).Error()
		}),
	}
}

func resolverMistakes() []mistake {
	lookup := func(r resolver.Resolver) func(context.Context) error {
		return func(ctx context.Context) error { _, err := r.Lookup(ctx, "acme.test", resolver.TXT); return err }
	}
	return []mistake{
		{"nil Cache", lookup((*resolver.Cache)(nil)), false},
		{"zero Cache", lookup(new(resolver.Cache)), false},
		{"Cache of nothing", lookup(resolver.NewCache(nil, resolver.CacheOptions{})), false},
		{"Cache of a typed nil", lookup(resolver.NewCache((*stub.Client)(nil), resolver.CacheOptions{MaxBytes: -1, MaxTTL: -1, Stale: -1})), false},
		noError("a Cache that holds nothing", func(context.Context) {
			for _, c := range []*resolver.Cache{nil, new(resolver.Cache)} {
				c.Peek("acme.test", resolver.TXT)
				c.Stats()
				c.Restore("acme.test", []string{"v=spf1"}, time.Now())
			}
		}),
		{"nil Client", lookup((*stub.Client)(nil)), false},
		{"zero Client", lookup(new(stub.Client)), false},
		noError("Close of a Client that New did not make", func(context.Context) {
			_ = (*stub.Client)(nil).Close()
			_ = new(stub.Client).Close()
		}),
		{"nil Zone", lookup((*dnstest.Zone)(nil)), true},
		{"zero Zone", lookup(new(dnstest.Zone)), true},
		noError("a Zone without names", func(context.Context) {
			for _, z := range []*dnstest.Zone{nil, new(dnstest.Zone)} {
				s, err := z.Serve()
				if err == nil {
					_ = s.Addr()
					_ = s.Close()
				}
			}
			for _, s := range []*dnstest.Server{nil, new(dnstest.Server)} {
				_ = s.Addr()
				_ = s.Close()
			}
		}),
		noError("values", func(context.Context) {
			_ = (&resolver.Error{}).Error()
			_ = (&resolver.Error{}).Unwrap()
			resolver.KindOf(nil)
			_ = resolver.Type(0).String()
			_ = resolver.Security(9).String()
			_ = resolver.Answer{}.Aliased("")
		}),
	}
}

func otherMistakes() []mistake {
	return []mistake{
		noError("domain.Name", func(context.Context) {
			for _, n := range []domain.Name{"", ".", "..", "a..b"} {
				n.Labels()
				n.Parent()
				n.Last(-1)
				n.Last(9)
				_ = n.Within("")
				n.PublicSuffix()
				n.Registrable()
			}
		}),
		noError("authres", func(context.Context) {
			authres.Field{}.Value()
			authres.Field{Version: -1, Results: []authres.Result{{Version: -1, Properties: []authres.Property{{}}}}}.Value()
			authres.Forged(message.Field{}, nil)
			_ = (&authres.SyntaxError{}).Error()
			_, _ = authres.Parse(nil)
		}),
		noError("lint", func(context.Context) {
			_ = [][]lint.Problem{spf.Lint(""), dkim.Lint(""), dmarc.Lint("")}
		}),
		{"zero Bundle", func(ctx context.Context) error { _, err := new(bundle.Bundle).Run(ctx); return err }, true},
		{"Bundle with no Verifier", func(ctx context.Context) error { _, err := new(bundle.Bundle).RunWith(ctx, nil); return err }, false},
		noError("bundles of nothing", func(context.Context) {
			_, _ = bundle.Parse(nil)
			new(bundle.Bundle).Format()
			new(bundle.Bundle).Body()
			bundle.Missing(new(postseal.Report))
			new(bundle.Bundle).Check(new(postseal.Report))
			bundle.Of(new(postseal.Report), nil, bundle.Options{}).Format()
		}),
	}
}

// TestZeroMode: an EnforcePolicy without a Mode is guarded, as a Config without Enforce is: it
// rejects nothing for the published policy alone (RFC 9989 §7.4).
func TestZeroMode(t *testing.T) {
	r := byHand(func(r *postseal.Report) {
		r.DKIM = []dkim.Result{{Code: dkim.TempError, Domain: "acme.test"}}
	})
	for _, mode := range []postseal.Enforce{"", "Guarded", postseal.Guarded} {
		if d := (&postseal.EnforcePolicy{Mode: mode}).Decide(r); d.Applied != postseal.Quarantine {
			t.Errorf("%q applies %s", mode, d.Applied)
		}
	}
}
