//go:build e2e

package e2e

// mailbox gives the reader a Maildir of mail that mx.example.net received.
const mailbox = `
for box in ~/Maildir ~/Maildir/.Reports; do mkdir -p $box/cur $box/new $box/tmp; done
cp testdata/mail/*.eml ~/Maildir/cur/
`

// reports gives the reader an aggregate report, as a mail with the file attached and as a file.
const reports = `
cat >"$WALK/report.xml" <<'XML'
<?xml version="1.0"?>
<feedback><report_metadata><org_name>example.net</org_name><email>dmarc@example.net</email><report_id>1</report_id>
<date_range><begin>$BEGIN</begin><end>$END</end></date_range></report_metadata>
<policy_published><domain>acme.test</domain><p>none</p></policy_published>
<record><row><source_ip>192.0.2.25</source_ip><count>5</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>pass</spf></policy_evaluated></row>
<identifiers><header_from>acme.test</header_from><envelope_from>acme.test</envelope_from></identifiers>
<auth_results><dkim><domain>acme.test</domain><selector>s2026</selector><result>pass</result></dkim><spf><domain>acme.test</domain><scope>mfrom</scope><result>pass</result></spf></auth_results></record></feedback>
XML
end=$(( $(date +%s) / 86400 * 86400 ))
sed -i "s/\$BEGIN/$((end - 86400))/; s/\$END/$((end - 1))/" "$WALK/report.xml"
gzip "$WALK/report.xml"
mkdir -p ~/Maildir/.Reports/cur ~/dmarc-reports
cp "$WALK/report.xml.gz" ~/dmarc-reports/
{
	printf 'From: dmarc@example.net\nTo: dmarc@acme.test\nSubject: Report Domain: acme.test\nDate: %s\nMIME-Version: 1.0\n' "$(date -R)"
	printf 'Content-Type: application/gzip\nContent-Transfer-Encoding: base64\n\n'
	base64 "$WALK/report.xml.gz"
} >~/Maildir/.Reports/cur/1
mv "$WALK/report.xml.gz" "$WALK/example.net!acme.test!1795910400!1795996799.xml.gz"
`

// receives: an honest message and a forgery from the internet are delivered with their results; a
// daemon that enforces rejects the forgery.
const receives = `
attempt() {
	timeout 60 swaks --server 198.51.100.9 --local-interface 203.0.113.7 --helo host-7.cheap.example --from $1 --h-From $1 --to me@example.net >/tmp/swaks.log 2>&1
}
for from in ann@cheap.example security@bank.test; do
	attempt $from || { cat /tmp/swaks.log; exit 1; }
done
for _ in $(seq 200); do [ "$(grep -cs '^Authentication-Results: mx.example.net' $box)" = 2 ] && break; sleep 0.05; done
[ "$(grep -c '^Authentication-Results: mx.example.net' $box)" = 2 ] || { cat $box; exit 1; }
grep -q 'dmarc=fail' $box
sed -i 's/observe/guarded/' /etc/postseal/postseal.toml
systemctl restart postseal
if attempt security@bank.test; then cat /tmp/swaks.log; exit 1; fi
grep -q '550[- ]5.7.26' /tmp/swaks.log || { cat /tmp/swaks.log; exit 1; }
attempt ann@cheap.example
`

const noPostgreSQL = "the hosts of a fleet share a PostgreSQL, and this one has none; make fleet starts one"

// oneRef: a forged message came in, and its reference is in /tmp/ref.
const oneRef = "configured '[bundles]\nkeep = \"refused\"'\nforge\n"

var refOf = map[string]string{"7KQ2-9F3M": "/tmp/ref"}

