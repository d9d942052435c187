package secondopinion

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"

	blitiri "blitiri.com.ar/go/spf"
	msgauth "github.com/emersion/go-msgauth/dkim"

	"postseal/message"
	"postseal/resolver"
)

// Limits above which a library is not consulted.
const (
	maxHeader        = 256 << 10 // octets of the header section
	maxFields        = 500
	maxContinuations = 100 // per field; the library's cost is quadratic in them
	maxKeyText       = 2 << 10
	maxSignatures    = 10
)

// ErrUnasked is the reason why a library was not consulted.
var ErrUnasked = errors.New("not consulted: the input exceeds the limits")

// SPF returns the result word of blitiri.com.ar/go/spf for the MAIL FROM identity. The null
// reverse-path is checked as postmaster of the HELO name.
func SPF(ctx context.Context, r resolver.Resolver, ip netip.Addr, helo, sender string) string {
	if sender == "" {
		sender = "postmaster@" + helo
	}
	result, _ := blitiri.CheckHostWithSender(net.IP(ip.Unmap().AsSlice()), helo, sender,
		blitiri.WithContext(ctx), blitiri.WithResolver(netResolver{r}))
	return string(result)
}

// Signature is the result of go-msgauth for one DKIM signature.
type Signature struct {
	Domain string
	Result string // pass, fail or temperror
	Err    error
}

func askDKIM(ctx context.Context, r resolver.Resolver, msg []byte) ([]Signature, error) {
	lookup := func(name string) ([]string, error) {
		texts, err := netResolver{r}.LookupTXT(ctx, name)
		for _, text := range texts {
			if len(text) > maxKeyText {
				return nil, &net.DNSError{Err: ErrUnasked.Error(), Name: name, IsNotFound: true}
			}
		}
		return texts, err
	}
	// A bytes.Reader writes itself in one piece; after a pipe the library takes quadratic time.
	found, err := msgauth.VerifyWithOptions(bytes.NewReader(msg), &msgauth.VerifyOptions{LookupTXT: lookup, MaxVerifications: maxSignatures})
	if err != nil && !errors.Is(err, msgauth.ErrTooManySignatures) {
		return nil, err
	}
	signatures := make([]Signature, 0, len(found))
	for _, v := range found {
		s := Signature{Domain: v.Domain, Result: "pass", Err: v.Err}
		switch {
		case msgauth.IsTempFail(v.Err):
			s.Result = "temperror"
		case v.Err != nil:
			s.Result = "fail"
		}
		signatures = append(signatures, s)
	}
	return signatures, nil
}

// guardSink counts what makes the library slow, and stores the header section.
type guardSink struct{ header message.Header }

func (g *guardSink) Field(f message.Field) error {
	if g.header.Len() == maxFields || bytes.Count(f.Raw, []byte{'\n'}) > maxContinuations {
		return ErrUnasked
	}
	g.header.Add(f)
	return nil
}

func (g *guardSink) EndHeader() error            { return nil }
func (g *guardSink) Write(p []byte) (int, error) { return len(p), nil }

func guard(msg []byte) (*message.Header, error) {
	g := &guardSink{}
	err := message.Stream(g, bytes.NewReader(msg), message.Limits{HeaderBytes: maxHeader, Fields: maxFields})
	var limit *message.LimitError
	if errors.As(err, &limit) {
		err = ErrUnasked
	}
	return &g.header, err
}
