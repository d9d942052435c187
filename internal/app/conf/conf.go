// Package conf is the configuration file: its keys as Go types, their defaults, and a reader
// that reports all errors at once, each with its position.
package conf

import (
	"postseal"
	"postseal/dmarc"
	"postseal/internal/app/rules"
)

// Config is a complete configuration. The comments of its fields are the reference page,
// docs/reference/config.md.
type Config struct {
	// The name of this verifier in Authentication-Results (RFC 8601 §2.5), the same on all
	// hosts of an organization. Incoming fields that claim it are removed. Default: the host
	// name.
	AuthservID string `toml:"authserv_id"`
	// How far a verdict is applied. `observe`: only headers, log and metrics. `quarantine`: at
	// most quarantine. `guarded`: reject only if the author's domain asks for it, other
	// evidence corroborates the failure, and nothing suggests a mailing list (RFC 9989 §7.4).
	// `strict`: as published.
	Enforce postseal.Enforce `toml:"enforce" oneof:"observe quarantine guarded strict"`
	// The URL of a page that explains a verdict. Replies show it with the reference appended
	// and, with [listen] `public`, a tag that makes the URL unguessable. If empty, replies show
	// only the reference.
	ReplyURL string `toml:"reply_url"`

	Replies Replies `toml:"replies"`
	Listen  Listen  `toml:"listen"`
	Network Network `toml:"network"`
	DNS     DNS     `toml:"dns"`
	SPF     SPF     `toml:"spf"`
	Policy  Policy  `toml:"policy"`
	DKIM    DKIM    `toml:"dkim"`
	DMARC   DMARC   `toml:"dmarc"`
	ARC     ARC     `toml:"arc"`
	Proxy   Proxy   `toml:"proxy"`
	Store   Store   `toml:"store"`
	Fleet   Fleet   `toml:"fleet"`
	Report  Report  `toml:"report"`
	Notify  Notify  `toml:"notify"`
	Bundles Bundles `toml:"bundles"`
	Trial   Trial   `toml:"trial"`
	Web     Web     `toml:"web"`
	Log     Log     `toml:"log"`
	Limits  Limits  `toml:"limits"`

	// Your own relays whose results are believed, such as a gateway in front of this server.
	Relay []Relay `toml:"relay"`
	// Mail that is accepted whatever its DMARC result. All keys of an entry must match.
	Exempt []rules.Exempt `toml:"exempt"`
	// Expressions over a verdict, in order; the first that is true sets the action.
	Rule []rules.Rule `toml:"rule"`
	// Expected verdicts under this configuration. `config check` and a reload evaluate each
	// entry; if a verdict differs, that is an error, and the configuration is not applied.
	Expect []Expect `toml:"expect"`

	local *rules.Set // Exempt and Rule, compiled by Parse
}

// Expect describes a message whose verdict is known: a bundle, or a message with the DNS of a
// zone file. File names are relative to the configuration file.
type Expect struct {
	// Shown in the error.
	Name string `toml:"name,omitempty"`
	// A bundle: its envelope, clock, DNS answers and message.
	Bundle string `toml:"bundle,omitempty"`
	// Instead of a bundle: a zone file with all DNS answers.
	Zone string `toml:"zone,omitempty"`
	// With `zone`: the address of the client. Without it, SPF is skipped.
	IP string `toml:"ip,omitempty"`
	// With `zone`: the HELO name of the client.
	Helo string `toml:"helo,omitempty"`
	// With `zone`: the reverse-path; empty is the null path.
	From string `toml:"from,omitempty"`
	// With `zone`: the file of the message.
	Message string `toml:"message,omitempty"`
	// With `zone`, instead of `message`: a message without signatures from this domain.
	Author Domain `toml:"author,omitempty"`
	// The action that a listener must take under this configuration.
	Action string `toml:"action" oneof:"accept quarantine reject defer"`

	open func(name string) ([]byte, error) // of its files
}