// walks are the pages that show commands.
var walks = map[string]pageWalk{
	"README.md": {
		in:     "repository",
		before: "rm -rf /var/lib/postseal /etc/postseal dist\npostfix start\nmkdir -p ~/Maildir/cur; cp testdata/mail/*.eml ~/Maildir/cur/\ncp /etc/postfix/main.cf /tmp/main.cf.before\n",
		after: `
			swaks --server 198.51.100.9 --local-interface 203.0.113.7 --helo host-7.cheap.example --from security@bank.test --h-From security@bank.test --to me@example.net >/tmp/swaks.log || { cat /tmp/swaks.log; exit 1; }
			for _ in $(seq 200); do grep -qs 'dmarc=fail' ~me/Maildir/new/* && break; sleep 0.05; done
			grep -q '^Authentication-Results: mx.example.net' ~me/Maildir/new/*
			postseal explain "$(sed -n 's/.* ref=\([0-9A-Z]*\) door=milter verdict=reject.*/\1/p' /var/lib/postseal/quickstart.log)" | grep -q bank.test
			dpkg --purge postseal # runs quickstart --undo
			cmp /etc/postfix/main.cf /tmp/main.cf.before
			test ! -e /etc/postseal; test ! -e /var/lib/postseal; ! getent passwd postseal`,
		skip: map[string]string{
			"go test ./...":  "it is the first step of .ci/run",
			"postseal serve": "the daemon that quickstart --apply started has its listeners",
		},
		exit:   map[string]int{"postseal verify --received-by": 1, "go run ./cmd/postseal lint": 1, "go run ./cmd/postseal spf tree": 1},
		output: map[string]string{"sudo postseal quickstart --apply": "milter answers", "postseal doctor": "asks the milter"},
	},
	"audit-in-ci.md": {
		before: "installed\ngit -C $WALK init -q\nmkdir $WALK/zones\ncp lab/e2e/testdata/machine/example.com.zone $WALK/zones/\necho example.com >$WALK/domains.txt\n",
	},
	"audit.md": {
		before: "installed\n" + mailbox + reports + `
			printf 's1\ns2 example.com\n' >$WALK/selectors.txt; printf 'example.com\n# comment\nacme.test\n' >$WALK/domains.txt
			cp lab/e2e/testdata/machine/example.com.zone $WALK/; cat testdata/mail/*.eml >$WALK/archive.mbox
			configured; forge`,
	},
	"bug-report.md": {
		before: "installed\ncp testdata/mail/forged.eml $WALK/a.eml\n",
		exit:   map[string]int{"postseal verify": 1},
	},
	"console.md": {
		before: "configured\n",
		config: map[int]string{0: "", 1: ""},
		skip:   map[string]string{"ssh": "there is no second host"},
		input:  map[string]string{"postseal ui user ann": "correct horse battery\n"},
		output: map[string]string{"sudo postseal ui": "http://127.0.0.1:8896/login?code="},
	},
	"differential.md": {
		in: "repository",
		skip: map[string]string{
			"go test ./lab/differential": "it takes hours; .ci/run makes fewer cases",
			"POSTSEAL_SUITES=":           "the repository has no such directory; .ci/run runs lab/suites without",
		},
	},
	"enforce-your-domain.md": {
		before: "configured\n" + reports + "postseal report read ~/dmarc-reports\n",
		config: map[int]string{0: ""},
	},
	"exempt-and-rules.md": {
		before:  oneRef,
		replace: refOf,
		output:  map[string]string{"postseal exempt": "[[exempt]]"},
	},
	"exim.md": {
		packages: []string{"exim4-config", "exim4-base", "exim4-daemon-light", "libidn12"},
		before: `
			DEBIAN_FRONTEND=noninteractive dpkg -i --force-all $POSTSEAL_PACKAGES/*.deb >/tmp/dpkg.log 2>&1 || { cat /tmp/dpkg.log; exit 1; }
			sed -i "s/^dc_eximconfig_configtype=.*/dc_eximconfig_configtype='internet'/; s/^dc_other_hostnames=.*/dc_other_hostnames='mx.example.net ; example.net'/; /^dc_local_interfaces=/d" /etc/exim4/update-exim4.conf.conf
			installed`,
		blocks: map[int]string{0: ">/etc/exim4/update-exim4.conf.conf", 1: "/etc/exim4/exim4.conf.localmacros", 2: "/etc/systemd/system/postseal-smtp.socket"},
		config: map[int]string{0: ""},
		exit:   map[string]int{"swaks": 24},
		output: map[string]string{"swaks": "550 relay not permitted"},
		after:  "box=/var/mail/me\n" + receives,
	},
	"explain.md": {
		before:  "configured\ncp testdata/mail/list.eml $WALK/a.eml\n",
		config:  map[int]string{0: ""},
		then:    "forge\n",
		replace: refOf,
		exit:    map[string]int{"postseal verify": 1},
	},
	"fleet.md": {
		before: "configured\n",
		skip: map[string]string{
			"postseal store copy": noPostgreSQL, "postseal config push": noPostgreSQL, "postseal config history": noPostgreSQL, "postseal config rollback": noPostgreSQL,
			"postseal audit -f domains.txt --fleet": noPostgreSQL, "postseal worker": noPostgreSQL, "postseal replay --fleet": noPostgreSQL,
		},
	},
	"history.md": {
		before:  oneRef + "forge a@acme.test\n" + mailbox + "mkdir -p /var/backups\n",
		replace: refOf,
		during:  map[string]string{"postseal tail": "sleep 1; kill -INT $child; wait $child"},
		skip:    map[string]string{"postseal history 'messageid:": "TestMessageID types it", "postseal explain '<": "TestMessageID types it"},
		output:  map[string]string{"postseal history ip:": "", "postseal history --store": "bank.test"},
	},
	"migrate.md": {
		before: "installed\nmkdir -p /etc/postfix-policyd-spf-python\ncp internal/app/migrate/testdata/opendkim.conf internal/app/migrate/testdata/opendmarc.conf /etc/\ncp internal/app/migrate/testdata/policyd-spf.conf /etc/postfix-policyd-spf-python/\n",
	},
	"policy-service.md": {
		before: "installed\npostfix start\n",
		output: map[string]string{"printf": "action=PREPEND Received-SPF: "},
	},
	"postfix-milter.md": {
		before: "installed\npostfix start\n",
		config: map[int]string{0: ""},
		output: map[string]string{"postseal doctor": "milter answers", "swaks": "250 2.0.0 Ok"},
	},
	"read-reports.md": {
		before: "configured\n" + reports,
		skip:   map[string]string{"postseal report read imaps:": "TestIMAP reads from a dovecot"},
		config: map[int]string{0: ""},
		output: map[string]string{"postseal report summary": "acme.test"},
	},
	"send-reports.md": {
		before: oneRef,
		config: map[int]string{0: ""},
		skip: map[string]string{
			"postseal report show":         "TestReports sends reports through this program and Postfix; here no day has ended",
			"postseal report send --again": "as report show",
		},
	},
	"sendmail.md": {
		packages: []string{"sendmail-base", "sendmail-bin", "sendmail-cf", "m4", "make", "liblockfile1", "lockfile-progs", "sensible-mda", "procmail"},
		before: `
			DEBIAN_FRONTEND=noninteractive timeout 200 dpkg -i --force-all $POSTSEAL_PACKAGES/*.deb >/tmp/dpkg.log 2>&1 </dev/null || { tail -40 /tmp/dpkg.log; exit 1; }
			sed -i 's/, Addr=127.0.0.1//' /etc/mail/sendmail.mc
			feature=$(printf 'FEATURE(\140accept_unresolvable_domains\047)dnl')
			sed -i "/^MAILER_DEFINITIONS/i $feature" /etc/mail/sendmail.mc
			printf 'example.net\nmx.example.net\n' >>/etc/mail/local-host-names
			rm -f /usr/sbin/postconf /usr/sbin/postfix # which this package would have removed
			installed`,
		blocks: map[int]string{0: ">/etc/mail/sendmail.mc"},
		config: map[int]string{0: ""},
		after:  "box=/var/mail/me\n" + receives,
	},
	"try-before-you-enforce.md": {
		before: "configured\n" + mailbox,
		config: map[int]string{0: ""},
	},
}
