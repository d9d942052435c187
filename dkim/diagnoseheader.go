package dkim

import (
	"mime"
	"regexp"
	"slices"
	"strings"

	"postseal/internal/core/reason"
	"postseal/internal/core/signature"
	"postseal/internal/core/tagvalue"
	"postseal/message"
)

// header finds a header section that verifies. intact tells that there is one; the
// Diagnosis has no Cause when it is the one that is there.
func (p *patient) header() (d Diagnosis, intact bool) {
	fields := make([]message.Field, p.h.Len())
	for i := range fields {
		fields[i] = p.h.At(i)
	}
	if p.verifies(fields) {
		return Diagnosis{}, true
	}
	if d, ok := p.oneChange(fields); ok {
		return d, true
	}
	// A list that prefixes the Subject often rewrites the author too, or refolds.
	for _, s := range subjects(fields) {
		if p.attempts >= maxAttempts {
			break
		}
		if again, ok := p.oneChange(with(fields, s.index, s.raw)); ok {
			again.Cause = SubjectPrefix
			again.Text = s.text + "; " + again.Text
			return again, true
		}
	}
	return Diagnosis{}, false
}

// oneChange undoes one change at a time.
func (p *patient) oneChange(fields []message.Field) (Diagnosis, bool) {
	for _, try := range []func([]message.Field) []change{subjects, authors, p.copies, p.removals, p.folds, encodings, p.refolds} {
		for _, c := range try(fields) {
			if p.attempts >= maxAttempts {
				return Diagnosis{}, false
			}
			if p.verifies(c.apply(fields)) {
				return Diagnosis{Cause: c.cause, Text: c.text}, true
			}
		}
	}
	return Diagnosis{}, false
}

// change is one that may have been made: the field as it may have been, nil when it was not
// there; or all fields.
type change struct {
	cause Cause
	text  string
	index int
	raw   []byte
	all   []message.Field
}

func (c change) apply(fields []message.Field) []message.Field {
	if c.all != nil {
		return c.all
	}
	return with(fields, c.index, c.raw)
}

func with(fields []message.Field, index int, raw []byte) []message.Field {
	again := slices.Clone(fields)
	again[index] = field(raw)
	return again
}

// field is raw as a field, or none.
func field(raw []byte) message.Field {
	f, _ := message.ParseField(raw)
	return f
}

// value replaces the value of f.
func value(f message.Field, v string) []byte {
	return append(slices.Clone(f.Raw[:f.Colon+1]), v...)
}

var bracket = regexp.MustCompile(`^(\s*(?:(?i:re|aw|fwd?|sv):\s*)*)(\[[^\]]{1,60}\]\s*|\([^)]{1,60}\)\s*|\*{2,}[^*]{1,60}\*{2,}\s*)`)

// maxPrefixWords is how many first words of a Subject may be a prefix.
const maxPrefixWords = 6

// subjects are the Subject without what may be a prefix: something in brackets, after any
// "Re:", or the first words.
func subjects(fields []message.Field) []change {
	var all []change
	for i, f := range fields {
		if f.Raw == nil || !f.Is("Subject") {
			continue
		}
		v := string(f.Value())
		add := func(prefix, rest string) {
			all = append(all, change{SubjectPrefix, "the Subject got the prefix " + reason.Quote(strings.TrimSpace(prefix)), i, value(f, rest), nil})
		}
		if m := bracket.FindStringSubmatchIndex(v); m != nil {
			add(v[m[4]:m[5]], v[:m[4]]+v[m[5]:])
		}
		rest := strings.TrimLeft(v, " \t")
		for range maxPrefixWords {
			space := strings.IndexAny(rest, " \t")
			if space < 0 {
				break
			}
			rest = strings.TrimLeft(rest[space:], " \t\r\n")
			add(strings.TrimSuffix(v, rest), " "+rest)
		}
	}
	return all
}

// originals are where a list keeps the author that it replaced.
var originals = []string{"X-Original-From", "Original-From", "X-Original-Sender", "Reply-To", "X-MailFrom", "Cc"}

// authors are From with the author that another field keeps.
func authors(fields []message.Field) []change {
	var all []change
	for i, f := range fields {
		if f.Raw == nil || !f.Is("From") {
			continue
		}
		for _, name := range originals {
			for _, o := range fields {
				if o.Raw != nil && o.Is(name) {
					all = append(all, change{FromRewritten, "From was rewritten; the original author is in " + name, i, value(f, string(o.Value())), nil})
				}
			}
		}
	}
	return all
}

// copies are the fields as the signer copied them into z= (RFC 6376 §3.5), all of them at
// once.
func (p *patient) copies(fields []message.Field) []change {
	again := slices.Clone(fields)
	var changed []string
	for name, v := range copiedFields(p.field.Copied) {
		for i := len(again) - 1; i >= 0; i-- {
			f := again[i]
			if i == p.own || f.Raw == nil || !f.Is(name) {
				continue
			}
			if strings.TrimSpace(string(f.Value())) != strings.TrimSpace(v) {
				changed = append(changed, string(f.Name()))
				again[i] = field(value(f, v))
			}
			break
		}
	}
	if len(changed) == 0 {
		return nil
	}
	slices.Sort(changed)
	return []change{{FieldModified, "changed after signing, by the copies of the signer: " + strings.Join(changed, ", "), 0, nil, again}}
}

