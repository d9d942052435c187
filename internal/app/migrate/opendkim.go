package migrate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// opendkim as of opendkim.conf(5) 2.11.
var opendkim = program{name: "opendkim", split: firstWord, options: opendkimOptions(), absent: []string{"Mode", "MaximumSignaturesToVerify", "AlwaysAddARHeader", "RemoveARAll"}}

func opendkimOptions() map[string]option {
	o := map[string]option{
		"authservid":                authservID,
		"dnstimeout":                seconds("dns", "timeout"),
		"socket":                    milterSocket,
		"mode":                      dkimMode,
		"peerlist":                  trusted,
		"internalhosts":             internalHosts,
		"nameservers":               nameservers,
		"minimumkeybits":            minimumKeyBits,
		"minimum":                   always(Differs, "a signature whose l= leaves some of the body unsigned never counts, however much it covers: anyone can add to such a body ([dkim] allow_partial_body)"),
		"maximumheaders":            maximumHeaders,
		"disableadsp":               always(Same, noADSP),
		"maximumsignaturestoverify": maximumSignatures,
		"on-dnserror":               onDNSError,
		"on-default":                onFailure,
		"on-badsignature":           onSignature("On-BadSignature", `dkim.exists(s, s.result == "fail")`),
		"on-keynotfound":            onFailure,
		"on-nosignature":            onSignature("On-NoSignature", `dkim.size() == 0`),
		"on-signatureerror":         onFailure,
		"on-security":               onFailure,
		"on-internalerror":          always(Differs, "an internal error defers the message (451), whatever this says"),
		"include":                   always(Manual, "migrate that file too"),
		"authservidwithjobid":       always(Lost, "the queue id is in the log line, not in the field"),
		"alwaysaddarheader":         always(Differs, "every message gets the field, unsigned ones with dkim=none"),
		"removearall":               always(Differs, "fields that claim our authserv-id are removed whatever they contain, others are kept (RFC 8601 §5)"),
		"removearfrom":              always(Differs, "only fields that claim our authserv-id are removed (RFC 8601 §5)"),
		"keepauthresults":           always(Differs, "forged fields are always removed (RFC 8601 §5)"),
		"clockdrift":                always(Differs, "a signature is accepted up to 300 s after it expires, and up to an hour before its time"),
		"exemptdomains":             always(Lost, "anyone can write a domain into From: name the client, a signature or SPF in an [[exempt]] entry"),
		"mustbesigned":              always(Manual, "write a [[rule]] over dkim and author.domains"),
		"trustsignaturesfrom":       always(Lost, "all signatures count alike; DMARC picks those that are aligned"),
		"stricttestmode":            always(Lost, "t=y of a key changes nothing here, as RFC 6376 §3.6.1 asks"),
		"allowsha1only":             always(Differs, "rsa-sha1 never verifies (RFC 8301 §3.1)"),
		"weaksyntaxchecks":          always(Differs, "syntax is read by the letter, with the repairs that docs/reference/decisions.md lists"),
		"requiredheaders":           always(Differs, "of a malformed header section, only an ambiguous From field is rejected"),
		"bodylengthdb":              always(Lost, noSigning),
		"noheaderb":                 always(Differs, "header.b is always written (RFC 6008)"),
		"ignoremalformedmail":       always(Differs, "mail without a readable author is refused as far as enforce goes"),
		"quarantine":                always(Lost, "DMARC decides what is quarantined: [dmarc] quarantine_with"),
		"redirectfailuresto":        always(Lost, "no message is redirected"),
		"externalignorelist":        always(Same, "nothing is logged of it"),
		"trustanchorfile":           always(Differs, "DNSSEC is left to the resolver: name a validating one in [dns] servers"),
		"resolverconfiguration":     always(Differs, "set [dns] servers"),
		"softwareheader":            always(Lost, "no such field is added"),
		"logwhy":                    always(Same, "every verdict says why"),
		"logresults":                always(Same, "every verdict is one log line"),
		"syslogsuccess":             always(Same, "every verdict is one log line"),
	}
	each(o, always(Same, bySystemd), "AutoRestart", "AutoRestartCount", "AutoRestartRate", "Background", "BaseDirectory", "ChangeRootDirectory",
		"EnableCoredumps", "PidFile", "Syslog", "SyslogFacility", "SyslogName", "TemporaryDirectory", "UMask", "UserID", "SoftStart")
	each(o, always(Lost, noSigning), "BogusKey", "Canonicalization", "Diagnostics", "Domain", "DomainKeysCompat", "DontSignMailTo", "FixCRLF", "IdentityHeader",
		"IdentityHeaderRemove", "KeyFile", "KeyTable", "MacroList", "MaximumSignedBytes", "MTA", "MTACommand", "MultipleSignatures", "OmitHeaders",
		"OversignHeaders", "POPDBFile", "RemoveOldSignatures", "RequireSafeKeys", "ResignAll", "ResignMailTo", "SelectCanonicalizationHeader", "Selector",
		"SenderHeaders", "SenderMacro", "SignatureAlgorithm", "SignatureTTL", "SignHeaders", "SigningTable", "StrictHeaders", "SubDomains")
	opendkimLost(o)
	each(o, always(Same, "nothing to set"), "DisableCryptoInit", "DNSConnect", "QueryCache", "UnprotectedKey")
	return o
}

