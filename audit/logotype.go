package audit

import (
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"io"
	"strings"
)

// logoImage is LogotypeImage of RFC 3709 §4.1, as far as it is read.
type logoImage struct {
	Details struct {
		MediaType string
		Hash      []logoHash
		URI       []string
	}
	Info asn1.RawValue `asn1:"optional"`
}

type logoHash struct {
	Algorithm pkix.AlgorithmIdentifier
	Value     []byte
}

var errLogo = errors.New("the logo in the certificate cannot be read")

// subjectLogo returns the images of the logotype extension: subjectLogo, direct (RFC 3709 §4.1).
func subjectLogo(value []byte) ([]logoImage, error) {
	var extension asn1.RawValue
	if rest, err := asn1.Unmarshal(value, &extension); err != nil || len(rest) > 0 {
		return nil, errLogo
	}
	const subject, direct = 2, 0
	for content := extension.Bytes; len(content) > 0; {
		var part, info asn1.RawValue
		var err error
		if content, err = asn1.Unmarshal(content, &part); err != nil {
			return nil, errLogo
		}
		if part.Class != asn1.ClassContextSpecific || part.Tag != subject {
			continue
		}
		if _, err := asn1.Unmarshal(part.Bytes, &info); err != nil || info.Tag != direct {
			return nil, errLogo
		}
		var images []logoImage
		if _, err := asn1.Unmarshal(info.Bytes, &images); err != nil || len(images) == 0 {
			return nil, errLogo
		}
		return images, nil
	}
	return nil, errors.New("the certificate contains no logo")
}

// embedded returns the octets of the image, which a mark certificate holds in a data URI (RFC 2397).
func (l *logoImage) embedded() ([]byte, error) {
	for _, uri := range l.Details.URI {
		kind, data, ok := strings.Cut(uri, ",")
		if !ok || !strings.HasPrefix(strings.ToLower(kind), "data:image/svg+xml") || !strings.HasSuffix(kind, ";base64") {
			continue
		}
		if octets, err := base64.StdEncoding.DecodeString(data); err == nil {
			return octets, nil
		}
	}
	return nil, errLogo
}

// hashed reports whether one of the hashes is that of data, and whether one can be compared.
func (l *logoImage) hashed(data []byte) (equal, known bool) {
	for _, h := range l.Details.Hash {
		var sum []byte
		switch h.Algorithm.Algorithm.String() {
		case "2.16.840.1.101.3.4.2.1":
			s := sha256.Sum256(data)
			sum = s[:]
		case "2.16.840.1.101.3.4.2.2":
			s := sha512.Sum384(data)
			sum = s[:]
		case "2.16.840.1.101.3.4.2.3":
			s := sha512.Sum512(data)
			sum = s[:]
		case "1.3.14.3.2.26":
			s := sha1.Sum(data)
			sum = s[:]
		default:
			continue
		}
		known = true
		equal = equal || bytes.Equal(sum, h.Value)
	}
	return equal, known
}

// plainSVG returns an image without its compression, at most maxSVG octets.
func plainSVG(data []byte) ([]byte, error) {
	const maxSVG = 1 << 20
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return data, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, errLogo
	}
	plain, err := io.ReadAll(io.LimitReader(z, maxSVG+1))
	if err != nil || len(plain) > maxSVG {
		return nil, errLogo
	}
	return plain, nil
}

// checkLogo compares the logo in a certificate with its hash, and with served, the image at l=, unless
// that was not fetched. Receivers show the one in the certificate.
func checkLogo(extension, served []byte) []string {
	images, err := subjectLogo(extension)
	if err != nil {
		return []string{err.Error()}
	}
	octets, err := images[0].embedded()
	if err != nil {
		return []string{err.Error()}
	}
	if equal, known := images[0].hashed(octets); !known || !equal {
		return []string{"the hash in the certificate is not that of its logo"}
	}
	inside, err := plainSVG(octets)
	if err != nil {
		return []string{err.Error()}
	}
	if served == nil {
		return nil
	}
	if outside, err := plainSVG(served); err != nil || !bytes.Equal(bytes.TrimSpace(inside), bytes.TrimSpace(outside)) {
		return []string{"the logo in the certificate differs from the one at l="}
	}
	return nil
}
