package cli

import (
	"bytes"
	"context"
	"io"

	"postseal"
	"postseal/internal/secondopinion"
	"postseal/internal/term"
	"postseal/resolver"
)

// maxOpinion is the longest message that is kept for a second opinion.
const maxOpinion = 32 << 20

// second keeps a message while it is verified, and then asks about it.
type second struct {
	wanted   bool
	dns      resolver.Resolver
	kept     bytes.Buffer
	tooLong  bool
	opinions []secondopinion.Opinion
}

// watch keeps what is read through it.
func (s *second) watch(r io.Reader) io.Reader {
	if !s.wanted {
		return r
	}
	return io.TeeReader(r, s)
}

// Write implements io.Writer. It never fails: what is too long is not kept.
func (s *second) Write(p []byte) (int, error) {
	if s.tooLong = s.tooLong || s.kept.Len()+len(p) > maxOpinion; !s.tooLong {
		s.kept.Write(p)
	}
	return len(p), nil
}

func (s *second) ask(ctx context.Context, r *postseal.Report) {
	s.opinions = []secondopinion.Opinion{}
	if !s.wanted {
		return
	}
	msg := s.kept.Bytes()
	if s.tooLong || r.Limit() != "" {
		msg = nil
	}
	s.opinions = append(s.opinions, secondopinion.Compare(ctx, s.dns, r, msg)...)
}

// secondOpinion writes what the other libraries say.
func (v *view) secondOpinion() {
	v.line("")
	v.line("%s", v.style.Bold(" SECOND OPINION"))
	if len(v.opinions) == 0 {
		v.line("   %s", v.style.Dim("nothing to ask about: no client address and no signature"))
	}
	for i := range v.opinions {
		o := &v.opinions[i]
		tone := term.Good
		switch {
		case o.Theirs == "":
			tone = term.Muted
		case !o.Known():
			tone = term.Bad
		case !o.Agrees:
			tone = term.Warn
		}
		prefix := " " + v.style.Symbol(tone) + " "
		for _, l := range wrap(v.clean(o.String()), term.Width-3) {
			v.line("%s%s", prefix, l)
			prefix = "   "
		}
	}
}
