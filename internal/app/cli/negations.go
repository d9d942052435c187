package cli

import (
	"regexp"
	"slices"
)

// negation is a term of a search such as -spf:pass. No flag has this form.
var negation = regexp.MustCompile(`^-[A-Za-z_]{2,}:`)

// negations returns args with a space before each negated term, so that it is not read as flags. The
// search language ignores the space.
func negations(args []string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if negation.MatchString(arg) {
			args[i] = " " + arg
		}
	}
	return args
}
