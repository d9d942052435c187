// Package conf is the configuration file: its keys as Go types, their defaults, and a
// reader that reports every error at once, with its place.
package conf

import (
	"postseal"
	"postseal/dmarc"
	"postseal/internal/app/rules"
)

// Config is a whole configuration. The comments of its fields are the reference page,
// docs/reference/config.md.
type Config struct {
	// The name of this verifier in Authentication-Results (RFC 8601 §2.5), one for all
	// machines of an organization. Incoming fields that claim it are removed. Default: the
	// host name.
	AuthservID string `toml:"authserv_id"`
	// How far a verdict is carried out. `observe`: headers, log and metrics only.
	// `quarantine`: never above quarantine. `guarded`: refuse only what the author's domain
	// asks to refuse, evidence corroborates and nothing speaks for a mailing list
	// (RFC 9989 §7.4). `strict`: as published.
	Enforce postseal.Enforce `toml:"enforce" oneof:"observe quarantine guarded strict"`
	// The address of a page that explains a verdict. Its reference is added, with [listen]
	// `public` a tag that makes the address unguessable too, and the whole is shown in replies.
	// Empty shows the reference alone.
	ReplyURL string `toml:"reply_url"`

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
	Report  Report  `toml:"report"`
	Notify  Notify  `toml:"notify"`
	Bundles Bundles `toml:"bundles"`
	Trial   Trial   `toml:"trial"`
	Web     Web     `toml:"web"`
	Log     Log     `toml:"log"`
	Limits  Limits  `toml:"limits"`

	// Mail that is accepted whatever DMARC says of it. All keys of an entry must match.
	Exempt []rules.Exempt `toml:"exempt"`
	// Expressions over a verdict, in order; the first that is true sets the action.
	Rule []rules.Rule `toml:"rule"`
	// What must come out under this configuration. `config check` and a reload try each entry;
	// one that comes out otherwise is an error, and the configuration is not put in force.
	Expect []Expect `toml:"expect"`

	local *rules.Set // of Exempt and Rule, compiled by Parse
}

// Expect is a message whose verdict is known: a bundle, or a message with the DNS of a zone
// file. File names are relative to the configuration file.
type Expect struct {
	// Said in the error.
	Name string `toml:"name,omitempty"`
	// A bundle: its envelope, clock, DNS answers and message.
	Bundle string `toml:"bundle,omitempty"`
	// Instead of a bundle: the DNS answers come from this zone file alone.
	Zone string `toml:"zone,omitempty"`
	// With `zone`: the address of the client. Without it SPF is skipped.
	IP string `toml:"ip,omitempty"`
	// With `zone`: what the client called itself.
	Helo string `toml:"helo,omitempty"`
	// With `zone`: the reverse-path; empty is the null path.
	From string `toml:"from,omitempty"`
	// With `zone`: the file of the message.
	Message string `toml:"message,omitempty"`
	// With `zone`, instead of `message`: a message without signatures from this domain.
	Author Domain `toml:"author,omitempty"`
	// What a door does with it under this configuration.
	Action string `toml:"action" oneof:"accept quarantine reject defer"`
}

// Listen names the listeners, each `unix:PATH` or `HOST:PORT`. A file that names none has
// the default ones; once it names one, only those that it names listen. A socket that systemd
// passes (`FileDescriptorName=milter`, `policy`, `smtp`, `submission`, `submissions`, `http`
// or `public`) takes the place of the listener of its name.
type Listen struct {
	// The milter protocol of Postfix (`smtpd_milters`) and Sendmail.
	Milter Address `toml:"milter"`
	// The Postfix policy protocol (`check_policy_service`).
	Policy Address `toml:"policy"`
	// The SMTP proxy, for `smtpd_proxy_filter` or in front of any mail server.
	SMTP Address `toml:"smtp"`
	// The same for your own users with STARTTLS (port 587): nothing passes before the next hop
	// authenticated the client. It needs [proxy] `auth`.
	Submission Address `toml:"submission"`
	// The same with TLS from the start (port 465).
	Submissions Address `toml:"submissions"`
	// HTTP: the console, `/v1/`, `/metrics`, `/healthz` and `/readyz`. `POST /v1/verify` and
	// `/v1/audit/{domain}` are open to this machine; everything that shows mail needs a login
	// (`postseal ui`) or the token.
	HTTP Address `toml:"http"`
	// The page that explains a rejection to its sender, for the whole internet: `/r/` and nothing
	// else. Put a web server with TLS in front of it, and set `reply_url` to its address
	// (`postseal setup refusal` prints both). Off by default; the other listeners stay as they are.
	Public Address `toml:"public"`
	// A file with a token of 16 characters or more, which `/v1/` and `/debug/pprof` then ask
	// everyone for (`Authorization: Bearer`). It is read again at each reload. By default the
	// daemon makes a token in its state folder at the first start, where our own commands find it.
	HTTPTokenFile string `toml:"http_token_file"`
	// `/debug/pprof` on the http listener: profiles of the running daemon, for `go tool pprof`.
	Profiles bool `toml:"profiles"`
	// The mode of unix sockets. Postfix must be able to write to them.
	SocketMode Mode `toml:"socket_mode"`
}

