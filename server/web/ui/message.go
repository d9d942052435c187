package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"postseal"
	"postseal/internal/app/explain"
	"postseal/internal/app/history"
	"postseal/server/web"
	"postseal/store"
)

// messageData is the data of the Message page: the row of the history, the evidence, or both.
type messageData struct {
	State     *State // why the history could not be read
	Ref       string
	Verdict   *history.Verdict // nil if the history does not have it
	Others    int              // verdicts of the same reference
	Evidence  *Explained       // nil if none is stored
	NoStory   string           // why
	NotKept   bool             // because there is none, not because it failed
	Steps     []step
	Note      string     // what the sender would have to change
	Like      string     // URL of a search for similar verdicts
	LikeText  string     // how many, "" if that is not known
	LikeWords string     // what was done with them
	Wait      *waterfall // nil without timings
	Postman   string     // text to copy for the postmaster
	Shown     bool       // local parts and subject, because an administrator asked for them
	Within    *within    // the search that it was found by, nil without one
}

// within are the verdicts next to this one in a search.
type within struct {
	Query        string
	Results      string // URL of the search
	Newer, Older string // references, "" where there is none
}

// nextTime is how long a message page looks for the verdicts next to it in a search: those of a rare kind may be many
// days away.
const nextTime = 400 * time.Millisecond

// patienceDNS is how long a message page waits for the DNS of now.
const patienceDNS = 20 * time.Second

// step is one step of a message's path.
type step struct{ Name, Tone, Symbol, Words, Detail string }

// message answers: why this verdict, and what would the sender have to change?
func (u *ui) message(rw http.ResponseWriter, r *http.Request) {
	name := r.PathValue("ref")
	for form, show := range map[string]http.HandlerFunc{".txt": u.messageText, ".json": u.source.Story, ".bundle": bundleOf} {
		if ref, ok := strings.CutSuffix(name, form); ok {
			r.SetPathValue("ref", ref)
			show(rw, r)
			return
		}
	}
	u.showMessage(rw, r, false)
}

func (u *ui) showMessage(rw http.ResponseWriter, r *http.Request, private bool) {
	d, status := u.loadMessage(r)
	d.Shown = private
	title := dashed(d.Ref)
	switch status {
	case http.StatusOK:
		title += " " + strings.ToLower(d.Heading())
	case http.StatusServiceUnavailable:
		title = "Not known"
	case http.StatusNotFound:
		title = "Not found"
	}
	u.show(rw, r, status, "message", title, 0, d)
}

// loadMessage reads what is known of a message.
func (u *ui) loadMessage(r *http.Request) (d *messageData, status int) {
	d = &messageData{Ref: store.Clean(strings.ToUpper(strings.ReplaceAll(r.PathValue("ref"), "-", "")))}
	failed := u.findVerdict(r, d)
	again := r.URL.Query().Get("dns") == "now"
	ctx, cancel := context.WithTimeout(r.Context(), map[bool]time.Duration{true: patienceDNS, false: patience}[again])
	defer cancel()
	evidence, err := u.source.Explain(ctx, r.PathValue("ref"), again)
	var refusal *web.Refusal
	switch {
	case err == nil:
		d.Evidence, d.Note, d.Wait = evidence, evidence.Explanation.Change, newWaterfall(evidence.Queries)
	case errors.As(err, &refusal):
		d.NoStory, d.NotKept = sentence(refusal.Detail), true
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		d.NoStory = fmt.Sprintf("The evidence was not evaluated within %v: reload the page to try again.", map[bool]time.Duration{true: patienceDNS, false: patience}[again])
	default:
		d.NoStory = "The evidence cannot be evaluated: " + store.Clean(err.Error())
	}
	d.State = failed
	switch {
	case d.Verdict == nil && d.Evidence == nil && failed != nil:
		return d, http.StatusServiceUnavailable
	case d.Verdict == nil && d.Evidence == nil:
		return d, http.StatusNotFound
	}
	d.describe()
	if d.Evidence != nil {
		d.Postman = d.Evidence.Private.Mask(d.Postman)
	}
	u.countLike(r, d)
	return d, http.StatusOK
}

