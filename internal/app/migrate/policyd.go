package migrate

import (
	"strconv"
	"strings"
)

// policydSPF as of policyd-spf.conf(5) 3.0, which describes the configuration of pyspf-milter too.
var policydSPF = program{name: "policyd-spf", files: []string{"pyspf-milter", "policy-spf"}, split: equals, options: policydOptions(), absent: []string{"HELO_reject", "Mail_From_reject", "skip_addresses", "Header_Type"}}

func policydOptions() map[string]option {
	o := map[string]option{
		"authserv_id":               authservID,
		"lookup_time":               seconds("spf", "timeout"),
		"helo_reject":               heloReject,
		"mail_from_reject":          mailFromReject,
		"testonly":                  testOnly,
		"defaultseedonly":           testOnly, // its name before 2.0
		"per_user":                  always(Lost, "there are no settings for single recipients: a [[rule]] over envelope.rcpt can decide by them"),
		"permerror_reject":          boolean("spf", "permerror", "reject", "header"),
		"temperror_defer":           boolean("spf", "temperror", "defer", "header"),
		"header_type":               headerType,
		"void_limit":                voidLimit,
		"skip_addresses":            skipAddresses,
		"whitelist":                 skipAddresses,
		"domain_whitelist":          domainExempt,
		"debuglevel":                debugLevel,
		"helo_whitelist":            always(Lost, "a HELO name is the client's word: name its address in [network] trusted"),
		"domain_whitelist_ptr":      always(Manual, "name them in [[exempt]] entries with client, which needs confirmed reverse DNS: client = \"*.example.net\""),
		"no_mail":                   always(Lost, "a record that is only \"v=spf1 -all\" is not a special case: its fail is handled as [spf] fail says"),
		"reject_not_pass_domains":   always(Manual, "write a [[rule]] over spf"),
		"hide_receiver":             always(Same, "recipients are never named"),
		"spf_enhanced_status_codes": always(Same, "the codes of RFC 7372 are always used"),
		"queueid":                   always(Same, "the queue id is in every log line"),
		"mock":                      always(Same, "the milter checks SPF itself, sharing the answers"),
		"whitelist_lookup_time":     always(Same, "no such lookup is made"),
		"reason_message":            reasonMessage,
	}
	each(o, always(Lost, "a result leads to a reply or a field, to no Postfix restriction class"), "HELO_pass_restriction", "Mail_From_pass_restriction")
	o["socket"], o["internalhosts"] = milterSocket, skipAddresses
	o["macrolist"] = always(Manual, "mail of authenticated users is not checked anyway; [network] originating names the values of {daemon_name} that mark your own mail")
	each(o, always(Same, bySystemd), "PidFile", "UserID", "UMask")
	each(o, always(Lost, "outgoing mail is not checked: see postseal spf check"), "Prospective")
	return o
}

func heloReject(s *settings, value string) (Effect, string) {
	switch strings.ToLower(value) {
	case "", "fail":
		s.text("spf", "helo_fail", "reject")
		return Same, ""
	case "false":
		s.text("spf", "helo_fail", "header")
		return Same, ""
	case "no_check":
		s.text("spf", "helo_fail", "header")
		return Differs, "HELO is checked and decides nothing"
	case "null":
		s.text("spf", "helo_fail", "header")
		return Differs, "HELO of a null reverse-path is the MAIL FROM identity (RFC 7208 §2.4): [spf] fail is what acts"
	}
	s.text("spf", "helo_fail", "reject")
	return Differs, "HELO is refused for fail alone"
}

func mailFromReject(s *settings, value string) (Effect, string) {
	fail, soft := "reject", "header"
	effect, text := Differs, "SPF fail refuses forwarded mail that DMARC accepts by its signature: [spf] fail = \"header\" leaves it to DMARC"
	switch strings.ToLower(value) {
	case "", "fail":
	case "softfail":
		soft = "reject"
	case "spf_not_pass":
		soft, text = "reject", "neutral is not refused; "+text
	case "false":
		fail, effect, text = "header", Same, ""
	case "no_check":
		fail, text = "header", "SPF is checked, for DMARC, and decides nothing alone"
	default:
		return Manual, "is not a value that policyd-spf documents"
	}
	s.text("spf", "fail", fail)
	s.text("spf", "softfail", soft)
	return effect, text
}

func testOnly(s *settings, value string) (Effect, string) {
	if s.testOnly = value == "0"; s.testOnly {
		return Differs, "policyd-spf only reports, so [spf] says \"header\" for every result: write \"reject\" or \"defer\" when the test ends"
	}
	return Same, "rejections are on"
}

func boolean(table, key, yes, no string) option {
	return func(s *settings, value string) (Effect, string) {
		if strings.EqualFold(value, "true") {
			s.text(table, key, yes)
		} else {
			s.text(table, key, no)
		}
		return Same, ""
	}
}

func headerType(s *settings, value string) (Effect, string) {
	switch {
	case strings.EqualFold(value, "AR"):
		s.set("policy", "received_spf", "false")
		return Differs, "the one Authentication-Results field comes from the milter"
	case s.milter:
		s.set("policy", "received_spf", "false")
		return Differs, "the milter writes the result to Authentication-Results, and would remove Received-SPF"
	case value != "":
		s.set("policy", "received_spf", "true")
	}
	return Same, ""
}

func voidLimit(s *settings, value string) (Effect, string) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > 100 {
		return Manual, "[spf] void_lookups is between 0 and 100"
	}
	s.set("spf", "void_lookups", strconv.Itoa(n))
	return Same, ""
}

func skipAddresses(s *settings, value string) (Effect, string) {
	if value == "" {
		return Same, "loopback is not checked"
	}
	if effect, text := trusted(s, value); effect != Same {
		return effect, text
	}
	if len(s.trusted) == 0 {
		return Same, "loopback is not checked"
	}
	return Differs, "these clients pass all checks, not SPF alone"
}

func domainExempt(s *settings, value string) (Effect, string) {
	s.exempt = append(s.exempt, words(strings.ToLower(value))...)
	return Differs, "mail whose MAIL FROM passes SPF for the domain is exempt, from DMARC too; spf_of instead of spf exempts everything from the servers that this SPF lists, as policyd-spf did for SPF alone"
}

func debugLevel(s *settings, value string) (Effect, string) {
	if n, err := strconv.Atoi(value); err == nil && n > 1 {
		s.text("log", "level", "debug")
	}
	return Same, ""
}