// opendkimLost adds what postseal does not do, apart from signing.
func opendkimLost(o map[string]option) {
	each(o, always(Lost, "no DKIM failure reports (RFC 6651) are sent; [report] sends those of DMARC"), "ReportAddress", "ReportBccAddress", "RequestReports", "SendReports", "SMTPURI", "Statistics", "StatisticsName",
		"StatisticsPrefix", "StatisticsPolicyScript")
	each(o, always(Lost, noADSP), "ADSPAction", "ADSPNoSuchDomain", "LocalADSP")
	each(o, always(Lost, noScripts), "FinalPolicyScript", "ScreenPolicyScript", "SetupPolicyScript", "ReplaceHeaders", "ReplaceRules")
	each(o, always(Lost, "there is no LDAP"), "LDAPAuthMechanism", "LDAPAuthName", "LDAPAuthRealm", "LDAPAuthUser", "LDAPBindPassword", "LDAPBindUser",
		"LDAPDisableCache", "LDAPKeepaliveIdle", "LDAPKeepaliveInterval", "LDAPKeepaliveProbes", "LDAPTimeout", "LDAPUseTLS")
	each(o, always(Lost, "VBR is not checked"), "VBR-Certifiers", "VBR-PurgeFields", "VBR-TrustedCertifiers", "VBR-TrustedCertifiersOnly", "VBR-Type")
	each(o, always(Lost, "for tests and bug reports, use verify --bundle and [bundles]"), "CaptureUnknownErrors", "DiagnosticDirectory", "KeepTemporaryFiles",
		"MilterDebug", "ResolverTracing", "TestDNSData", "TestPublicKeys")
}

func dkimMode(_ *settings, value string) (Effect, string) {
	switch {
	case value == "v":
		return Same, ""
	case value == "s":
		return Manual, "this opendkim only signs: keep it, there is nothing to migrate"
	}
	return Differs, "postseal verifies and does not sign: keep opendkim with Mode s for signing"
}

func internalHosts(s *settings, value string) (Effect, string) {
	effect, text := trusted(s, value)
	if effect != Same {
		return effect, text
	}
	return Differs, "their mail is not checked, and not signed here"
}

func nameservers(s *settings, value string) (Effect, string) {
	s.list("dns", "servers", words(value))
	return Same, ""
}

func minimumKeyBits(_ *settings, value string) (Effect, string) {
	if value == "1024" {
		return Same, "the least of RFC 8301 §3.2"
	}
	return Differs, "RSA keys of less than 1024 bits never count, longer ones do (RFC 8301 §3.2)"
}

func maximumSignatures(s *settings, value string) (Effect, string) {
	if value == "" {
		return Differs, "up to 10 signatures are verified, not 3"
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > 100 {
		return Manual, "[dkim] max_signatures is between 1 and 100"
	}
	s.set("dkim", "max_signatures", strconv.Itoa(n))
	return Same, "any after that are policy"
}

// action returns the word of On-…, which may be just its first letter.
func action(value string) string {
	actions := []string{"accept", "discard", "quarantine", "reject", "tempfail"}
	i := slices.IndexFunc(actions, func(a string) bool { return value != "" && strings.HasPrefix(a, strings.ToLower(value)) })
	if i < 0 {
		return value
	}
	return actions[i]
}

// noADSP: RFC 5617 has been historic since 2013.
const noADSP = "ADSP is historic, DMARC took its place"

// maximumHeaders reads the octets of a header section; there, 0 means no limit.
func maximumHeaders(s *settings, value string) (Effect, string) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return Differs, "a header section has a limit always, by default 512 KiB ([limits] header)"
	}
	const field = 102400 // the default of [limits] field, which must fit
	s.set("limits", "header", quote(strconv.Itoa(max(n, field))))
	return Differs, "a larger header section is refused with 552; opendkim lets it pass unsigned"
}

// onFailure is the outcome of options that act on signatures; rule writes those that have one.
func onFailure(_ *settings, value string) (Effect, string) {
	if action(value) == "accept" {
		return Same, "a signature alone decides nothing (RFC 6376 §6.1)"
	}
	return Lost, fmt.Sprintf("a signature alone decides nothing (RFC 6376 §6.1): write a [[rule]] over dkim to %s", printable(action(value)))
}

// onSignature is onFailure with the rule that does the same, commented out.
func onSignature(name, when string) option {
	return func(s *settings, value string) (Effect, string) {
		word := map[string]string{"reject": "reject", "discard": "reject", "quarantine": "quarantine", "tempfail": "defer"}[action(value)]
		if word == "" {
			return onFailure(s, value)
		}
		s.rules = append(s.rules, fmt.Sprintf("# %s %s: RFC 6376 §6.1 says not to.\n#[[rule]]\n#name = %s\n#when = %s\n#action = %s\n", name, word, quote(name), quote(when), quote(word)))
		return Manual, "a signature alone decides nothing (RFC 6376 §6.1): a [[rule]] that does the same is below, commented out"
	}
}

func onDNSError(s *settings, value string) (Effect, string) {
	switch action(value) {
	case "accept":
		s.text("dns", "on_error", "accept")
		return Same, ""
	case "tempfail":
		s.text("dns", "on_error", "auto")
		return Differs, "a message is deferred where an enforcing DMARC policy waits for the answer, not for any key"
	}
	return Lost, "a DNS error never rejects a message permanently"
}
