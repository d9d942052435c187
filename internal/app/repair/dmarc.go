package repair

import (
	"regexp"
	"slices"
	"strings"

	"postseal/dmarc"
	"postseal/lint"
)

// dmarcVersion matches what was meant as v=DMARC1 at the start of a text.
var dmarcVersion = regexp.MustCompile(`(?i)^v?\s*[=:]?\s*dmarc\s*v?[1l2i]?(?:\.0)?\s*(?:[;,:|]|\s|$)`)

// dmarcTag matches the start of a tag: at a separator, with its name and "=", or ":" in its place.
var dmarcTag = regexp.MustCompile(`(?i)(?:^|[;,|\s])\s*(v|p|sp|np|adkim|aspf|t|psd|fo|rua|ruf|pct|rf|ri|policy|pol|rau|ura|ruaa|ruua|rfu|ruff|fur|adkm|akdim|adikm|asfp|apsf|subpolicy)\s*(?:[=:]+|\s*-\s*)\s*`)

// meantTags maps names with only one explanation to what was meant.
var meantTags = map[string]string{"policy": "p", "pol": "p", "rau": "rua", "ura": "rua", "ruaa": "rua", "ruua": "rua", "rfu": "ruf", "ruff": "ruf", "fur": "ruf",
	"adkm": "adkim", "akdim": "adkim", "adikm": "adkim", "asfp": "aspf", "apsf": "aspf", "subpolicy": "sp"}

var (
	dmarcOrder = []string{"p", "sp", "np", "adkim", "aspf", "t", "psd", "fo", "rua", "ruf"}
	policies   = []string{"none", "quarantine", "reject"}
)

// DMARC returns the record intended by texts, which are at one name. It has no errors of
// dmarc.Lint, at least the policy of each text, and every address.
func DMARC(texts ...string) (string, error) {
	m := &dmarcModel{values: map[string]string{}}
	for _, text := range texts {
		clean, ok := Clean(text)
		if !ok {
			return "", unclear(text, "has octets that are not text")
		}
		if err := m.read(clean); err != nil {
			return "", err
		}
	}
	return m.record()
}

// dmarcModel is the meaning of the texts.
type dmarcModel struct {
	version bool              // a text starts with v=DMARC1, or nearly
	values  map[string]string // of the tags with one value
	rua     []string
	ruf     []string
}

func (m *dmarcModel) read(text string) error {
	if at := dmarcVersion.FindStringIndex(text); at != nil {
		text, m.version = text[at[1]:], true
	}
	marks := tagMarks(text)
	if len(marks) == 0 {
		return m.loose(text)
	}
	if err := m.loose(text[:marks[0][0]]); err != nil {
		return err
	}
	for i, at := range marks {
		end := len(text)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		name := strings.ToLower(text[at[2]:at[3]])
		if meant := meantTags[name]; meant != "" {
			name = meant
		}
		if err := m.tag(name, text[at[1]:end]); err != nil {
			return err
		}
	}
	return nil
}

// hyphened are values that follow a hyphen meant as "=".
var hyphened = regexp.MustCompile(`(?i)^(?:none|quarantine|reject|[rsyn])(?:[\s;,|]|$)`)

// tagMarks finds the starts of tags: start, name and value, as FindAllStringSubmatchIndex does.
func tagMarks(text string) [][]int {
	marks := dmarcTag.FindAllStringSubmatchIndex(text, -1)
	return slices.DeleteFunc(marks, func(at []int) bool {
		return strings.Contains(text[at[3]:at[1]], "-") && !hyphened.MatchString(text[at[1]:])
	})
}

// tag reads the value of a tag, up to the next known one.
func (m *dmarcModel) tag(name, value string) error {
	switch name {
	case "rua", "ruf":
		return m.destinations(name, value)
	case "v":
		at := dmarcVersion.FindStringIndex("v=" + strings.TrimLeft(value, " "))
		if at == nil {
			return unclear("v="+value, "is another version")
		}
		// A second version, of a record that was pasted twice.
		return m.loose(("v=" + strings.TrimLeft(value, " "))[at[1]:])
	}
	first, rest, _ := strings.Cut(value, ";")
	if err := m.loose(rest); err != nil {
		return err
	}
	return m.value(name, strings.ToLower(strings.Trim(first, " ,|.")))
}

// namedPart is a part with its own name.
var namedPart = regexp.MustCompile(`^\s*[A-Za-z_-]+\s*=`)

