package signature_test

import (
	"strings"
	"testing"

	"postseal/internal/core/signature"
)

// BenchmarkParseSignature reads a field of RSA-2048, folded as signers do.
func BenchmarkParseSignature(b *testing.B) {
	value := " v=1; a=rsa-sha256; c=relaxed/relaxed; d=bulk.test; s=rsa0;\r\n h=From:To:Subject:Date:Message-ID:MIME-Version:Content-Type;\r\n" +
		" bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n b=" + strings.Repeat(strings.Repeat("abcd", 18)+"\r\n ", 4) + strings.Repeat("abcd", 13) + "abc="
	b.ReportAllocs()
	for b.Loop() {
		if _, err := signature.ParseSignature(value); err != nil {
			b.Fatal(err)
		}
	}
}