// Listen names the listeners, each `unix:PATH` or `HOST:PORT`. A file that names none uses the
// defaults; if it names any, only those are opened. A socket passed by systemd
// (`FileDescriptorName=milter`, `policy`, `smtp`, `submission`, `submissions`, `http` or
// `public`) replaces the listener of the same name.
type Listen struct {
	// The milter protocol of Postfix (`smtpd_milters`) and Sendmail.
	Milter Address `toml:"milter"`
	// The Postfix policy protocol (`check_policy_service`).
	Policy Address `toml:"policy"`
	// The SMTP proxy, for `smtpd_proxy_filter` or in front of any mail server.
	SMTP Address `toml:"smtp"`
	// The same for your own users with STARTTLS (port 587): it accepts no mail until the next
	// hop has authenticated the client. Needs [proxy] `auth`.
	Submission Address `toml:"submission"`
	// The same with TLS from the start (port 465).
	Submissions Address `toml:"submissions"`
	// HTTP: the console, `/v1/`, `/metrics`, `/healthz` and `/readyz`. `POST /v1/verify` and
	// `/v1/audit/{domain}` are open to local clients; everything that shows mail needs a login
	// (`postseal ui`) or the token.
	HTTP Address `toml:"http"`
	// The page that explains a rejection to its sender, for the whole internet: only `/r/`. Put
	// a web server with TLS in front of it, and set `reply_url` to its URL (`postseal setup
	// refusal` prints both). Off by default; the other listeners do not change.
	Public Address `toml:"public"`
	// A file with a token of at least 16 characters, which `/v1/` and `/debug/pprof` then
	// require from everyone (`Authorization: Bearer`). It is read again at each reload. By
	// default the daemon creates a token in its state directory at the first start, where
	// postseal's own commands find it.
	HTTPTokenFile string `toml:"http_token_file"`
	// `/debug/pprof` on the http listener: profiles of the running daemon, for `go tool pprof`.
	Profiles bool `toml:"profiles"`
	// The mode of unix sockets. Postfix must be able to write to them.
	SocketMode Mode `toml:"socket_mode"`
}

// Web configures how the http listener is reached. It accepts the names of loopback and the
// address that a request came to; any other host name must be listed, so that a page of another
// site cannot reach it through its own name.
type Web struct {
	// Host names under which people open the console, for example through a reverse proxy.
	Hosts []Domain `toml:"hosts"`
	// Reverse proxies whose `X-Forwarded-For` names the client. A forwarded request always
	// needs the token or a login, even from this host.
	TrustedProxies []Prefix `toml:"trusted_proxies"`
	// A file with the people who may log in to the console, a line `NAME ROLE HASH` for each:
	// `postseal ui user` prints it. A `reader` sees and exports, an `admin` also changes things.
	// It is read again at each reload. The token is an admin.
	Users string `toml:"users"`
	// The field in which a trusted proxy names the person whom it logged in, such as
	// `X-Remote-User`. From anyone else it is refused with 400.
	AuthHeader string `toml:"auth_header"`
	// The field in which a trusted proxy says the role of that person: `reader` or `admin`.
	// Without it everyone is a reader.
	RoleHeader string `toml:"role_header"`
}

// Network lists known clients.
type Network struct {
	// Clients whose mail is not checked. List your own networks that submit mail; the list
	// replaces the default.
	Trusted []Prefix `toml:"trusted"`
	// Our own relays, such as a secondary MX: the relay's trace field or XFORWARD names the
	// client.
	TrustedRelays []Prefix `toml:"trusted_relays"`
	// Also check the mail of authenticated users. By default it is not checked.
	CheckAuthenticated bool `toml:"check_authenticated"`
	// Values of `{daemon_name}` (`milter_macro_daemon_name` in master.cf) that mark our own
	// mail, which is not checked.
	Originating []string `toml:"originating"`
}

// Replies holds your own texts of SMTP replies.
type Replies struct {
	// Lines of a reply that rejects a message, instead of ours. `{ref}` is the reference of the
	// verdict, `{domain}` the author's domain, `{ip}` the client, `{url}` the URL of `reply_url` with
	// the reference. Without `{ref}` or `{url}`, a last line with the reference is added. The codes stay.
	// The policy service, which has no reference, joins the lines without these two, up to 240 octets.
	Reject []string `toml:"reject"`
	// Lines of a reply that defers a message.
	Defer []string `toml:"defer"`
}

// Relay describes a relay whose results are believed.
type Relay struct {
	// Addresses of the relay, or networks. They count as `[network] trusted_relays`, too.
	IP []Prefix `toml:"ip"`
	// The relay's authserv-id. Its Authentication-Results fields are believed if they are above its
	// Received field, and removed from the mail of all other clients.
	Results string `toml:"results"`
}