// Web says how the http listener is reached. It answers to the names of loopback and to the
// address that a request came to; any other name must be listed, so that a page of another
// site cannot reach it through a name of its own.
type Web struct {
	// Host names by which people reach the console, for example through a reverse proxy.
	Hosts []Domain `toml:"hosts"`
	// Reverse proxies whose `X-Forwarded-For` names the client. A request that was forwarded
	// always needs the token or a login, also from this machine.
	TrustedProxies []Prefix `toml:"trusted_proxies"`
}

// Network says which clients are known.
type Network struct {
	// Clients whose mail passes unchecked. Name your own networks that submit mail; the
	// list replaces the default.
	Trusted []Prefix `toml:"trusted"`
	// Our own relays, such as a secondary MX: the client is the one that the relay's trace
	// field or XFORWARD names.
	TrustedRelays []Prefix `toml:"trusted_relays"`
	// Check the mail of authenticated users too. By default it passes unchecked.
	CheckAuthenticated bool `toml:"check_authenticated"`
	// Values of `{daemon_name}` (`milter_macro_daemon_name` in master.cf) whose mail is our
	// own and passes unchecked.
	Originating []string `toml:"originating"`
}

// DNS says whom to ask.
type DNS struct {
	// Name servers, `HOST[:PORT]`, best a validating resolver on this machine. Default:
	// those of /etc/resolv.conf.
	Servers []Server `toml:"servers"`
	// How long one question may take, with its repetitions.
	Timeout Duration `toml:"timeout"`
	// What to do when the DNS leaves a verdict open (RFC 9989 §5.3.6). `auto`: defer when an
	// enforcing policy is known and only an identifier is not, accept when the policy itself
	// could not be found. `accept`, `defer`: always.
	OnError postseal.OnError `toml:"on_error" oneof:"auto accept defer"`
	// Name servers whose AD bit counts as DNSSEC validation, addresses or networks
	// (RFC 4035 §4.9.3).
	Validating []Prefix `toml:"validating"`
	// Memory for answers.
	Cache Size `toml:"cache"`
	// How long after their end records may still answer while no name server does (RFC
	// 8767); an absence never does. `0s`: not at all.
	Stale Grace `toml:"stale"`
	// Questions that are outstanding at the same time, for all messages together.
	Outstanding int `toml:"outstanding" min:"1" max:"65536"`
}

// SPF sets limits, and what the policy service answers for a result. `header` records the
// result and leaves the decision to DMARC.
type SPF struct {
	// MAIL FROM `fail` (RFC 7208 §8.4). `reject`: 550 5.7.23. It refuses forwarded mail that
	// DMARC would accept by its signature.
	Fail string `toml:"fail" oneof:"header reject"`
	// MAIL FROM `softfail`.
	SoftFail string `toml:"softfail" oneof:"header reject"`
	// MAIL FROM `permerror`: a broken record. `reject`: 550 5.7.24.
	PermError string `toml:"permerror" oneof:"header reject"`
	// MAIL FROM `temperror`: DNS trouble. `defer`: 4.7.24, with the code that
	// `access_map_defer_code` of Postfix says.
	TempError string `toml:"temperror" oneof:"header defer"`
	// HELO `fail`: the name says that this client may not use it.
	HeloFail string `toml:"helo_fail" oneof:"header reject"`
	// Terms that cost a lookup (RFC 7208 §4.6.4).
	Lookups int `toml:"lookups" min:"1" max:"100"`
	// Terms whose lookup finds nothing.
	VoidLookups int `toml:"void_lookups" min:"0" max:"100"`
	// Time for one evaluation.
	Timeout Duration `toml:"timeout"`
}

