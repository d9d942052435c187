package cli

import (
	"bytes"
	"io"
)

// kept is a message that is kept while it is verified, for what is asked about it
// afterwards.
type kept struct {
	most    int // octets; nothing is kept of a longer message
	octets  bytes.Buffer
	tooLong bool
}

// Lengths up to which a message is kept.
const (
	maxOpinion  = 32 << 20 // for a second opinion
	maxDiagnose = 16 << 20 // for why its signatures broke
)

// mostKept is what f may ask about a message with these header fields.
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

// watch keeps what is read through it.
func (k *kept) watch(r io.Reader) io.Reader {
	if k.most == 0 {
		return r
	}
	return io.TeeReader(r, k)
}

// Write implements io.Writer. It never fails: what is too long is not kept.
func (k *kept) Write(p []byte) (int, error) {
	if k.tooLong = k.tooLong || k.octets.Len()+len(p) > k.most; k.tooLong {
		k.octets = bytes.Buffer{}
	} else {
		k.octets.Write(p)
	}
	return len(p), nil
}

// message is what was read, nil when nothing was kept or it is longer than most.
func (k *kept) message(most int) []byte {
	if k.most == 0 || k.tooLong || k.octets.Len() > most {
		return nil
	}
	return k.octets.Bytes()
}

// body is the body of the message, nil when it was not kept.
func (k *kept) body(most int) []byte {
	_, body, _ := bytes.Cut(k.message(most), []byte("\r\n\r\n"))
	return body
}
