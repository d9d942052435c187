package view

import (
	"errors"
	"fmt"

	"postseal/dkim"
	"postseal/internal/app/term"
	"postseal/internal/core/resultjson"
	"postseal/internal/core/signature"
	"postseal/resolver"
)

type signaturesJSON struct {
	Schema     string            `json:"schema"`
	Signatures []resultjson.DKIM `json:"signatures"`
}

// Signatures writes the DKIM results of a message, and its DNS exchanges.
func (p *Page) Signatures(list []dkim.Result, dns []resolver.Exchange) error {
	if p.JSON() {
		j := signaturesJSON{"postseal.dkim/1", make([]resultjson.DKIM, 0, len(list))}
		for _, s := range list {
			j.Signatures = append(j.Signatures, resultjson.OfDKIM(s))
		}
		return p.Object(j)
	}
	p.width = p.resultWidth(dkimWords(list)...)
	p.signatures(list)
	if p.Quiet {
		return nil
	}
	for i := range list {
		p.traceDKIM(&list[i])
	}
	p.traceDNS(dns)
	return nil
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

func makeKeyJSON(k *signature.Key) keyJSON {
	return keyJSON{k.Type, k.Bits, k.Hashes, k.Services, k.TestMode, k.Strict, k.Revoked, string(Unusable(k))}
}

// Unusable says why no verifier may use k, whatever the signature; "" if one may.
func Unusable(k *signature.Key) dkim.Reason {
	return dkim.Reason(k.Usable(k.Type+"-sha256", "", "", dkim.DefaultKeyBits))
}

// Keys writes the keys at a name, or why there is none, and the DNS exchanges.
func (p *Page) Keys(at string, keys []*signature.Key, err error, dns []resolver.Exchange) error {
	if p.JSON() {
		j := keysJSON{"postseal.key/1", at, make([]keyJSON, 0, len(keys)), ""}
		for _, k := range keys {
			j.Keys = append(j.Keys, makeKeyJSON(k))
		}
		if err != nil {
			j.Problem = err.Error()
		}
		return p.Object(j)
	}
	p.width = len("temperror")
	if err != nil {
		p.noKey(at, err)
	}
	for _, k := range keys {
		p.key(k, at)
	}
	if !p.Quiet {
		p.traceDNS(dns)
	}
	return nil
}

func (p *Page) noKey(at string, err error) {
	var failure *resolver.Error
	if errors.As(err, &failure) {
		p.result(term.Warn, "KEY", "temperror", p.clean(at), "")
	} else {
		p.result(term.Bad, "KEY", "none", p.clean(at), "")
	}
	p.detail(p.clean(err.Error()))
}

func (p *Page) key(k *signature.Key, at string) {
	reason := Unusable(k)
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
	p.result(tone, "KEY", word, p.clean(at), p.clean(size))
	switch {
	case k.Revoked:
		p.detail("p= is empty: signatures with this selector fail")
	case reason != "":
		p.detail(string(reason))
	case tone == term.Warn:
		p.detail("1024 bits still verify; 2048 are advised (RFC 8301 §3.2)")
	}
	if k.TestMode {
		p.detail("test mode (t=y)")
	}
	if k.Strict {
		p.detail("i= must be d= itself (t=s)")
	}
}
