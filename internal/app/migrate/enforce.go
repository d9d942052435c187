package migrate

import (
	"slices"
	"strconv"
)

// own marks notes about our own settings, which no option of the old programs has.
const own = "postseal"

// conclude decides what the programs decide together: how far verdicts are applied. Nothing that no
// program refused is refused without a note. names are the programs.
func (s *settings) conclude(names []string) (notes []Note) {
	note := func(key, value, text string) {
		notes = append(notes, Note{Option: key, Value: value, Effect: Differs, Text: text, Program: own})
	}
	withSPF := slices.Contains(names, policydSPF.name)
	if withSPF && s.testOnly {
		for _, key := range []string{"helo_fail", "fail", "softfail", "permerror", "temperror"} {
			s.text("spf", key, "header")
		}
		s.text("policy", "null_mx", "accept")
	}
	refuses := withSPF && s.refusesSPF()
	enforce, set := s.value("", "enforce")
	switch {
	case !set && refuses:
		s.text("", "enforce", "guarded")
		note("enforce", "guarded", "policyd-spf refuses by SPF alone; a milter evaluates DMARC too, and rejects by it: use only the policy service, or look first, with \"observe\"")
	case !set:
		s.text("", "enforce", "observe")
		note("enforce", "observe", "nothing is refused, as before: choose \"guarded\" once you have seen what it would refuse")
	case refuses && enforce == quote("observe"):
		note("enforce", "observe", "opendmarc refuses nothing, so SPF refuses nothing either: keep policyd-spf until you choose \"guarded\"")
	}
	if refuses {
		note("[spf]", "", "is what the policy service answers, which the milter does not replace: postseal setup postfix --with-policy")
		note("[policy] null_mx", "reject", "a sender domain that says it has no mail (RFC 7505) is refused; \"accept\" does not")
	}
	return notes
}

// refusesSPF reports whether a result of SPF refuses or defers mail.
func (s *settings) refusesSPF() bool {
	return slices.ContainsFunc(s.keys, func(k setting) bool {
		return k.table == "spf" && (k.value == quote("reject") || k.value == quote("defer"))
	})
}

// value returns the TOML value of a key.
func (s *settings) value(table, key string) (value string, set bool) {
	for _, k := range s.keys {
		if k.table == table && k.key == key {
			return k.value, true
		}
	}
	return "", false
}

// where says where an option stands, in the comment of its note.
func (n *Note) where(several bool) string {
	switch {
	case n.Program == own:
		return "new"
	case several && n.Line > 0:
		return n.Program + ", line " + strconv.Itoa(n.Line)
	case several:
		return n.Program + ", default"
	case n.Line > 0:
		return "line " + strconv.Itoa(n.Line)
	}
	return "default"
}
