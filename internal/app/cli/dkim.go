package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"postseal"
	"postseal/dkim"
	"postseal/internal/app/term"
	"postseal/internal/core/domain"
	"postseal/resolver"
)

func (a *app) dkimCommand() *cobra.Command {
	var raw bool
	verify := &cobra.Command{
		Use:   "verify FILE|-",
		Short: "Verify the DKIM signatures of a message",
		Long: `Verify checks every signature of a message against the key in the DNS.

Exit codes: 0 a signature passes, 1 none passes, 2 none passes and a key could not be
looked up.`,
		Example: `  postseal dkim verify a.eml
  postseal dkim verify --format json - < a.eml`,
		Args: exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error { return a.dkimVerify(c.Context(), args[0], raw) },
	}
	verify.Flags().BoolVar(&raw, "raw", false, rawUsage)
	key := &cobra.Command{
		Use:   "key SELECTOR DOMAIN",
		Short: "Look up and check a DKIM key",
		Long: `Key looks up the key record of a selector and says whether a verifier can use it.

Exit codes: 0 every key is usable, 1 none is there, or one is revoked or unusable, 2 DNS
trouble.`,
		Example: `  postseal dkim key s1 example.com`,
		Args:    exactly("SELECTOR", "DOMAIN"),
		RunE:    func(c *cobra.Command, args []string) error { return a.dkimKey(c.Context(), args[0], args[1]) },
	}
	return a.group("dkim", "Verify DKIM signatures, look up keys", verify, key)
}

type signaturesJSON struct {
	Schema     string                   `json:"schema"`
	Signatures []postseal.SignatureJSON `json:"signatures"`
}

func (a *app) dkimVerify(ctx context.Context, path string, raw bool) error {
	dns, clock, err := a.dns(ctx)
	if err != nil {
		return err
	}
	defer a.done(dns)
	in, err := a.open(path, raw)
	if err != nil {
		return err
	}
	defer in.close()
	signatures, err := (&dkim.Verifier{Resolver: dns, Now: clock}).Verify(ctx, a.progress(in))
	if err != nil {
		return failf(exitData, "%s: %v", in.name, err)
	}
	if err := interrupted(ctx); err != nil {
		return err
	}
	a.raise(signaturesExit(signatures))
	if a.wantJSON() {
		j := signaturesJSON{"postseal.dkim/1", make([]postseal.SignatureJSON, 0, len(signatures))}
		for _, s := range signatures {
			j.Signatures = append(j.Signatures, postseal.MakeSignatureJSON(s))
		}
		return a.json(j)
	}
	v := &view{app: a, style: a.style, r: &postseal.Report{DKIM: signatures}}
	v.width = v.resultWidth(v.dkimWords()...)
	v.dkim()
	if a.flags.quiet {
		return nil
	}
	for i := range signatures {
		v.traceDKIM(&signatures[i])
	}
	v.traceDNS(dns.Exchanges())
	return nil
}

func signaturesExit(signatures []dkim.Signature) int {
	code := exitNo
	for i := range signatures {
		switch signatures[i].Result {
		case dkim.Pass:
			return exitOK
		case dkim.TempError:
			code = exitUndecided
		}
	}
	return code
}

type keyJSON struct {
	Type     string `json:"type"`
	Bits     int    `json:"bits"`
	Hashes   string `json:"hashes"`
	Services string `json:"services"`
	TestMode bool   `json:"test_mode"`
	Strict   bool   `json:"strict"`
	Revoked  bool   `json:"revoked"`
	Unusable string `json:"unusable"` // why no verifier may use it
}

type keysJSON struct {
	Schema  string    `json:"schema"`
	Name    string    `json:"name"`
	Keys    []keyJSON `json:"keys"`
	Problem string    `json:"problem"`
}

func makeKeyJSON(k *dkim.Key) keyJSON {
	return keyJSON{k.Type, k.Bits, k.Hashes, k.Services, k.TestMode, k.Strict, k.Revoked, string(unusable(k))}
}

// unusable says why no verifier may use k, whatever the signature; "" when one may.
func unusable(k *dkim.Key) dkim.Reason {
	return k.Usable(k.Type+"-sha256", "", "", dkim.DefaultKeyBits)
}

func (a *app) dkimKey(ctx context.Context, selector, name string) error {
	s, err := domain.Parse(selector)
	if err != nil {
		return usage("SELECTOR: %v", err)
	}
	d, err := domain.Parse(name)
	if err != nil {
		return notDomain("DOMAIN", err)
	}
	dns, _, err := a.dns(ctx)
	if err != nil {
		return err
	}
	defer a.done(dns)
	keys, err := dkim.LookupKey(ctx, dns, s, d)
	if err := interrupted(ctx); err != nil {
		return err
	}
	at := string(s) + "._domainkey." + string(d)
	a.raise(keyExit(keys, err))
	if a.wantJSON() {
		j := keysJSON{"postseal.key/1", at, make([]keyJSON, 0, len(keys)), ""}
		for _, k := range keys {
			j.Keys = append(j.Keys, makeKeyJSON(k))
		}
		if err != nil {
			j.Problem = err.Error()
		}
		return a.json(j)
	}
	v := &view{app: a, style: a.style, width: len("temperror")}
	if err != nil {
		v.noKey(at, err)
	}
	for _, k := range keys {
		v.key(k, at)
	}
	if !a.flags.quiet {
		v.traceDNS(dns.Exchanges())
	}
	return nil
}

// keyExit is 0 when every key can be used: with several, a verifier may take any (RFC
// 6376 §3.6.2.2).
func keyExit(keys []*dkim.Key, err error) int {
	var failure *resolver.Error
	switch {
	case errors.As(err, &failure):
		return exitUndecided
	case err != nil:
		return exitNo
	}
	for _, k := range keys {
		if unusable(k) != "" {
			return exitNo
		}
	}
	return exitOK
}

func (v *view) noKey(at string, err error) {
	var failure *resolver.Error
	if errors.As(err, &failure) {
		v.result(term.Warn, "KEY", "temperror", v.clean(at), "")
	} else {
		v.result(term.Bad, "KEY", "none", v.clean(at), "")
	}
	v.detail(v.clean(err.Error()))
}

func (v *view) key(k *dkim.Key, at string) {
	reason := unusable(k)
	tone, word := term.Good, "usable"
	switch {
	case k.Revoked:
		tone, word = term.Warn, "revoked"
	case reason != "":
		tone, word = term.Bad, "unusable"
	case k.Type == "rsa" && k.Bits < 2048:
		tone = term.Warn
	}
	size := fmt.Sprintf("%s, %d bits", k.Type, k.Bits)
	if k.Bits == 0 {
		size = k.Type
	}
	v.result(tone, "KEY", word, v.clean(at), v.clean(size))
	switch {
	case k.Revoked:
		v.detail("p= is empty: signatures with this selector fail")
	case reason != "":
		v.detail(string(reason))
	case tone == term.Warn:
		v.detail("1024 bits still verify; 2048 are advised (RFC 8301 §3.2)")
	}
	if k.TestMode {
		v.detail("test mode (t=y)")
	}
	if k.Strict {
		v.detail("i= must be d= itself (t=s)")
	}
}
