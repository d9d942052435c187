package refusal

import (
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"

	"postseal"
)

//go:embed words/*.json
var wordFiles embed.FS

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{"around": around, "lead": lead}).Parse(pageText))

// around splits a text into what is before a word, the word, and what is after it.
func around(text, word string) [3]string {
	before, after, found := strings.Cut(text, word)
	if word == "" || !found {
		return [3]string{text}
	}
	return [3]string{before, word, after}
}

// lead splits a text into its first sentence and the rest.
func lead(text string) [2]string {
	if first, rest, found := strings.Cut(text, ". "); found {
		return [2]string{first + ".", " " + rest}
	}
	if first, rest, found := strings.Cut(text, "。"); found {
		return [2]string{first + "。", rest}
	}
	return [2]string{"", text}
}

// codes are the languages of the page. The first is for all others.
var codes = []string{"en", "de", "fr", "es", "nl", "pt", "pl", "ja"}

var languages, matcher = readWords()

// words are the sentences of a language, with placeholders.
type words struct {
	code string
	text map[string]string
}

func readWords() (map[string]*words, language.Matcher) {
	all := map[string]*words{}
	var tags []language.Tag
	for _, code := range codes {
		data, err := wordFiles.ReadFile("words/" + code + ".json")
		w := &words{code: code}
		if err == nil {
			err = json.Unmarshal(data, &w.text)
		}
		if err != nil {
			panic(fmt.Sprintf("words/%s.json: %v", code, err)) // a file of the program itself
		}
		all[code] = w
		tags = append(tags, language.MustParse(code))
	}
	return all, language.NewMatcher(tags)
}

// date writes a day in UTC.
func (w *words) date(t time.Time) string {
	t = t.UTC()
	months, day := strings.Fields(w.text["months"]), strconv.Itoa(t.Day())
	if t.Day() == 1 {
		day = w.text["first"]
	}
	return strings.NewReplacer("{day}", day, "{month}", months[t.Month()-1], "{year}", strconv.Itoa(t.Year())).Replace(w.text["date"])
}

// view is what the template gets: sentences, in the order of the page.
type view struct {
	Lang, Style   string
	Server, Title string
	Author        string
	Policy        string
	Why           []string
	Facts         []pair
	Sent          string // the question
	Answer        string
	Do            []string
	Unsent        string
	Admin         string
	AdminWhy      string
	Results       []result
	Change        string
	ChangeText    string // by the change
	Advice        string // in English
	StepsTitle    string
	Steps         []step
	ReplyTitle    string
	Reply         string
	End           []string
	Others        []other
	Language      string
	Pair          string // how a name and its value are written
}

type pair struct {
	Name, Value string
	Stamp       string // of a time (RFC 3339)
	Code        bool   // it is to be copied
}

// result is the outcome of a check: its mark tells good from bad without color.
type result struct {
	Name, Tone, Value, Rest string
	Reason                  string // in English
}

// step is a sentence, with a part of it that is to be copied.
type step struct{ Text, Code string }

type other struct{ Code, Name string }

// filler replaces the placeholders of all sentences of one page.
type filler struct {
	w       *words
	replace *strings.Replacer
}

func (f *filler) say(key string) string { return f.replace.Replace(f.w.text[key]) }

// with says a sentence with more values.
func (f *filler) with(key string, pairs ...string) string {
	return f.replace.Replace(strings.NewReplacer(pairs...).Replace(f.w.text[key]))
}

func (w *words) view() *view {
	v := &view{Lang: w.code, Language: w.text["language"], Pair: w.text["pair"]}
	for _, code := range codes {
		if code != w.code {
			v.Others = append(v.Others, other{code, languages[code].text["name"]})
		}
	}
	return v
}

// lost is the page of every unknown address, busy that of requests over the limits.
func lost(w *words) *view {
	v := w.view()
	v.Title, v.Why = w.text["lost.title"], []string{w.text["lost"]}
	return v
}

func busy(w *words) *view {
	v := w.view()
	v.Title, v.Why = w.text["busy.title"], []string{w.text["busy"]}
	return v
}

// describe returns the page of a message.
func describe(f *Facts, w *words) *view {
	f.clean()
	postmaster := "postmaster@" + f.org()
	say := &filler{w, strings.NewReplacer("{author}", f.Author, "{host}", f.Host, "{org}", f.org(), "{client}", f.Client, "{postmaster}", postmaster,
		"{ref}", dashed(f.Ref), "{policy}", "p="+cmp.Or(f.Policy, "none"), "{date}", w.date(f.Until))}
	v := w.view()
	v.Server, v.Title, v.Author, v.Policy = say.say("server"), say.say(titleOf(f)), f.Author, "p="+cmp.Or(f.Policy, "none")
	v.tell(f, say)
	v.facts(f, say)
	v.administrator(f, say)
	v.steps(f, say)
	v.End = []string{say.say("wrong"), say.say("private")}
	return v
}

