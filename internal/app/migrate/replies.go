package migrate

import (
	"fmt"
	"slices"
	"strings"

	"postseal/internal/app/rules"
)

// rejectDefault is the default of RejectString.
const rejectDefault = "rejected by DMARC policy for %s"

// rejectString is the text of a rejection; its %s is the author's domain.
func rejectString(s *settings, value string) (Effect, string) {
	if value == rejectDefault {
		return Differs, "the reply says who asked, what failed and the reference of the verdict; [replies] reject words it"
	}
	text := strings.ReplaceAll(value, "%s", "{domain}")
	if strings.Contains(strings.ToLower(text), "dmarc") {
		return Manual, "write [replies] reject without \"DMARC\": it words every rejection, whatever the reason"
	}
	if problem := s.reply("reject", text); problem != "" {
		return Manual, problem
	}
	return Differs, "[replies] reject words every rejection, not only that of DMARC, and the reference of the verdict follows"
}

// reasonDefault is the default of Reason_Message.
const reasonDefault = "Message {rejectdefer} due to: {spf}. Please see {url}"

// reasonMessage is the text of the replies of policyd-spf.
func reasonMessage(s *settings, value string) (Effect, string) {
	if value == reasonDefault {
		return Differs, "our own reply says the result of SPF and which domain gave it; [replies] words it"
	}
	if strings.Contains(value, "{url}") {
		return Manual, "write [replies] reject and defer: the page of {url} is not ours, and there {url} is reply_url with the reference of a verdict"
	}
	if strings.Contains(strings.ToLower(value), "spf") {
		return Manual, "write [replies] reject and defer without \"SPF\": they word every rejection and deferral, whatever the reason"
	}
	for _, kind := range []struct{ key, word string }{{"reject", "rejected"}, {"defer", "deferred"}} {
		text := strings.ReplaceAll(value, "{rejectdefer}", kind.word)
		if problem := s.reply(kind.key, text); problem != "" {
			return Manual, problem
		}
	}
	return Differs, "[replies] words every rejection and deferral, not only those of SPF"
}

// reply sets the text of a reply. It returns why it cannot.
func (s *settings) reply(key, text string) (problem string) {
	if slices.ContainsFunc(s.keys, func(k setting) bool { return k.table == "replies" && k.key == key }) {
		return fmt.Sprintf("[replies] %s already has the text of another option: there is one for all checks", key)
	}
	if _, problem := (rules.Replies{}).Check([]string{text}, ""); problem != "" {
		return fmt.Sprintf("write [replies] %s: %s", key, printable(problem))
	}
	s.list("replies", key, []string{text})
	return ""
}
