package reason

// Fixes that several reasons share.
const (
	askMaker    = "report this to the maker of the program that wrote the message"
	noAction    = "no action is needed, your mail server will try again"
	askAdmin    = "send through the mail server of {author}, or forward this notice to its administrator"
	askWhy      = "to ask why, send the reference below to the postmaster of the recipient"
	correctSPF  = "correct the SPF record of {domain}"
	correctDKIM = "correct the program that signs for {domain}"
	publishKey  = "publish a usable key at {key}"
)

// decisions are the reasons of postseal.Decision.
var decisions = map[string]Entry{
	"dmarc.pass":          {"{methods} for {author}", Good, "9989 §4.4", ""},
	"dmarc.none":          {"{author} publishes no DMARC policy", Good, "9989 §4.10.1", ""},
	"dmarc.policy-none":   {"this message fails DMARC, but {author} asks for no action (p=none)", Warn, "9989 §5.4", askAdmin},
	"dmarc.quarantine":    {"this message fails DMARC, and {author} asks receivers to quarantine such mail (p=quarantine)", Warn, "9989 §5.4", askAdmin},
	"dmarc.reject":        {"this message fails DMARC, and {author} asks receivers to reject such mail (p=reject)", Bad, "9989 §5.4", askAdmin},
	"dmarc.temperror":     {"{cause}, so DMARC for {author} cannot be checked now", Warn, "9989 §5.3.6", noAction},
	"dmarc.permerror":     {"the DMARC record of {author} cannot be applied", Warn, "9989 §9.2", "correct the DMARC record of {author}"},
	"author.malformed":    {"the From field does not name one author", Bad, "9989 §11.5", askMaker},
	"message.limit":       {"the header section is larger than this mail server allows", Bad, "", "shorten the header section of the message"},
	"message.field-added": {"{methods} for {author}, but an unsigned {fields} was added to a field that is signed", Warn, "6376 §8.15", "sign {fields} once more than the message contains it"},
	"internal.error":      {"this mail server had an internal error", Warn, "", noAction},
	"local.exempt":        {"an [[exempt]] entry of this mail server matches the message", Good, "", ""},
	"local.rule":          {"a local policy of this mail server does not allow this message", Bad, "", askWhy},
}

// Delayed is the wording of local.rule when it defers the message.
var Delayed = Entry{"a local policy of this mail server delays this message", Warn, "", noAction}

// Accepted is the wording of local.rule when it accepts the message.
var Accepted = Entry{"a local policy of this mail server accepts this message", Good, "", ""}

// messages are the reasons of package message.
var messages = map[string]Entry{
	"message.HeaderTooLarge": {"the header section of the message is too large", Bad, "", "shorten the header section of the message"},
	"message.TooManyFields":  {"the message has too many header fields", Bad, "", "remove header fields from the message"},
	"message.FieldTooLarge":  {"a header field of the message is too large", Bad, "", "shorten the header field"},
	"message.NoFrom":         {"the message has no From field (RFC 5322 section 3.6 requires one)", Bad, "5322 §3.6", askMaker},
	"message.MultipleFrom":   {"the message has more than one From field, so its author is unclear", Bad, "9989 §11.5", askMaker},
	"message.MalformedFrom":  {"the From field is malformed, or can be read in two ways", Bad, "5322 §3.6.2", askMaker},
	"message.NoDomain":       {"an author in the From field has no domain name", Bad, "9989 §11.5", askMaker},
	"message.TooManyDomains": {"the From field names too many authors", Bad, "9989 §11.5", "name fewer authors in the From field"},
	"message.BareLineEnd":    {"the header section contains a CR or LF that does not end a line", Bad, "5322 §2.2", askMaker},
}

// spfReasons are the reasons of package spf.
var spfReasons = map[string]Entry{
	"spf.Match":             {"a term of the record matched", Plain, "7208 §4.6.2", ""},
	"spf.Default":           {"no mechanism matched: neutral by default", Plain, "7208 §4.7", ""},
	"spf.NoDomain":          {"there is no domain to check", Plain, "7208 §4.3", ""},
	"spf.NoRecord":          {"no SPF record is published", Plain, "7208 §4.5", "publish an SPF record for {domain}"},
	"spf.MultipleRecords":   {"the domain has more than one SPF record", Bad, "7208 §4.5", "publish only one SPF record for {domain}"},
	"spf.DNSFailure":        {"a DNS lookup failed", Warn, "7208 §4.4", "correct the name servers, if they do not answer again by themselves"},
	"spf.TimeLimit":         {"the time limit was reached", Warn, "7208 §4.6.4", correctSPF},
	"spf.BudgetSpent":       {"the record takes more DNS queries than are spent on one message", Bad, "7208 §11.1", correctSPF + ": name fewer hosts"},
	"spf.TooManyLookups":    {"the record takes more than 10 DNS lookups", Bad, "7208 §4.6.4", correctSPF + ": at most 10 terms may query the DNS"},
	"spf.TooManyVoids":      {"the record takes more than 2 lookups without an answer", Bad, "7208 §4.6.4", correctSPF + ": remove names that do not exist"},
	"spf.TooManyMX":         {"an mx term has more than 10 names", Bad, "7208 §4.6.4", correctSPF},
	"spf.IncludeNoRecord":   {"the target of include: has no SPF record", Bad, "7208 §5.2", correctSPF},
	"spf.RedirectNoRecord":  {"the target of redirect= has no SPF record", Bad, "7208 §6.1", correctSPF},
	"spf.UnknownMechanism":  {"the record has an unknown mechanism", Bad, "7208 §4.6.1", correctSPF},
	"spf.BadTerm":           {"the record has a term with a syntax error", Bad, "7208 §4.6.1", correctSPF},
	"spf.BadDomainSpec":     {"the record has an invalid domain-spec", Bad, "7208 §7.1", correctSPF},
	"spf.BadMacro":          {"the record has an invalid macro", Bad, "7208 §7.1", correctSPF},
	"spf.BadAddress":        {"the record has an ip4 or ip6 term with an invalid address", Bad, "7208 §5.6", correctSPF},
	"spf.BadPrefix":         {"the record has a prefix length out of range", Bad, "7208 §5.6", correctSPF},
	"spf.DuplicateModifier": {"the record has redirect= or exp= twice", Bad, "7208 §6", correctSPF},
	"spf.RecordTooLong":     {"the record is longer than is read", Bad, "", correctSPF},
	"spf.InternalError":     {"postseal had an internal error", Warn, "", ""},
}