// DNS configures DNS lookups.
type DNS struct {
	// Name servers, `HOST[:PORT]`, preferably a validating resolver on this host. Default:
	// those of /etc/resolv.conf.
	Servers []Server `toml:"servers"`
	// The time limit for one query, including retries.
	Timeout Duration `toml:"timeout"`
	// What to do if the DNS leaves a verdict open (RFC 9989 §5.3.6). `auto`: defer if an
	// enforcing policy is known and only an identifier is unknown, accept if the policy itself
	// could not be found. `accept`, `defer`: always.
	OnError postseal.OnError `toml:"on_error" oneof:"auto accept defer"`
	// Name servers whose AD bit counts as DNSSEC validation, as addresses or networks (RFC 4035
	// §4.9.3).
	Validating []Prefix `toml:"validating"`
	// Memory for cached answers.
	Cache Size `toml:"cache"`
	// How long to keep using expired records while no name server answers (RFC 8767). Expired
	// negative answers are never used. `0s`: never.
	Stale Grace `toml:"stale"`
	// DNS queries in flight, for all messages together.
	Outstanding int `toml:"outstanding" min:"1" max:"65536"`
}

// SPF sets limits, and what the policy service answers for each result. `header` records the
// result and leaves the decision to DMARC.
type SPF struct {
	// MAIL FROM `fail` (RFC 7208 §8.4). `reject`: 550 5.7.23. This also rejects forwarded mail
	// that DMARC would accept because of its signature.
	Fail string `toml:"fail" oneof:"header reject"`
	// MAIL FROM `softfail`.
	SoftFail string `toml:"softfail" oneof:"header reject"`
	// MAIL FROM `permerror`: a broken record. `reject`: 550 5.7.24.
	PermError string `toml:"permerror" oneof:"header reject"`
	// MAIL FROM `temperror`: a DNS error. `defer`: 4.7.24, with the reply code of Postfix's
	// `access_map_defer_code`.
	TempError string `toml:"temperror" oneof:"header defer"`
	// HELO `fail`: the domain of the HELO name does not allow this client.
	HeloFail string `toml:"helo_fail" oneof:"header reject"`
	// Terms that need a lookup (RFC 7208 §4.6.4).
	Lookups int `toml:"lookups" min:"1" max:"100"`
	// Terms whose lookup finds no records.
	VoidLookups int `toml:"void_lookups" min:"0" max:"100"`
	// Time limit for one evaluation.
	Timeout Duration `toml:"timeout"`
}

// Policy configures the policy service's checks other than SPF.
type Policy struct {
	// Prepend a Received-SPF field (RFC 7208 §9.1). The milter removes incoming ones that claim to be ours.
	ReceivedSPF bool `toml:"received_spf"`
	// A sender domain whose null MX says that it accepts no mail (RFC 7505 §4.2). `reject`: 550
	// 5.7.27.
	NullMX string `toml:"null_mx" oneof:"accept reject"`
	// Reverse DNS of the client that does not resolve back to that address (RFC 8601 §3). `reject`:
	// 550 5.7.25.
	IPRev string `toml:"iprev" oneof:"accept reject"`
}

// DKIM sets limits for signatures.
type DKIM struct {
	// Number of signatures to verify; any after that are `policy`.
	MaxSignatures int `toml:"max_signatures" min:"1" max:"100"`
	// Longer RSA keys are `policy`.
	MaxRSABits int `toml:"max_rsa_bits" min:"1024" max:"16384"`
	// Accept a signature whose `l=` leaves part of the body unsigned. Anyone can append to such
	// a body.
	AllowPartialBody bool `toml:"allow_partial_body"`
}

// DMARC configures policy discovery and quarantine.
type DMARC struct {
	// How the policy and the organization are found: `treewalk` (RFC 9989 §4.10) or `psl`,
	// the public suffix list (RFC 7489).
	Discovery dmarc.Discovery `toml:"discovery" oneof:"treewalk psl"`
	// Do not treat a public suffix that publishes a record without `psd=y` as an organization,
	// because all domains below it would then align with each other.
	PSLGuard bool `toml:"psl_guard"`
	// How to quarantine. `header`: accept with `X-Postseal-Verdict: quarantine`, for Sieve.
	// `hold`: the hold queue of Postfix, which only the postmaster sees.
	QuarantineWith string `toml:"quarantine_with" oneof:"header hold"`
	// Author domains, such as your own, whose DMARC failures are rejected under `guarded`
	// without further evidence.
	Protected []Domain `toml:"protected"`
}

