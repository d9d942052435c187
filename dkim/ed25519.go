package dkim

import (
	std "crypto/ed25519"
	"crypto/fips140"
	"sync"

	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// edKey verifies with a point that is prepared once for all signatures, at the first of them:
// crypto/ed25519 does it for each.
type edKey struct {
	public   std.PublicKey
	prepare  sync.Once
	expanded *ed25519.ExpandedPublicKey // nil when the key is no point
}

// asStandard is RFC 8032 §5.1.7 without the cofactor and with the canonical S alone, as
// crypto/ed25519 has it.
var asStandard = &ed25519.Options{Verify: ed25519.VerifyOptionsStdLib}

// verifies gives the answers of crypto/ed25519. In FIPS 140-3 mode it is that of the validated
// module.
func (k *edKey) verifies(digest, sig []byte) bool {
	if fips140.Enabled() {
		return std.Verify(k.public, digest, sig)
	}
	k.prepare.Do(func() { k.expanded, _ = ed25519.NewExpandedPublicKey(ed25519.PublicKey(k.public)) })
	return k.expanded != nil && ed25519.VerifyExpandedWithOptions(k.expanded, digest, sig, asStandard)
}