// dkimReasons are the reasons of package dkim.
var dkimReasons = map[string]Entry{
	"dkim.Valid":              {"the signature verifies", Good, "6376 §6.1.3", ""},
	"dkim.BodyHashMismatch":   {"the body changed after it was signed", Bad, "6376 §6.1.3", "find out what changes messages after {domain} signs them"},
	"dkim.SignatureMismatch":  {"a signed header field changed, or another key made the signature", Bad, "6376 §6.1.3", "find out what changes messages after {domain} signs them"},
	"dkim.LimitBeyondBody":    {"l= is larger than the body", Bad, "6376 §3.5", "sign without l="},
	"dkim.Malformed":          {"the DKIM-Signature field has a syntax error", Bad, "6376 §3.5", correctDKIM},
	"dkim.MissingTag":         {"the DKIM-Signature field lacks a required tag", Bad, "6376 §3.5", correctDKIM},
	"dkim.UnknownVersion":     {"v= is not 1", Bad, "6376 §6.1.1", correctDKIM},
	"dkim.AlgorithmUnknown":   {"the algorithm of a= is unknown", Bad, "6376 §3.3", "sign with rsa-sha256"},
	"dkim.AlgorithmForbidden": {"rsa-sha1 must not be used", Bad, "8301 §3.1", "sign with rsa-sha256"},
	"dkim.CanonicalUnknown":   {"the canonicalization of c= is unknown", Bad, "6376 §3.4", "sign with c=relaxed/relaxed"},
	"dkim.QueryUnknown":       {"the query method of q= is unknown", Bad, "6376 §3.5", "sign without q="},
	"dkim.FromNotSigned":      {"h= does not name From", Bad, "6376 §5.4", "sign the From field"},
	"dkim.IdentityMismatch":   {"i= is not within d=", Bad, "6376 §3.5", correctDKIM},
	"dkim.Expired":            {"the signature has expired (x=)", Bad, "6376 §3.5", "sign with a later x=, or without it: the signature of {domain} had expired"},
	"dkim.InFuture":           {"t= is more than an hour in the future", Bad, "6376 §3.5", "correct the clock of the server that signs for {domain}"},
	"dkim.KeyUnavailable":     {"the key cannot be looked up now", Warn, "6376 §6.1.2", "correct the name servers of {domain}, if they do not answer again by themselves"},
	"dkim.KeyMissing":         {"the key record does not exist", Bad, "6376 §6.1.2", publishKey},
	"dkim.KeyMalformed":       {"the key record cannot be read", Bad, "6376 §3.6.1", publishKey},
	"dkim.KeyRevoked":         {"the key is revoked (p= is empty)", Bad, "6376 §3.6.1", publishKey},
	"dkim.KeyTypeMismatch":    {"the key is of another type than a= says", Bad, "6376 §6.1.2", publishKey},
	"dkim.KeyHashForbidden":   {"the key does not allow sha256 (h=)", Bad, "6376 §3.6.1", "allow sha256 in h= of the key at {key}, or remove h="},
	"dkim.KeyNotForEmail":     {"the key is not for email (s=)", Bad, "6376 §3.6.1", "remove s= from the key at {key}"},
	"dkim.KeyStrictIdentity":  {"the key forbids subdomains in i= (t=s)", Bad, "6376 §3.6.1", "sign without i=, or remove t=s from the key at {key}"},
	"dkim.KeyTooShort":        {"the key is shorter than 1024 bits", Bad, "8301 §3.2", "replace the key at {key} with one of 2048 bits"},
	"dkim.KeyTooLong":         {"the key is longer than this verifier accepts", Bad, "8301 §3.2", "replace the key at {key} with one of 2048 bits"},
	"dkim.BudgetSpent":        {"the keys of the message take more DNS queries than are spent on one message", Bad, "6376 §6.1", "sign with fewer keys, and publish shorter records"},
	"dkim.KeyTooCostly":       {"the signatures of the message take too much work to verify", Bad, "6376 §6.1", "sign with fewer and shorter keys"},
	"dkim.BodyNotCovered":     {"l= leaves part of the body unsigned", Bad, "6376 §8.2", "sign the whole body, without l="},
	"dkim.PublicSuffix":       {"d= is a public suffix", Bad, "6376 §6.1.1", "sign with the sender's own domain"},
	"dkim.TooManySignatures":  {"the message has more signatures than are verified", Warn, "6376 §6.1", "sign with fewer signatures"},
	"dkim.TooManyFields":      {"h= names more fields than are verified", Bad, "6376 §3.5", "sign fewer header fields"},
	"dkim.InternalError":      {"postseal had an internal error", Warn, "", ""},
}