// ARC lists trusted sealers.
type ARC struct {
	// Sealers whose passing chain overrides a policy (RFC 8617). Anyone can seal: list only
	// those whose checks of incoming mail you trust.
	TrustedSealers []Domain `toml:"trusted_sealers"`
	// The maximum age of the newest seal: anyone can send an old message again together with its seal.
	MaxAge Duration `toml:"max_age"`
}

// Proxy configures the SMTP proxy.
type Proxy struct {
	// The mail server that receives the mail: `HOST:PORT`, or `mx:DOMAIN` or `mx:DOMAIN:PORT`
	// for the mail exchangers of a domain, by preference.
	NextHop NextHop `toml:"next_hop"`
	// Clients that may use XFORWARD or XCLIENT to name the original client, such as the Postfix
	// in front of the proxy. The list replaces the default.
	Peers []Prefix `toml:"peers"`
	// How the next hop is told about clients that connect to the proxy directly; otherwise it
	// believes that each is this host, and may let it relay. `auto`: XCLIENT if offered, else
	// XFORWARD. `xclient`: accept no mail without XCLIENT. `xforward`: only for the next hop's
	// log. `none`.
	ClientInfo string `toml:"client_info" oneof:"auto xclient xforward none"`
	// Offer AUTH over TLS: the next hop authenticates, and the proxy forwards the exchange.
	Auth bool `toml:"auth"`
	// The certificate chain for STARTTLS and TLS, a PEM file. Without it, TLS is not offered.
	Certificate string `toml:"certificate"`
	// The private key of the certificate, a PEM file.
	Key string `toml:"key"`
	// Maximum size of one message; a larger one gets 552.
	Message Size `toml:"message"`
	// How much of one message is kept in memory; the rest goes to a temporary file.
	Memory Size `toml:"memory"`
	// Maximum size of all messages that wait for their verdict; over it, clients get 452.
	Spool Size `toml:"spool"`
	// Directory for temporary files. Default: that of the system.
	SpoolDir string `toml:"spool_dir"`
	// How long the client may be silent.
	Timeout Duration `toml:"timeout"`
}

// Fleet configures what the hosts of one PostgreSQL have in common.
type Fleet struct {
	// Where the rules about mail come from. `own`: this file. `shared`: the keys that `postseal
	// config push` put into the database of [store] replace those of this file on every host:
	// `enforce`, [network], [spf], [policy], [dkim], [dmarc], [arc], [[exempt]] and [[rule]].
	// The host keeps a copy in its state directory for a start without the database.
	Config string `toml:"config" oneof:"own shared"`
}

// Store configures the history of verdicts, which `postseal history`, `explain` and
// `/v1/verdicts` read. Changes need a restart.
type Store struct {
	// `sqlite:PATH`, or `postgres://…` for several hosts. Default: `store.db` in the state
	// directory. `none` or empty stores nothing.
	URL StoreURL `toml:"url"`
	// A file that contains the URL, to keep its password out of this file.
	URLFile string `toml:"url_file"`
	// The directory where verdicts wait for the database. Default: `journal` in the state directory.
	JournalDir string `toml:"journal_dir"`
	// Maximum size of the journal. When it is full, new verdicts are lost, and counted.
	Journal Size `toml:"journal"`
	// How long verdicts are kept, in whole UTC days; at least 48h.
	History Duration `toml:"history"`
	// Maximum size of the SQLite file. The oldest days are removed first.
	MaxSize Size `toml:"max_size"`
	// How the client's address is stored after its day has ended: `full`, `net` (the /24 or
	// /48) or `none`.
	IP string `toml:"ip" oneof:"full net none"`
	// A file with a key of at least 16 characters, the same on all hosts of one database. With it, a hash of
	// each Message-ID is stored, by which `history` and `explain` find the message. Default: no hash is stored.
	MessageIDKeyFile string `toml:"message_id_key_file"`
}