// copiedFields reads z=: the fields as the signer had them, by name, of each name the last. A
// verdict never depends on it (RFC 6376 §3.5). What cannot be read is omitted.
func copiedFields(value string) map[string]string {
	copied := map[string]string{}
	for part := range strings.SplitSeq(value, "|") {
		name, text, ok := strings.Cut(tagvalue.StripFWS(part), ":")
		if !ok {
			continue
		}
		if text, ok = signature.DecodeQuotedPrintable(text); ok {
			copied[name] = text
		}
	}
	return copied
}

// removals are the header section without one field of a signed name.
func (p *patient) removals(fields []message.Field) []change {
	var all []change
	for i, f := range fields {
		if i == p.own || f.Raw == nil || !slices.ContainsFunc(p.field.Names, f.Is) {
			continue
		}
		all = append(all, change{FieldAdded, "a field " + reason.Quote(string(f.Name())) + " was added after signing", i, nil, nil})
	}
	return all
}

// foldings are ways to write the white space of a field.
var foldings = []func(string) string{
	func(v string) string { return strings.NewReplacer("\r\n\t", " ", "\r\n ", " ").Replace(v) },
	func(v string) string { return strings.ReplaceAll(v, "\r\n", "") },
	func(v string) string { return strings.ReplaceAll(v, "\r\n ", "\r\n\t") },
	func(v string) string { return strings.ReplaceAll(v, "\r\n\t", "\r\n ") },
	func(v string) string { return " " + strings.TrimLeft(v, " \t") },
	func(v string) string { return strings.TrimLeft(v, " \t") },
	func(v string) string { return strings.TrimRight(v, " \t") },
}

// maxFolds is how many places for one fold are tried in a field.
const maxFolds = 20

// refolds are a field with a fold before one of its words.
func (p *patient) refolds(fields []message.Field) []change {
	var all []change
	for i, f := range fields {
		if f.Raw == nil || i == p.own || !slices.ContainsFunc(p.field.Names, f.Is) {
			continue
		}
		v := string(f.Value())
		for at, folds := 1, 0; at < len(v) && folds < maxFolds; at++ {
			if v[at] == ' ' && v[at-1] != '\n' {
				folds++
				all = append(all, change{Refolded, "the fold of " + reason.Quote(string(f.Name())) + " was removed", i, value(f, v[:at]+"\r\n"+v[at:]), nil})
			}
		}
	}
	return all
}

// folds are the fields with other white space: each alone, and all at once.
func (p *patient) folds(fields []message.Field) []change {
	var all []change
	for _, fold := range foldings {
		again := slices.Clone(fields)
		different := 0
		for i, f := range fields {
			if f.Raw == nil || i != p.own && !slices.ContainsFunc(p.field.Names, f.Is) {
				continue
			}
			v := fold(string(f.Value()))
			if v == string(f.Value()) {
				continue
			}
			different++
			again[i] = field(value(f, v))
			all = append(all, change{Refolded, "the white space of " + reason.Quote(string(f.Name())) + " was changed", i, again[i].Raw, nil})
		}
		if different > 1 {
			all = append(all, change{Refolded, "the header section was folded differently", 0, nil, again})
		}
	}
	return all
}

var encodedFields = []string{"Subject", "From", "To", "Cc", "Reply-To"}

// encodings are fields with their encoded words (RFC 2047) decoded, or their text encoded, and
// with the quotes of a display name added or removed.
func encodings(fields []message.Field) []change {
	var all []change
	for i, f := range fields {
		if f.Raw == nil || !slices.ContainsFunc(encodedFields, f.Is) {
			continue
		}
		v := strings.TrimLeft(string(f.Value()), " ")
		for _, other := range recode(v) {
			if other != v {
				all = append(all, change{Recoded, "the text of " + reason.Quote(string(f.Name())) + " was encoded in another way", i, value(f, " "+other), nil})
			}
		}
	}
	return all
}

var displayName = regexp.MustCompile(`^([^"<]+?)\s*(<[^<>]+>)\s*$`)
var quotedName = regexp.MustCompile(`^"([^"\\]*)"\s*(<[^<>]+>)\s*$`)

func recode(v string) []string {
	var all []string
	if decoded, err := new(mime.WordDecoder).DecodeHeader(v); err == nil {
		all = append(all, decoded)
	}
	all = append(all, mime.QEncoding.Encode("utf-8", v), mime.BEncoding.Encode("utf-8", v), mime.QEncoding.Encode("UTF-8", v), mime.BEncoding.Encode("UTF-8", v))
	if m := displayName.FindStringSubmatch(v); m != nil {
		all = append(all, `"`+m[1]+`" `+m[2])
	}
	if m := quotedName.FindStringSubmatch(v); m != nil {
		all = append(all, m[1]+" "+m[2])
	}
	return all
}
