package migrate

import (
	"slices"
	"strings"

	"postseal/domain"
)

// opendmarc as of opendmarc.conf(5) 1.4.
var opendmarc = program{name: "opendmarc", split: firstWord, options: opendmarcOptions(),
	absent: []string{"RejectFailures", "IgnoreAuthenticatedClients", "IgnoreHosts", "RejectMultiValueFrom", "PublicSuffixList"}}

func opendmarcOptions() map[string]option {
	o := map[string]option{
		"authservid":                 authservID,
		"dnstimeout":                 seconds("dns", "timeout"),
		"socket":                     milterSocket,
		"rejectfailures":             rejectFailures,
		"holdquarantinedmessages":    holdQuarantined,
		"ignoreauthenticatedclients": ignoreAuthenticated,
		"ignorehosts":                ignoreHosts,
		"domainwhitelist":            domainWhitelist,
		"publicsuffixlist":           always(Differs, "organizations are found by the DNS tree walk (RFC 9989 §4.10); [dmarc] discovery = \"psl\" takes a built-in list instead"),
		"authservidwithjobid":        always(Lost, "the queue id is in the log line, not in the field"),
		"ignoremailfrom":             always(Lost, "anyone can write a domain into From: name the client, a signature or SPF in an [[exempt]] entry"),
		"ignoremailto":               always(Manual, "write a [[rule]] over envelope.rcpt"),
		"domainwhitelistfile":        domainWhitelistFile,
		"domainwhitelistsize":        always(Same, "there is no bound to set"),
		"trustedauthservids":         always(Same, "no other program's results are trusted: postseal checks SPF, DKIM and ARC itself"),
		"spfignoreresults":           always(Same, "postseal checks SPF itself"),
		"spfselfvalidate":            always(Same, "postseal checks SPF itself, with the limits of RFC 7208"),
		"rejectmultivaluefrom":       always(Differs, "a From with several domains is evaluated for each of up to 4, and the strictest policy holds; more are refused as far as enforce goes"),
		"requiredfrom":               always(Differs, "a message without a single readable From is refused as far as enforce goes"),
		"requiredheaders":            always(Differs, "of a malformed header section, only an ambiguous From field is rejected"),
		"rejectstring":               rejectString,
		"softwareheader":             always(Lost, "no such field is added"),
		"milterdebug":                always(Same, "see [log] level"),
	}
	each(o, always(Same, bySystemd), "AutoRestart", "AutoRestartCount", "AutoRestartRate", "Background", "BaseDirectory", "ChangeRootDirectory",
		"EnableCoredumps", "PidFile", "Syslog", "SyslogFacility", "UMask", "UserID")
	each(o, failureReports, "CopyFailuresTo", "FailureReports", "FailureReportsBcc", "FailureReportsOnNone", "FailureReportsSentBy")
	each(o, always(Lost, noReports), "HistoryFile", "RecordAllMessages", "ReportCommand")
	return o
}

func failureReports(_ *settings, value string) (Effect, string) {
	if value == "" || strings.ContainsRune("FfNn0", rune(value[0])) && len(value) <= len("false") {
		return Same, "none are sent by default"
	}
	return Manual, "[report.failure] sends failure reports about domains that it lists, without private text"
}

func rejectFailures(s *settings, value string) (Effect, string) {
	if !yes(value) {
		s.text("", "enforce", "observe")
		return Same, "nothing is acted upon"
	}
	s.text("", "enforce", "strict")
	s.text("dns", "on_error", "defer")
	return Differs, "enforce = \"strict\" does the same; RFC 9989 §7.4 asks not to refuse for p=reject alone, as \"guarded\" does: try it with postseal replay"
}

func holdQuarantined(s *settings, value string) (Effect, string) {
	if yes(value) {
		s.text("dmarc", "quarantine_with", "hold")
		return Same, ""
	}
	s.text("dmarc", "quarantine_with", "header")
	return Differs, "the message is accepted with X-Postseal-Verdict: quarantine"
}

func ignoreAuthenticated(s *settings, value string) (Effect, string) {
	switch {
	case value == "":
		return Differs, "mail of authenticated users is not checked; [network] check_authenticated = true checks it too"
	case yes(value):
		return Same, "the default"
	}
	s.set("network", "check_authenticated", "true")
	return Same, ""
}

func ignoreHosts(s *settings, value string) (Effect, string) {
	if value == "" {
		return Differs, "all of 127.0.0.0/8 and ::1 is not checked, not only 127.0.0.1"
	}
	return trusted(s, value)
}

func domainWhitelist(s *settings, value string) (Effect, string) {
	return s.sealer(words(value))
}

func domainWhitelistFile(s *settings, value string) (Effect, string) {
	entries, err := s.table(value)
	if err != nil {
		return Manual, err.Error() + ": put its domains into [arc] trusted_sealers"
	}
	return s.sealer(entries)
}

// sealer adds trusted sealers to those that another option names.
func (s *settings) sealer(names []string) (Effect, string) {
	var rest []string
	for _, name := range names {
		name = strings.ToLower(name)
		if _, err := domain.Parse(name); err != nil {
			rest = append(rest, name)
		} else if !slices.Contains(s.sealers, name) {
			s.sealers = append(s.sealers, name)
		}
	}
	s.list("arc", "trusted_sealers", s.sealers)
	if len(rest) > 0 {
		return Manual, printable(strings.Join(rest, " ")) + " is not a domain: [arc] trusted_sealers takes domains"
	}
	return Differs, "only the newest sealer of a chain must be listed, and the chain must say that the author passed"
}
