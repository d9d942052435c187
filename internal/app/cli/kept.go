package cli

import (
	"bytes"
	"io"
)

// kept is a message that is stored while it is verified, because later steps need it.
type kept struct {
	most    int // in octets; a longer message is not stored
	octets  bytes.Buffer
	tooLong bool
}

// Lengths up to which a message is stored.
const (
	maxOpinion  = 32 << 20 // for a second opinion
	maxDiagnose = 16 << 20 // to find out why its signatures broke
)

// mostKept returns the length up to which f needs a message with these header fields.
func (f *verifyFlags) mostKept(in *input) int {
	switch {
	case f.bundle != "" && f.bundleWith == withMessage:
		return maxBundle
	case f.opinion:
		return maxOpinion
	case in.header.Index("DKIM-Signature") >= 0:
		return maxDiagnose
	}
	return 0
}

// watch stores what is read through it.
func (k *kept) watch(r io.Reader) io.Reader {
	if k.most == 0 {
		return r
	}
	return io.TeeReader(r, k)
}

// Write implements io.Writer. It never fails: text that is too long is not stored.
func (k *kept) Write(p []byte) (int, error) {
	if k.tooLong = k.tooLong || k.octets.Len()+len(p) > k.most; k.tooLong {
		k.octets = bytes.Buffer{}
	} else {
		k.octets.Write(p)
	}
	return len(p), nil
}

// message returns what was read, or nil if it was not stored or is longer than most.
func (k *kept) message(most int) []byte {
	if k.most == 0 || k.tooLong || k.octets.Len() > most {
		return nil
	}
	return k.octets.Bytes()
}

// body returns the body of the message, or nil if it was not stored.
func (k *kept) body(most int) []byte {
	_, body, _ := bytes.Cut(k.message(most), []byte("\r\n\r\n"))
	return body
}
