package bundle

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"postseal"
	"postseal/domain"
	"postseal/internal/core/attached"
	"postseal/internal/core/bodyhash"
	"postseal/internal/core/canonical"
	"postseal/message"
)

// evidence is what stands for a message that is not kept.
type evidence struct {
	author message.Author
	limit  message.Reason
	attached.Evidence
}

// replay evaluates the evidence of b.
func (b *Bundle) replay(ctx context.Context, v *postseal.Verifier, conn postseal.Conn) (*postseal.Report, error) {
	s := v.Session(ctx, conn)
	s.Helo(b.Envelope.Helo)
	t := s.Mail(b.Envelope.From)
	defer t.Abort()
	attached.SetReplay(t, &attached.Replay{Ref: b.Ref, Author: b.evidence.author, Limit: b.evidence.limit, Evidence: b.evidence.Evidence})
	for _, to := range b.Envelope.To {
		t.Rcpt(to)
	}
	for i := range b.header.Len() {
		if err := t.Field(b.header.At(i)); err != nil {
			return nil, err
		}
	}
	return t.Finish(ctx)
}

// headerOnly collects the fields of a header part.
type headerOnly struct{ *message.Header }

func (h headerOnly) Field(f message.Field) error { h.Add(f); return nil }
func (h headerOnly) EndHeader() error            { return nil }

// Write refuses what is not a field.
func (h headerOnly) Write(p []byte) (int, error) {
	return 0, fmt.Errorf("%.40q is not a header field", p)
}

func parseHeader(text []byte) (h message.Header, err error) {
	if len(text) == 0 {
		return h, nil
	}
	return h, message.Stream(headerOnly{&h}, bytes.NewReader(text), message.Limits{})
}

const allOctets = "all"

// format writes the evidence part, one fact a line.
func (e *evidence) format() string {
	var b strings.Builder
	for _, d := range e.author.Domains {
		fmt.Fprintf(&b, "author %s\n", d)
	}
	if e.author.Reason != "" {
		fmt.Fprintf(&b, "author-reason %s\n", e.author.Reason)
	}
	if e.limit != "" {
		fmt.Fprintf(&b, "limit %s\n", e.limit)
	}
	fmt.Fprintf(&b, "body %d\n", e.Bytes)
	if e.Calendar {
		b.WriteString("calendar part\n")
	}
	for _, h := range e.Bodies {
		limit, sum := allOctets, "beyond"
		if h.Limit >= 0 {
			limit = strconv.FormatInt(h.Limit, 10)
		}
		if h.Inside {
			sum = base64.StdEncoding.EncodeToString(h.Sum[:])
		}
		fmt.Fprintf(&b, "body-hash %s %s %d %s\n", h.Canonical, limit, h.Length, sum)
	}
	byField := slices.SortedFunc(slices.Values(e.Digests), func(a, b canonical.Digest) int { return cmp.Compare(a.Field, b.Field) })
	for _, d := range byField {
		fmt.Fprintf(&b, "header-digest %d %s\n", d.Field, base64.StdEncoding.EncodeToString(d.Sum[:]))
	}
	return b.String()
}

func parseEvidence(text string) (*evidence, error) {
	e := &evidence{}
	for i, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := e.set(words[0], words[1:]); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return e, nil
}

func (e *evidence) set(key string, values []string) (err error) {
	if want := map[string]int{"author": 1, "author-reason": 1, "limit": 1, "body": 1, "calendar": 1, "body-hash": 4, "header-digest": 2}[key]; len(values) != want || want == 0 {
		return fmt.Errorf("%q with %d values; known are author, author-reason, limit, body, calendar, body-hash, header-digest", key, len(values))
	}
	switch key {
	case "author":
		name, err := domain.Parse(values[0])
		if err != nil {
			return err
		}
		e.author.Domains = append(e.author.Domains, name)
	case "author-reason":
		e.author.Reason = message.Reason(values[0])
	case "limit":
		e.limit = message.Reason(values[0])
	case "body":
		e.Bytes, err = strconv.ParseInt(values[0], 10, 64)
	case "calendar":
		e.Calendar = values[0] == "part"
	case "body-hash":
		return e.bodyHash(values)
	case "header-digest":
		index, err := strconv.Atoi(values[0])
		if err != nil {
			return err
		}
		sum, err := digest(values[1])
		e.Digests = append(e.Digests, canonical.Digest{Field: index, Sum: sum})
		return err
	}
	return err
}

func (e *evidence) bodyHash(values []string) (err error) {
	h := bodyhash.Hash{Limit: bodyhash.NoLimit, Inside: values[3] != "beyond"}
	switch values[0] {
	case bodyhash.Simple.String():
	case bodyhash.Relaxed.String():
		h.Canonical = bodyhash.Relaxed
	default:
		return fmt.Errorf("%q is neither simple nor relaxed", values[0])
	}
	if values[1] != allOctets {
		if h.Limit, err = strconv.ParseInt(values[1], 10, 64); err != nil || h.Limit < 0 {
			return fmt.Errorf("%q is not a number of octets", values[1])
		}
	}
	if h.Length, err = strconv.ParseInt(values[2], 10, 64); err != nil {
		return err
	}
	if h.Inside {
		h.Sum, err = digest(values[3])
	}
	e.Bodies = append(e.Bodies, h)
	return err
}

func digest(s string) (sum [sha256.Size]byte, err error) {
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(data) != len(sum) {
		return sum, fmt.Errorf("%q is not a SHA-256 in base64", s)
	}
	return [sha256.Size]byte(data), nil
}