// Policy is what the policy service does beside SPF.
type Policy struct {
	// Prepend a Received-SPF field (RFC 7208 §9.1). The milter removes it from the outside.
	ReceivedSPF bool `toml:"received_spf"`
	// A sender domain that says with a null MX that it takes no mail (RFC 7505 §4.2).
	// `reject`: 550 5.7.27.
	NullMX string `toml:"null_mx" oneof:"accept reject"`
	// Reverse DNS of the client that does not resolve back to that address (RFC 8601 §3). `reject`:
	// 550 5.7.25.
	IPRev string `toml:"iprev" oneof:"accept reject"`
}

// DKIM sets limits.
type DKIM struct {
	// Signatures that are verified; those behind are `policy`.
	MaxSignatures int `toml:"max_signatures" min:"1" max:"100"`
	// RSA keys that are longer are `policy`.
	MaxRSABits int `toml:"max_rsa_bits" min:"1024" max:"16384"`
	// Let a signature count whose `l=` leaves some of the body unsigned. Anyone can add to
	// such a body.
	AllowPartialBody bool `toml:"allow_partial_body"`
}

// DMARC says how policies are found and what quarantine is.
type DMARC struct {
	// How the policy and the organization are found: `treewalk` (RFC 9989 §4.10) or `psl`,
	// the public suffix list (RFC 7489).
	Discovery dmarc.Discovery `toml:"discovery" oneof:"treewalk psl"`
	// Never take a public suffix that publishes a record without `psd=y` for an
	// organization, which would align all domains below it.
	PSLGuard bool `toml:"psl_guard"`
	// What quarantine does. `header`: accept with `X-Postseal-Verdict: quarantine`, for
	// Sieve. `hold`: the hold queue of Postfix, which only the postmaster sees.
	QuarantineWith string `toml:"quarantine_with" oneof:"header hold"`
	// Author domains, such as your own, whose failures are refused under `guarded` without
	// further evidence.
	Protected []Domain `toml:"protected"`
}

// ARC says whose chains count.
type ARC struct {
	// Sealers whose passing chain overrides a policy (RFC 8617). Anyone can seal: name only
	// those whose check of incoming mail you trust.
	TrustedSealers []Domain `toml:"trusted_sealers"`
	// How old the newest seal may be: anyone can send an old message again with its seal.
	MaxAge Duration `toml:"max_age"`
}

// Proxy is the SMTP proxy.
type Proxy struct {
	// The mail server that takes the mail: `HOST:PORT`, or `mx:DOMAIN` or `mx:DOMAIN:PORT` for
	// the mail exchangers of a domain, by preference.
	NextHop NextHop `toml:"next_hop"`
	// Who may say by XFORWARD or XCLIENT whose mail it is, such as the Postfix in front of
	// the proxy. The list replaces the default.
	Peers []Prefix `toml:"peers"`
	// How the next hop is told of clients that connect to the proxy itself; otherwise it
	// takes each for this host, and may let it relay. `auto`: XCLIENT where it is offered,
	// else XFORWARD. `xclient`: no mail passes without. `xforward`: for its log alone. `none`.
	ClientInfo string `toml:"client_info" oneof:"auto xclient xforward none"`
	// Offer AUTH over TLS: the next hop authenticates, the exchange passes through.
	Auth bool `toml:"auth"`
	// The certificate chain for STARTTLS and TLS, a PEM file. Without it TLS is not offered.
	Certificate string `toml:"certificate"`
	// The key of the certificate, a PEM file.
	Key string `toml:"key"`
	// Octets of one message; a larger one is refused with 552.
	Message Size `toml:"message"`
	// Octets of one message that are kept in memory, the rest in a temporary file.
	Memory Size `toml:"memory"`
	// Octets of all messages that wait for their verdict; beyond it 452.
	Spool Size `toml:"spool"`
	// Folder of temporary files. Default: that of the system.
	SpoolDir string `toml:"spool_dir"`
	// How long the client may be silent.
	Timeout Duration `toml:"timeout"`
}

// Store keeps the history of verdicts, which `postseal history`, `explain` and `/v1/verdicts`
// read. It is read at the start alone.
type Store struct {
	// `sqlite:PATH`, or `postgres://…` for several hosts. Default: `store.db` in the state
	// folder. `none` or empty keeps nothing.
	URL StoreURL `toml:"url"`
	// A file that holds the URL, so that its password is not in this one.
	URLFile string `toml:"url_file"`
	// The folder where verdicts wait for the database. Default: `journal` in the state folder.
	JournalDir string `toml:"journal_dir"`
	// Bytes of the journal. When it is full, the newest verdicts are lost, and counted.
	Journal Size `toml:"journal"`
	// How long verdicts are kept, by whole UTC days; at least 48h.
	History Duration `toml:"history"`
	// Bytes of the SQLite file. The oldest days go first.
	MaxSize Size `toml:"max_size"`
	// What is kept of the client's address once its day is over: `full`, `net` (the /24 or
	// /48) or `none`.
	IP string `toml:"ip" oneof:"full net none"`
}