// destinations reads the addresses of a tag, and what follows them.
func (m *dmarcModel) destinations(name, value string) error {
	for part := range strings.SplitSeq(value, ";") {
		var err error
		if namedPart.MatchString(part) {
			err = m.loose(part)
		} else {
			err = m.addresses(name, part)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var short = map[string]string{"relaxed": "r", "strict": "s", "yes": "y", "no": "n"}

func (m *dmarcModel) value(name, value string) error {
	switch name {
	case "p", "sp", "np":
		if value == "" {
			return nil
		}
		meant := value
		if !slices.Contains(policies, value) {
			meant = slip(value, policies)
			for _, p := range policies {
				if len(value) > len(p) && strings.HasPrefix(value, p) && len(value) <= len(p)+2 {
					meant = p // rejected, quarantined
				}
			}
		}
		if meant == "" {
			return unclear(name+"="+value, "is not a policy: none, quarantine or reject")
		}
		return m.set(name, meant)
	case "adkim", "aspf":
		return m.letter(name, value, "rs")
	case "t":
		return m.letter(name, value, "yn")
	case "psd":
		return m.letter(name, value, "ynu")
	case "fo":
		return m.options(value)
	case "pct":
		if value == "0" {
			return m.set("t", "y") // RFC 9989 Appendix A.6
		}
	}
	return nil // pct, rf and ri no longer have any effect
}

func (m *dmarcModel) letter(name, value, allowed string) error {
	if s := short[value]; s != "" {
		value = s
	}
	if len(value) != 1 || !strings.Contains(allowed, value) {
		return unclear(name+"="+value, "has a value that the tag does not know")
	}
	return m.set(name, value)
}

// options reads fo, whose options are separated by colons.
func (m *dmarcModel) options(value string) error {
	var list []string
	for _, o := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(":,;| ", r) }) {
		if len(o) != 1 || !strings.Contains("01ds", o) {
			return unclear("fo="+value, "has options other than 0, 1, d, s")
		}
		if !slices.Contains(list, o) {
			list = append(list, o)
		}
	}
	if len(list) == 0 {
		return nil
	}
	if slices.Contains(list, "1") { // includes 0
		list = slices.DeleteFunc(list, func(o string) bool { return o == "0" })
	}
	return m.set("fo", strings.Join(list, ":"))
}

// set records a value, which may occur twice but not with different meanings.
func (m *dmarcModel) set(name, value string) error {
	if have := m.values[name]; have != "" && have != value {
		return unclear(name, "has the values "+have+" and "+value+": which is meant is not clear")
	}
	m.values[name] = value
	return nil
}

// loose reads parts without a known tag in front.
func (m *dmarcModel) loose(text string) error {
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == '|' }) {
		part = strings.Trim(part, " ,")
		name, value, equals := strings.Cut(part, "=")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.ToLower(strings.TrimSpace(value))
		switch {
		case part == "":
		case slices.Contains(policies, strings.ToLower(part)):
			if err := m.set("p", strings.ToLower(part)); err != nil {
				return err
			}
		case strings.Contains(part, "@") || strings.Contains(strings.ToLower(part), "mailto") || strings.Contains(part, "//"):
			meant := slip(name, []string{"rua", "ruf"})
			if !equals || meant == "" {
				return unclear(part, "is an address without a tag that says what it is for")
			}
			if err := m.addresses(meant, part[strings.IndexByte(part, '=')+1:]); err != nil {
				return err
			}
		case !equals:
			return unclear(part, "is not a tag")
		case name == "v":
			return unclear(part, "is another version")
		case slices.Contains(policies, value) || slip(value, policies) != "":
			if slip(name, []string{"policy"}) == "" {
				return unclear(part, "is a policy under a name that is not a tag")
			}
			if err := m.value("p", value); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *dmarcModel) addresses(name, value string) error {
	list, err := uris(value)
	if err != nil {
		return err
	}
	to := &m.rua
	if name == "ruf" {
		to = &m.ruf
	}
	for _, u := range list {
		if !slices.Contains(*to, u) {
			*to = append(*to, u)
		}
	}
	return nil
}

// record writes the model, and reads it again as receivers do.
func (m *dmarcModel) record() (string, error) {
	if m.values["p"] == "" {
		if !m.version {
			return "", unclear("", "there is neither a version nor a policy")
		}
		m.values["p"] = "none" // as receivers treat it (RFC 9989 §4.10.1)
	}
	parts := []string{"v=DMARC1"}
	for _, name := range dmarcOrder {
		value := m.values[name]
		switch name {
		case "rua":
			value = strings.Join(m.rua, ",")
		case "ruf":
			value = strings.Join(m.ruf, ",")
		}
		if name == "fo" && len(m.ruf) == 0 || value == "" {
			continue
		}
		parts = append(parts, name+"="+value)
	}
	text := strings.Join(parts, "; ")
	if !printable(text) {
		return "", unclear(text, "contains non-ASCII octets")
	}
	for _, p := range dmarc.Lint(text) {
		if p.Severity == lint.Error || p.Severity == lint.Critical {
			return "", unclear(text[p.Offset:], "cannot be written so that receivers read it: "+p.Message)
		}
	}
	return text, nil
}