func titleOf(f *Facts) string {
	key := "title.reject"
	if f.Applied == postseal.Defer {
		key = "title.defer"
	}
	if f.Author == "" {
		key += ".unknown"
	}
	return key
}

// saying is what a reason means for the readers of the page, by the keys of the words: why the
// message did not arrive, what they can do if they sent it, and if they did not.
type saying struct {
	why, sent string
	do        []string
	unsent    string
}

func sayingOf(f *Facts) saying {
	switch f.Reason {
	case postseal.DMARCReject, postseal.DMARCQuarantine:
		if f.Author != "" {
			return saying{"why.dmarc", "sent.dmarc", []string{"do.resend", "do.forward"}, "unsent.dmarc"}
		}
	case postseal.DMARCTempError:
		if f.Author != "" && f.Applied == postseal.Defer {
			return saying{"why.dns", "sent.wait", nil, "unsent"}
		}
	case postseal.AuthorMalformed:
		return saying{"why.author", "sent.maker", nil, "unsent"}
	case postseal.MessageLimit:
		return saying{"why.size", "sent.size", nil, "unsent"}
	case postseal.LocalRule, postseal.LocalExempt:
		if f.Applied == postseal.Defer {
			return saying{"why.delay", "sent.wait", nil, "unsent"}
		}
		return saying{"why.rule", "sent.rule", nil, "unsent"}
	}
	if f.Applied == postseal.Defer {
		return saying{"why.error", "sent.wait", nil, "unsent"}
	}
	return saying{"why.rule", "sent.rule", nil, "unsent"}
}

func (v *view) tell(f *Facts, say *filler) {
	s := sayingOf(f)
	v.Why = []string{say.say(s.why), say.say("unread")}
	if f.Applied == postseal.Defer {
		v.Why[1] = say.say("again")
	}
	v.Sent, v.Answer, v.Unsent = say.say("sent"), say.say(s.sent), say.say(s.unsent)
	for _, key := range s.do {
		v.Do = append(v.Do, say.say(key))
	}
}

func (v *view) facts(f *Facts, say *filler) {
	add := func(key, value string) {
		if value != "" {
			v.Facts = append(v.Facts, pair{Name: say.say(key), Value: value, Code: key == "ref"})
		}
	}
	add("when", say.with("at", "{date}", say.w.date(f.At), "{time}", f.At.UTC().Format("15:04")))
	v.Facts[0].Stamp = f.At.UTC().Format("2006-01-02T15:04Z")
	sender := f.Client
	if f.ClientName != "" {
		sender += " (" + f.ClientName + ")"
	}
	add("sender", sender)
	add("author", f.Author)
	add("ref", dashed(f.Ref))
}

// byPolicy reports whether DMARC decided: the page does not show the operator's own rules.
func byPolicy(f *Facts) bool {
	return f.Reason == postseal.DMARCReject || f.Reason == postseal.DMARCQuarantine || f.Reason == postseal.DMARCTempError
}

func (v *view) administrator(f *Facts, say *filler) {
	v.Reply, v.ReplyTitle = strings.Join(f.Reply, "\n"), say.say("reply")
	if !byPolicy(f) {
		return
	}
	v.Admin = say.say("admin")
	if f.Author == "" {
		v.Admin = say.say("admin.unknown")
	}
	v.AdminWhy = say.say("dmarc.fail")
	if f.Reason == postseal.DMARCTempError {
		v.AdminWhy = say.say("dmarc.open")
	}
	if len(f.DKIM) == 0 {
		v.Results = append(v.Results, result{Name: "DKIM", Tone: "bad", Value: say.say("none")})
	}
	for i := range f.DKIM {
		v.Results = append(v.Results, resultOf("DKIM", &f.DKIM[i], f, say))
	}
	if f.SPF.Result != "" {
		v.Results = append(v.Results, resultOf("SPF", &f.SPF, f, say))
	}
	if record := cmp.Or(f.Record, f.Policy); record != "" {
		v.Results = append(v.Results, result{Name: say.say("policy"), Value: "", Rest: record})
	}
	v.Change = say.say("change")
	switch {
	case f.Reason != postseal.DMARCTempError && len(f.DKIM) == 0 && f.Author != "" && f.Client != "":
		v.ChangeText, v.Advice = say.say("change.sign"), "DKIM-Signature: v=1; a=rsa-sha256; d="+f.Author+"; s=…; h=from:to:subject:…"
	case f.Change != "":
		v.ChangeText, v.Advice = say.say("change.own"), strings.ToUpper(f.Change[:1])+strings.TrimSuffix(f.Change[1:], ".")+"."
	default:
		v.Change = ""
	}
}