// Notify tells you when something begins to go wrong, and when it is over: the DNS does not
// answer, many messages are refused or deferred, verdicts are lost, the database is away, an
// exemption is about to end. Each is told once, and once again when it is over.
type Notify struct {
	// A program with its arguments. It gets the text on standard input, and `POSTSEAL_KIND`,
	// `POSTSEAL_NAME` and `POSTSEAL_STATE` (`begins` or `over`).
	Command []string `toml:"command"`
	// A file that holds the URL to which each notification is posted as JSON. Its field `text`
	// is what chat programs show.
	WebhookFile string `toml:"webhook_file"`
	// Addresses that get a mail.
	Mail []string `toml:"mail"`
	// The sender of that mail. Default: `postseal@` and the host name.
	From string `toml:"from"`
	// Where mail is handed in.
	SmartHost Address `toml:"smart_host"`
	// How long no name server must answer.
	DNS Duration `toml:"dns"`
	// How many times the usual number of messages must be refused, or deferred, within ten
	// minutes; at least 20 messages. The usual number is that of the last day.
	Spike int `toml:"spike" min:"2" max:"1000"`
	// How long the database must be away.
	Store Duration `toml:"store"`
	// How long before its last day an exemption or rule with `until` is told of.
	Exemptions Duration `toml:"exemptions"`
}

// Bundles keeps the evidence of verdicts, so that `postseal explain` can tell of them and
// `postseal replay-bundle` run them again.
type Bundles struct {
	// The folder. Default: `bundles` in the state folder, which is `$STATE_DIRECTORY`, else
	// `/var/lib/postseal` for root, else `postseal` in `$XDG_STATE_HOME`. `none` or empty keeps
	// nothing.
	Dir string `toml:"dir"`
	// `refused`: verdicts that are not accept. `all`: every verdict.
	Keep string `toml:"keep" oneof:"refused all"`
	// Octets of all bundles. The oldest go first.
	MaxSize Size `toml:"max_size"`
	// How long a bundle is kept.
	MaxAge Duration `toml:"max_age"`
	// Keep local parts and the text of the header section too.
	Private bool `toml:"private"`
}

// Trial decides on each verdict a second time, in another way, and acts on nothing of it.
// `postseal trial` and `postseal_trial_total` show what would change.
type Trial struct {
	// The mode that is tried, of those of `enforce`. `same`: no other.
	Enforce string `toml:"enforce" oneof:"same observe quarantine guarded strict"`
	// The way to find the organization that is tried. It asks the DNS again, from the cache
	// where it can. `same`: no other.
	Discovery string `toml:"discovery" oneof:"same treewalk psl"`
}

// Log is the log on standard error.
type Log struct {
	// The least level that is written.
	Level string `toml:"level" oneof:"debug info warn error"`
	// `text`: key=value. `journal`: the same with priorities and without a time. `json`.
	// `auto`: journal under systemd, else text.
	Format string `toml:"format" oneof:"auto text journal json"`
	// Write no local parts of addresses, only domains.
	Privacy bool `toml:"privacy"`
}

// Limits bound what one message, one client and the whole daemon may use.
type Limits struct {
	// Connections of each listener at the same time; more wait.
	Connections int `toml:"connections" min:"1" max:"100000"`
	// Time from MAIL FROM to the verdict, beyond the client's own pace. What is unknown by
	// then is temperror.
	Message Duration `toml:"message"`
	// Time that messages in flight have to end after SIGTERM.
	Shutdown Duration `toml:"shutdown"`
	// Octets of a header section; a larger one is refused.
	Header Size `toml:"header"`
	// Octets of one header field.
	Field Size `toml:"field"`
	// Header fields of a message.
	Fields int `toml:"fields" min:"10" max:"100000"`
	// DNS questions of one message.
	Queries int `toml:"queries" min:"20" max:"10000"`
	// Memory that the daemon keeps to: new mail is put off with 451 as it comes near. `auto`
	// is the limit of the control group, such as `MemoryMax` or `MemoryHigh` of systemd, if
	// there is one.
	Memory Memory `toml:"memory"`
	// Octets of a message on the http listener.
	HTTPMessage Size `toml:"http_message"`
}
