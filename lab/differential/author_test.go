package differential

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"net/mail"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postseal/domain"
	"postseal/message"
)

var authorCases = flag.Int("authors", 1000, "generated From fields that are compared with other readers")

// TestAuthorReaders: whatever domain another reader shows as the author's is among the Author
// Domains, or there are none and the message is refused. The readers are Go's net/mail,
// Python's email package, four address parsers of npm, Thunderbird's jsmime, and what programs do that only look for
// brackets and "@".
func TestAuthorReaders(t *testing.T) {
	fields := authorFields(*authorCases)
	programs := [][][]string{outsideReader(t, fields, "python3", "-B", "drivers/author.py"), outsideReader(t, fields, "node", "drivers/author.js"), nil}
	if os.Getenv("JSMIME") != "" {
		programs[2] = outsideReader(t, fields, "node", "drivers/jsmime.mjs")
	} else {
		t.Log("skipped: drivers/jsmime.mjs, because JSMIME does not name jsmime.mjs of a Thunderbird")
	}
	compared, refused, several := 0, 0, 0
	for i, value := range fields {
		field, ok := message.ParseField([]byte("From: " + value))
		if !ok {
			continue
		}
		h := new(message.Header)
		h.Add(field)
		a := message.FindAuthor(h)
		if a.Reason != "" {
			refused++
			continue
		}
		compared++
		if len(a.Domains) > 1 {
			several++
		}
		shown := slices.Concat(netMail(value), brackets(value))
		for _, answers := range programs {
			if answers != nil {
				shown = append(shown, answers[i]...)
			}
		}
		for _, name := range shown {
			n, err := domain.Parse(strings.Trim(name, ". "))
			if err == nil && canExist(n) && !slices.Contains(a.Domains, n) && !quotedLocal(a) && !nestedAt.MatchString(value) {
				t.Errorf("From: %q: another reader shows %q, ours are %q", value, n, a.Domains)
			}
		}
	}
	t.Logf("%d From fields: %d with an author, %d of them with several, %d refused; Python: %t, npm: %t, Thunderbird: %t", len(fields), compared, several, refused, programs[0] != nil, programs[1] != nil, programs[2] != nil)
	if compared < len(fields)/4 || several == 0 || refused == 0 {
		t.Error("the fields show nothing")
	}
}

// quotedLocal reports whether an address has an "@" in its quoted local part. The grammar leaves no
// doubt about its domain (RFC 5322 §3.4.1), and that emailjs-addressparser shows another is a fault
// that nodemailer, whose parser it was, has fixed.
func quotedLocal(a message.Author) bool {
	return slices.ContainsFunc(a.Addresses, func(address string) bool { return strings.Count(address, "@") > 1 })
}

// nestedAt is an "@" in a comment that holds another. Comments nest (RFC 5322 §3.2.2); postal-mime alone
// ends one at its first closing parenthesis.
var nestedAt = regexp.MustCompile(`\([^()]*\([^()]*\)[^()]*@[^()]*\)`)

// canExist reports whether n is below a public suffix, or is one of the names of this test.
func canExist(n domain.Name) bool {
	_, icann := n.PublicSuffix()
	return n.Labels() > 1 && (icann || n.Last(1) == "test")
}

// authorFields makes fields of the pieces that attacks are made of.
func authorFields(n int) []string {
	pieces := []string{"a@evil.test", "ceo@bank.test", "<a@evil.test>", "<ceo@bank.test>", "<", ">", "<<", ">>", ",", ";", ":", " ", " ", "\"", "\"Bank\"", "\"ceo@bank.test\"",
		"\"<ceo@bank.test>\"", "(x)", "(ceo@bank.test)", "(", ")", "\\", "Bank", "Inc.", "'", "@", ".", "[", "]", "=?utf-8?Q?ceo=40bank.test?=", "=?utf-8?Q?Bank?=", "=?utf-8?B?Y2VvQGJhbmsudGVzdA==?=",
		"x@c.test", "a..b@evil.test", "@bank.test", "Staff:", "\t", "\u00e9", "\xe9", "ceo@bank.co", "m", "(x)m", "%", "\\,", "ceo@bank.test>", "<a@evil.test", "\r\n "}
	random := rand.New(rand.NewPCG(9989, *seed))
	fields := make([]string, 0, n)
	for range n {
		var b strings.Builder
		for range 1 + random.IntN(6) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		fields = append(fields, b.String())
	}
	return fields
}

// netMail is the standard library of Go, with the list and with a single address.
func netMail(value string) []string {
	var names []string
	unfolded := strings.ReplaceAll(value, "\r\n", "")
	list, _ := mail.ParseAddressList(unfolded)
	if one, err := mail.ParseAddress(unfolded); err == nil {
		list = append(list, one)
	}
	for _, a := range list {
		names = append(names, a.Address[strings.LastIndexByte(a.Address, '@')+1:])
	}
	return names
}

var (
	displayText = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|=\?[^?\s]+\?[^?\s]+\?[^?\s]*\?=`)
	comment     = regexp.MustCompile(`\((?:[^()\\]|\\.)*\)`)
	inBrackets  = regexp.MustCompile(`<[^<>@]*@([\p{L}0-9.-]+)>`)
	bareAddress = regexp.MustCompile(`[^\s<>@,;:]@([\p{L}0-9-]+(?:\.[\p{L}0-9-]+)+)`)
)

// brackets looks for addresses outside display text: in angle brackets, and anywhere.
func brackets(value string) []string {
	text := displayText.ReplaceAllString(value, " ")
	for inner := comment; inner.MatchString(text); {
		text = inner.ReplaceAllString(text, " ") // from the innermost outwards (RFC 5322 §3.2.2)
	}
	var names []string
	for _, m := range slices.Concat(inBrackets.FindAllStringSubmatch(text, -1), bareAddress.FindAllStringSubmatch(text, -1)) {
		names = append(names, m[1])
	}
	return names
}

// outsideReader returns what a program shows for each field, nil where it cannot run.
func outsideReader(t *testing.T, fields []string, program string, args ...string) [][]string {
	if _, err := exec.LookPath(program); err != nil {
		t.Logf("skipped: %s, because %s is not installed", args[len(args)-1], program)
		return nil
	}
	var in bytes.Buffer
	for _, f := range fields {
		var octets strings.Builder // JSON holds characters: one for each octet
		for i := range len(f) {
			octets.WriteRune(rune(f[i]))
		}
		line, err := json.Marshal(octets.String())
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(line, '\n'))
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdin = &in
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", cmd, err, said.String())
	}
	if text := strings.TrimSpace(said.String()); text != "" {
		t.Logf("%s: %s", args[len(args)-1], text)
	}
	var all [][]string
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var names []string
		if err := json.Unmarshal(lines.Bytes(), &names); err != nil {
			t.Fatal(err)
		}
		all = append(all, names)
	}
	if len(all) != len(fields) {
		t.Fatalf("%d answers for %d fields", len(all), len(fields))
	}
	return all
}