// Heading is the first line: what was done.
func (d *messageData) Heading() string {
	if d.Verdict != nil {
		return actionNames[d.Verdict.Applied]
	}
	return actionNames[string(d.Evidence.Explanation.Applied)]
}

// Tone is the class of what was done.
func (d *messageData) Tone() string {
	if d.Verdict != nil {
		return tone(d.Verdict.Applied)
	}
	return tone(string(d.Evidence.Explanation.Applied))
}

// Lead is why, as one judgement: the reason of the decision, and what the mode made of it. The results are in the
// steps. Without evidence it is what the row says of the results.
func (d *messageData) Lead() string {
	if d.Evidence == nil {
		return sentence(d.Verdict.Text)
	}
	x := d.Evidence.Explanation
	if v := d.Verdict; v != nil && v.Applied != string(x.Applied) { // by a rule of this host, which is not in the evidence
		return sentence(d.Evidence.reason()) + " " + sentence(v.Why)
	}
	done := strings.ToLower(actionNames[string(x.Applied)])
	switch text := d.Evidence.reason(); {
	case x.Because == "":
		return sentence(text)
	case x.Applied != x.Action:
		return sentence(text) + " " + sentence(x.Because+", so it was "+done+" instead of "+strings.ToLower(actionNames[string(x.Action)]))
	default:
		return sentence(text) + " " + sentence(x.Because+", so it was "+done)
	}
}

// reason is the sentence of the decision, "" without one.
func (e *Explained) reason() string {
	for _, chapter := range e.Explanation.Chapters {
		for _, step := range chapter.Steps {
			if chapter.Title == explain.DecisionChapter && step.Title == explain.PublishedStep {
				return strings.TrimSuffix(step.Text, ": "+string(e.Explanation.Action))
			}
		}
	}
	return ""
}

// Exemptible reports whether an exemption could change the verdict: it has evidence, and is not accepted.
func (d *messageData) Exemptible() bool {
	return d.Evidence != nil && d.Evidence.Explanation.Action != postseal.Accept
}

// findVerdict looks for the newest verdict of a reference or queue id. It returns why the history could
// not be read, nil if it could.
func (u *ui) findVerdict(r *http.Request, d *messageData) *State {
	db, _ := u.source.Store()
	if db == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	terms := []string{"qid:" + quoted(r.PathValue("ref"))} // it may look like a reference
	if isRef(d.Ref) {
		terms = []string{"ref:" + d.Ref, terms[0]}
	}
	for _, term := range terms {
		q, err := store.ParseQuery(term, u.source.Now(), u.source.MessageIDKey())
		if err != nil {
			return nil
		}
		page, err := history.Find(ctx, db, q, history.Options{Limit: pageRows, Budget: budget})
		if err != nil {
			return failedState(r.WithContext(ctx), err, "The history cannot be read")
		}
		if len(page.Verdicts) > 0 {
			d.Verdict, d.Others, d.Ref = &page.Verdicts[0], len(page.Verdicts)-1, page.Verdicts[0].Ref
			d.Within = u.within(ctx, r, db, d.Verdict)
			return nil
		}
	}
	return nil
}

// within finds the verdicts before and after this one in the search that the address names with q.
func (u *ui) within(ctx context.Context, r *http.Request, db store.Reader, v *history.Verdict) *within {
	if !r.URL.Query().Has("q") {
		return nil
	}
	text := r.URL.Query().Get("q")
	q, err := store.ParseQuery(text, u.source.Now(), u.source.MessageIDKey())
	if err != nil {
		return nil
	}
	at, err := history.ParseCursor(v.ID)
	if err != nil || at == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, nextTime)
	defer cancel()
	w := &within{Query: q.Text, Results: searchLink(q.Text)}
	if found, err := store.Search(ctx, db, q, at, 1, nextTime/2); err == nil && len(found.Rows) > 0 {
		w.Older = found.Rows[0].Ref
	}
	if rows, err := store.Newer(ctx, db, q, at, 1); err == nil && len(rows) > 0 {
		w.Newer = rows[0].Ref
	}
	return w
}