// arcReasons are the reasons of package arc.
var arcReasons = map[string]Entry{
	"arc.NoChain":           {"the message has no ARC set", Plain, "8617 §5.2", ""},
	"arc.Valid":             {"the chain validates", Good, "8617 §5.2", ""},
	"arc.TooManySets":       {"the chain has more than 50 sets", Bad, "8617 §4.2.1", ""},
	"arc.Malformed":         {"an ARC field has a syntax error, or lacks a tag", Bad, "8617 §4.1", ""},
	"arc.InvalidInstance":   {"an ARC field has an invalid i=", Bad, "8617 §4.2.1", ""},
	"arc.IncompleteSet":     {"a set lacks one of its three fields", Bad, "8617 §5.2", ""},
	"arc.DuplicateField":    {"a set has a field twice", Bad, "8617 §5.2", ""},
	"arc.ChainFailed":       {"the newest sealer reports that the chain fails (cv=fail)", Bad, "8617 §5.2", ""},
	"arc.WrongChainStatus":  {"cv= of a seal is wrong for its place in the chain", Bad, "8617 §5.2", ""},
	"arc.SealCoversHeader":  {"an ARC-Seal has h=", Bad, "8617 §4.1.3", ""},
	"arc.SealSigned":        {"an ARC-Message-Signature signs ARC-Seal fields", Bad, "8617 §4.1.2", ""},
	"arc.FromNotSigned":     {"an ARC-Message-Signature does not sign From", Bad, "6376 §5.4", ""},
	"arc.AlgorithmUnknown":  {"an algorithm is unknown or must not be used", Bad, "8301 §3.1", ""},
	"arc.BodyHashMismatch":  {"the body changed after the newest sealer signed it", Bad, "8617 §5.2", ""},
	"arc.SignatureMismatch": {"the newest ARC-Message-Signature does not verify", Bad, "8617 §5.2", ""},
	"arc.SealMismatch":      {"an ARC-Seal does not verify", Bad, "8617 §5.2", ""},
	"arc.BodyNotCovered":    {"l= of the newest signature leaves part of the body unsigned", Bad, "6376 §8.2", ""},
	"arc.Expired":           {"the newest signature has expired (x=)", Bad, "6376 §3.5", ""},
	"arc.KeyUnusable":       {"a key does not exist, cannot be looked up now, or cannot be used", Bad, "8617 §5.2.1", ""},
	"arc.TooCostly":         {"the chain takes too much work to verify", Bad, "8617 §5.2", ""},
	"arc.InternalError":     {"postseal had an internal error", Warn, "", ""},
}

// dmarcReasons are the reasons of package dmarc.
var dmarcReasons = map[string]Entry{
	"dmarc.NoAuthorDomain":       {"there is no Author Domain to evaluate", Warn, "9989 §5.3.1", askMaker},
	"dmarc.TooManyAuthorDomains": {"the From field names more domains than are evaluated", Warn, "9989 §11.5", "name fewer authors in the From field"},
	"dmarc.NoRecord":             {"no DMARC record applies", Plain, "9989 §4.10.1", ""},
	"dmarc.UnusableRecord":       {"the DMARC record has no valid policy and no rua=", Warn, "9989 §4.10.1", "correct the DMARC record of {author}"},
	"dmarc.Aligned":              {"an authenticated domain is aligned with the Author Domain", Good, "9989 §4.4", ""},
	"dmarc.NoIdentifier":         {"neither SPF nor DKIM authenticated a domain", Bad, "9989 §4.4", "sign with DKIM as d={author}, or send from a host that the SPF record of {author} lists"},
	"dmarc.NotAligned":           {"no authenticated domain is aligned with the Author Domain", Bad, "9989 §4.4", "sign with DKIM as d={author}"},
	"dmarc.PolicyUnknown":        {"a failed DNS lookup hides which policy applies", Warn, "9989 §5.3.6", noAction},
	"dmarc.ExistenceUnknown":     {"a failed DNS lookup hides whether the Author Domain exists", Warn, "9989 §5.3.6", noAction},
	"dmarc.IdentifierUnknown":    {"a failed DNS lookup hides whether an authenticated domain is aligned", Warn, "9989 §5.3.6", noAction},
}