// Notify sends a notification when a problem starts and when it ends: name servers do not answer,
// many messages are rejected or deferred, verdicts are lost, the database cannot be reached, or an
// exemption is about to expire. Each problem is reported once, and once more when it ends.
type Notify struct {
	// A program with its arguments. It receives the text on standard input, and `POSTSEAL_KIND`,
	// `POSTSEAL_NAME` and `POSTSEAL_STATE` (`begins` or `over`) in its environment.
	Command []string `toml:"command"`
	// A file that contains the URL to which each notification is posted as JSON. Chat programs
	// show its field `text`.
	WebhookFile string `toml:"webhook_file"`
	// Mail addresses to notify.
	Mail []string `toml:"mail"`
	// The sender of that mail. Default: `postseal@` and the host name.
	From string `toml:"from"`
	// The SMTP server that sends the mail.
	SmartHost Address `toml:"smart_host"`
	// How long no name server answers before a notification is sent.
	DNS Duration `toml:"dns"`
	// How many times more messages than usual are rejected, or deferred, within ten minutes
	// before a notification is sent; at least 20 messages. The last day defines what is usual.
	Spike int `toml:"spike" min:"2" max:"1000"`
	// How long the database cannot be reached before a notification is sent.
	Store Duration `toml:"store"`
	// How long before its last day an exemption or rule with `until` is reported.
	Exemptions Duration `toml:"exemptions"`
}

// Bundles configures the evidence of verdicts, which `postseal explain` and `postseal
// replay-bundle` evaluate again.
type Bundles struct {
	// The directory. Default: `bundles` in the state directory, which is `$STATE_DIRECTORY`,
	// else `/var/lib/postseal` for root, else `postseal` in `$XDG_STATE_HOME`. `none` or empty
	// stores nothing.
	Dir string `toml:"dir"`
	// `refused`: verdicts other than accept. `all`: every verdict.
	Keep string `toml:"keep" oneof:"refused all"`
	// Maximum size of all bundles. The oldest are removed first.
	MaxSize Size `toml:"max_size"`
	// How long a bundle is kept.
	MaxAge Duration `toml:"max_age"`
	// Also store local parts and the text of the header section.
	Private bool `toml:"private"`
}

// Trial evaluates each verdict a second time with other settings, without any effect on mail.
// `postseal trial` and `postseal_trial_total` show what would change.
type Trial struct {
	// The mode to test, one of those of `enforce`. `same`: no other mode.
	Enforce string `toml:"enforce" oneof:"same observe quarantine guarded strict"`
	// The discovery to test. It repeats DNS lookups, from the cache if possible. `same`: no
	// other.
	Discovery string `toml:"discovery" oneof:"same treewalk psl"`
}

// Log configures the log on standard error.
type Log struct {
	// The lowest level that is written.
	Level string `toml:"level" oneof:"debug info warn error"`
	// `text`: key=value. `journal`: the same with priorities and without a time. `json`.
	// `auto`: journal under systemd, else text.
	Format string `toml:"format" oneof:"auto text journal json"`
	// Write only the domains of addresses, not the local parts.
	Privacy bool `toml:"privacy"`
}

// Limits sets limits for one message, one client and the whole daemon.
type Limits struct {
	// Concurrent connections of each listener; more wait.
	Connections int `toml:"connections" min:"1" max:"100000"`
	// Time from MAIL FROM to the verdict, not counting the time the client takes. Anything
	// unknown by then is temperror.
	Message Duration `toml:"message"`
	// Time to finish messages in flight after SIGTERM.
	Shutdown Duration `toml:"shutdown"`
	// Maximum size of a header section; a larger one is rejected.
	Header Size `toml:"header"`
	// Maximum size of one header field, at most `header`.
	Field Size `toml:"field"`
	// Maximum number of header fields in a message.
	Fields int `toml:"fields" min:"10" max:"100000"`
	// DNS queries of one message.
	Queries int `toml:"queries" min:"20" max:"10000"`
	// Memory limit of the daemon: it defers new mail with 451 when memory use comes near it.
	// `auto` is the limit of the control group, such as `MemoryMax` or `MemoryHigh` of systemd,
	// or half of the machine's memory if there is none.
	Memory Memory `toml:"memory"`
	// Maximum size of a message on the http listener.
	HTTPMessage Size `toml:"http_message"`
}