// describe builds the path, the search for similar verdicts and the text for the postmaster.
func (d *messageData) describe() {
	v := d.Verdict
	if v == nil {
		d.Steps = []step{{"Decision", tone(string(d.Evidence.Explanation.Applied)), tone(string(d.Evidence.Explanation.Applied)), string(d.Evidence.Explanation.Applied), string(d.Evidence.Explanation.Reason)}}
		return
	}
	spf, dkim, dmarc := markOf(v, "SPF"), markOf(v, "DKIM"), markOf(v, "DMARC")
	client := step{"Client", "none", "none", "not known", ""}
	if v.Client != "" {
		client = step{"Client", "ok", "ok", v.Client, v.Helo}
		if v.IPRev != "pass" {
			client.Tone, client.Symbol = "none", "none"
		}
	}
	d.Steps = []step{
		client,
		{"SPF", spf.Tone, spf.Symbol, firstWords(spf.Words), forDomain(v.SPFDomain) + butNot(spf)},
		{"DKIM", dkim.Tone, dkim.Symbol, firstWords(dkim.Words), signedBy(v) + butNot(dkim)},
		{"DMARC", dmarc.Tone, dmarc.Symbol, dmarc.Words, policyOf(v)},
		{"Decision", tone(v.Applied), tone(v.Applied), v.Applied, d.because()},
	}
	d.Like = searchLink("author:"+quoted(v.Author), "mailfrom:"+quoted(v.MailFrom), "since:7d")
	d.Postman = fmt.Sprintf("%s %s at %s UTC\nAuthor domain %s, sent by %s [%s]\nSPF %s (%s), DKIM %s (%s), DMARC %s (policy %s)\n%s\nReference %s\n",
		d.Ref, v.Applied, v.At.UTC().Format("2006-01-02 15:04:05"), orNone(v.Author), v.MailFrom, v.Client,
		v.SPF, v.SPFDomain, orNone(v.DKIM), signedBy(v), v.DMARC, orNone(v.Policy), d.Note, dashed(d.Ref))
}

// because says what the mode made of the decision, and why; the results if it has no part in it.
func (d *messageData) because() string {
	v := d.Verdict
	why := history.Mode(v)
	if d.Evidence != nil && string(d.Evidence.Explanation.Applied) == v.Applied {
		why = cmp.Or(d.Evidence.Explanation.Because, why)
	}
	if v.Action != v.Applied {
		return "downgraded from " + v.Action + ": " + why
	}
	return cmp.Or(why, v.Text)
}

// firstWords are those of a mark in front of its comma.
func firstWords(s string) string {
	first, _, _ := strings.Cut(s, ",")
	return first
}

// butNot says that a pass does not count for the author.
func butNot(m Mark) string {
	if m.Symbol == "ok" && m.Tone == "none" {
		return ", not for the author"
	}
	return ""
}

func forDomain(domain string) string {
	if domain == "" {
		return ""
	}
	return "for " + domain
}

func signedBy(v *history.Verdict) string {
	var names []string
	for i := range v.Signatures {
		if s := &v.Signatures[i]; len(names) < 3 {
			names = append(names, s.Domain+" "+s.Result)
		}
	}
	if len(names) == 0 {
		return "no signature"
	}
	return strings.Join(names, ", ")
}

func policyOf(v *history.Verdict) string {
	if v.PolicyDomain == "" {
		return "no policy"
	}
	if v.DMARC == "fail" {
		return "nothing that passed belongs to " + orNone(v.Author) + ", p=" + v.Policy
	}
	return v.PolicyDomain + " asks for " + v.Policy
}

// countLike counts the others of the same author and sender.
func (u *ui) countLike(r *http.Request, d *messageData) {
	db, _ := u.source.Store()
	if db == nil || d.Verdict == nil {
		return
	}
	q, err := store.ParseQuery("author:"+quoted(d.Verdict.Author)+" mailfrom:"+quoted(d.Verdict.MailFrom)+" since:7d", u.source.Now(), u.source.MessageIDKey())
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	if sums, err := history.Actions(ctx, db, q, budget); err == nil {
		d.LikeText, d.LikeWords = number(sums[0]+sums[1]+sums[2]+sums[3]), sumWords(sums)
	}
}
