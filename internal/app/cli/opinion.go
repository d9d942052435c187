package cli

import (
	"context"

	"postseal"
	"postseal/internal/app/secondopinion"
	"postseal/internal/app/term"
	"postseal/resolver"
)

// opinions asks two other libraries, when f wants it.
func (f *verifyFlags) opinions(ctx context.Context, dns resolver.Resolver, r *postseal.Report, kept *kept) []secondopinion.Opinion {
	if !f.opinion {
		return nil
	}
	msg := kept.message(maxOpinion)
	if r.Limit() != "" {
		msg = nil
	}
	return append([]secondopinion.Opinion{}, secondopinion.Compare(ctx, dns, r, msg)...)
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