func resultOf(name string, c *Check, f *Facts, say *filler) result {
	r := result{Name: name, Value: c.Result, Tone: map[string]string{"pass": "ok", "temperror": "hold", "none": "none", "neutral": "none"}[c.Result]}
	if r.Tone == "" {
		r.Tone = "bad"
	}
	switch {
	case c.Domain == "":
	case c.Result == "pass" && !c.Aligned && f.Author != "":
		r.Tone, r.Rest = "none", say.with("other", "{domain}", c.Domain)
	default:
		r.Rest = say.with("for", "{domain}", c.Domain)
	}
	r.Reason = c.Reason
	return r
}

// steps lists what the checks found.
func (v *view) steps(f *Facts, say *filler) {
	if !byPolicy(f) {
		return
	}
	v.StepsTitle = say.say("steps")
	add := func(code, key string, pairs ...string) {
		v.Steps = append(v.Steps, step{say.with(key, pairs...), code})
	}
	if f.ClientName != "" {
		add("", "step.name", "{name}", f.ClientName)
	} else if f.Client != "" {
		add("", "step.noname")
	}
	if f.SPF.Result != "" && f.SPF.Domain != "" {
		v.Steps = append(v.Steps, spfStep(&f.SPF, say))
	}
	for i := range f.DKIM {
		c := &f.DKIM[i]
		add("", "step.dkim", "{domain}", c.Domain, "{selector}", c.Selector, "{result}", c.Result)
	}
	if len(f.DKIM) == 0 {
		add("", "step.nodkim")
	}
	switch {
	case f.PolicyName == "":
	case f.Strict != "":
		add(f.Strict, "step.strict", "{name}", f.PolicyName, "{tags}", f.Strict)
	default:
		add("", "step.policy", "{name}", f.PolicyName)
	}
	if f.Author != "" && f.Reason != postseal.DMARCTempError {
		add("", "step.end")
		if f.Direct {
			add("", "step.direct")
		}
	}
}

// spfStep is the result of SPF, what decided, and how many lookups that took.
func spfStep(c *Check, say *filler) step {
	key := "step.spf"
	if c.Term != "" {
		key = "step.term"
	}
	text := say.with(key, "{domain}", c.Domain, "{result}", c.Result, "{term}", c.Term)
	if c.Most > 0 {
		text += say.with("step.lookups", "{count}", strconv.Itoa(c.Lookups), "{most}", strconv.Itoa(c.Most))
	}
	return step{text, c.Term}
}

func dashed(ref string) string {
	if len(ref) == refLen {
		return ref[:refLen/2] + "-" + ref[refLen/2:]
	}
	return ref
}

func (v *view) html(w io.Writer) error { return page.Execute(w, v) }

// text writes the page as plain text, for programs such as curl: a paragraph for each part of the page.
func (v *view) text(out io.Writer) error {
	var b strings.Builder
	part := func(lines ...string) {
		if lines = slices.DeleteFunc(lines, func(s string) bool { return s == "" }); len(lines) > 0 {
			b.WriteString(strings.Join(lines, "\n") + "\n\n")
		}
	}
	name := func(name, value string) string {
		return strings.NewReplacer("{name}", name, "{value}", value).Replace(v.Pair)
	}
	part(v.Server)
	part(v.Title)
	part(v.Why...)
	var facts, results []string
	for _, f := range v.Facts {
		facts = append(facts, name(f.Name, f.Value))
	}
	part(facts...)
	part(append([]string{v.Sent, v.Answer}, numbered(v.Do)...)...)
	part(v.Unsent)
	for _, r := range v.Results {
		if r.Reason != "" {
			r.Rest += " (" + r.Reason + ")"
		}
		results = append(results, name(r.Name, strings.TrimSpace(r.Value+" "+r.Rest)))
	}
	part(append([]string{v.Admin, v.AdminWhy}, results...)...)
	part(v.Change, v.ChangeText, v.Advice)
	var steps []string
	for _, s := range v.Steps {
		steps = append(steps, s.Text)
	}
	part(append([]string{v.StepsTitle}, numbered(steps)...)...)
	if v.Reply != "" {
		part(v.ReplyTitle, v.Reply)
	}
	part(v.End...)
	_, err := io.WriteString(out, strings.TrimSuffix(b.String(), "\n"))
	return err
}

func numbered(list []string) []string {
	lines := make([]string, len(list))
	for i, s := range list {
		lines[i] = fmt.Sprintf("%d. %s", i+1, s)
	}
	return lines
}
