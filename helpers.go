package postseal

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"postseal/internal/core/shared"
	"postseal/message"
)

// EnhancedCode returns Enhanced as the three numbers class, subject and detail (RFC 3463 §2);
// zeros if it has another form, or r is nil.
func (r *Reply) EnhancedCode() (code [3]int) {
	if r == nil {
		return [3]int{}
	}
	if n, err := fmt.Sscanf(r.Enhanced, "%d.%d.%d", &code[0], &code[1], &code[2]); n != 3 || err != nil {
		return [3]int{}
	}
	return code
}

// Text returns Lines as one string, separated by line feeds; "" if r is nil, as for a message that is
// accepted.
func (r *Reply) Text() string {
	if r == nil {
		return ""
	}
	return strings.Join(r.Lines, "\n")
}

// String is the verdict in one line, for people: what is done and why, then the result of each
// mechanism. Untrusted text in it is quoted. It may change; for programs there is MarshalJSON.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)", r.Decision.Applied, r.Decision.Reason)
	if r.Decision.Action != r.Decision.Applied {
		fmt.Fprintf(&b, ", lowered from %s", r.Decision.Action)
	}
	for _, d := range r.Author.Domains {
		fmt.Fprintf(&b, " from=%s", d)
	}
	if len(r.SPF) > 0 {
		fmt.Fprintf(&b, " spf=%s (%q)", r.SPF[0].Code, r.SPF[0].Domain)
	}
	if len(r.DKIM) == 0 {
		b.WriteString(" dkim=none")
	}
	for i := range r.DKIM {
		fmt.Fprintf(&b, " dkim=%s (%q)", r.DKIM[i].Code, r.DKIM[i].Domain)
	}
	if r.ARC.Code != "" {
		fmt.Fprintf(&b, " arc=%s", r.ARC.Code)
	}
	fmt.Fprintf(&b, " dmarc=%s", r.DMARC.Code)
	if r.DMARC.Policy != "" {
		fmt.Fprintf(&b, " (p=%s)", r.DMARC.Policy)
	}
	return b.String()
}

// Apply writes the message of src, which must have CRLF line endings, to dst with the changes
// carried out: the forged fields are gone, the new ones are above all others. The longest field
// is kept in memory. The error is that of src or dst, or says which of them is missing.
func (c HeaderChanges) Apply(dst io.Writer, src io.Reader) error {
	switch {
	case shared.Absent(dst):
		return errors.New("postseal: the writer is nil")
	case shared.Absent(src):
		return errNoReader
	}
	for _, f := range c.Add {
		if _, err := fmt.Fprintf(dst, "%s:%s\r\n", f.Name, f.Value); err != nil {
			return err
		}
	}
	a := &applier{dst: dst, remove: make(map[HeaderRef]bool, len(c.Remove)), seen: map[string]int{}}
	for _, ref := range c.Remove {
		a.remove[HeaderRef{strings.ToLower(ref.Name), ref.Index}] = true
	}
	return message.Stream(a, src, message.Limits{HeaderBytes: math.MaxInt32, Fields: math.MaxInt32, FieldBytes: math.MaxInt32 - 2})
}

// applier writes on what is not removed.
type applier struct {
	dst    io.Writer
	remove map[HeaderRef]bool // names in lower case
	seen   map[string]int     // fields of each name so far
}

// Field implements message.Sink.
func (a *applier) Field(f message.Field) error {
	name := strings.ToLower(string(f.Name()))
	a.seen[name]++
	if a.remove[HeaderRef{name, a.seen[name]}] {
		return nil
	}
	_, err := a.dst.Write(append(f.Raw[:len(f.Raw):len(f.Raw)], "\r\n"...))
	return err
}

// EndHeader implements message.Sink.
func (a *applier) EndHeader() error {
	_, err := io.WriteString(a.dst, "\r\n")
	return err
}

// Write implements message.Sink.
func (a *applier) Write(p []byte) (int, error) { return a.dst.Write(p) }
