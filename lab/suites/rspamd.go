package suites

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"postseal"
	"postseal/resolver"
)

// The functional tests of rspamd: Robot Framework scripts that scan messages and name the
// symbols wanted, and configurations that hold the DNS.
var (
	rspamdScripts = []string{"116_dkim.robot", "001_merged/115_dmarc.robot", "001_merged/117_spf.robot"}
	rspamdZones   = []string{"plugins.conf", "merged-local.conf"}

	rspamdRecord  = regexp.MustCompile(`\{\s*(?:#[^\n]*\n\s*)*name\s*=\s*"([^"]+)"\s*[,;][^\n]*?\s*type\s*=\s*"?(\w+)"?\s*[,;]\s*(?:replies\s*=\s*\[([^\]]*)\]|rcode\s*=\s*['"](\w+)['"])`)
	rspamdReply   = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"`)
	rspamdScan    = regexp.MustCompile(`^  Scan File  (\S+)$`)
	rspamdOption  = regexp.MustCompile(`\b(IP|From|Helo)=(\S+)`)
	rspamdExpect  = regexp.MustCompile(`^  (Do Not )?Expect Symbol(?: With \S+(?: \S+)*)?  (\w+)`)
	rspamdSymbols = map[string]string{
		"R_DKIM_PERMFAIL": "dkim=permerror", "R_DKIM_TEMPFAIL": "dkim=temperror", "R_DKIM_ALLOW": "dkim=pass", "R_DKIM_REJECT": "dkim=fail", "R_DKIM_NA": "dkim=none",
		"R_SPF_FAIL": "spf=fail", "R_SPF_ALLOW": "spf=pass", "R_SPF_PLUSALL": "spf=pass", "R_SPF_NA": "spf=none", "R_SPF_PERMFAIL": "spf=permerror", "R_SPF_DNSFAIL": "spf=temperror",
		"DMARC_POLICY_ALLOW": "dmarc=pass", "DMARC_POLICY_SOFTFAIL": "dmarc=fail none", "DMARC_POLICY_REJECT": "dmarc=fail reject",
		"DMARC_POLICY_QUARANTINE": "dmarc=fail quarantine", "DMARC_NA": "dmarc=none", "DMARC_DNSFAIL": "dmarc=temperror",
	}
	rspamdTime = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC) // some keys and signatures end later
)

// readRspamd reads each scan with a symbol that has a result for us; a case is named by
// its test, and by a number where a test scans more than once.
func readRspamd(dir string) ([]Case, error) {
	root := filepath.Join(dir, "test/functional")
	zone, err := rspamdZone(filepath.Join(root, "configs"))
	if err != nil {
		return nil, err
	}
	var scans []*rspamdCase
	for _, script := range rspamdScripts {
		data, err := os.ReadFile(filepath.Join(root, "cases", script))
		if err != nil {
			return nil, err
		}
		scans = append(scans, rspamdScript(string(data), root, zone)...)
	}
	var cases []Case
	for _, c := range scans {
		if c.complete() {
			cases = append(cases, Case{c.name, c.problem})
		}
	}
	return cases, nil
}

type rspamdCase struct {
	name   string
	file   string // "" where the script makes it
	ip     netip.Addr
	helo   string
	sender string
	want   []string // results, such as spf=fail
	avoid  []string // results that must not come
	zone   *Zone
}

// complete reports whether the case can be run here, and wants something: a result of SPF
// needs a client, which some take from the configuration.
func (c *rspamdCase) complete() bool {
	all := slices.Concat(c.want, c.avoid)
	spf := slices.ContainsFunc(all, func(w string) bool { return strings.HasPrefix(w, "spf=") })
	return c.file != "" && len(all) > 0 && (c.ip.IsValid() || !spf)
}

func rspamdScript(text, root string, zone *Zone) []*rspamdCase {
	var scans []*rspamdCase
	test, n := "", 0
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch m := rspamdScan.FindStringSubmatch(line); {
		case line != "" && line[0] != ' ':
			test, n = line, 0
			continue
		case m != nil:
			n++
			c := &rspamdCase{name: test, zone: zone}
			if n > 1 {
				c.name += " " + strconv.Itoa(n)
			}
			if file, ok := strings.CutPrefix(m[1], "${RSPAMD_TESTDIR}/"); ok {
				c.file = filepath.Join(root, file)
			} else if m[1] == os.DevNull {
				c.file = m[1]
			}
			scans = append(scans, c)
			continue
		case n == 0:
			continue
		}
		scans[len(scans)-1].read(line)
	}
	return scans
}

// read takes a line behind "Scan File": options of the scan, or what must come out.
func (c *rspamdCase) read(line string) {
	for _, o := range rspamdOption.FindAllStringSubmatch(line, -1) {
		switch o[1] {
		case "IP":
			c.ip, _ = netip.ParseAddr(o[2])
		case "From":
			c.sender = strings.Trim(o[2], "<>")
		case "Helo":
			c.helo = o[2]
		}
	}
	if m := rspamdExpect.FindStringSubmatch(line); m != nil && rspamdSymbols[m[2]] != "" {
		if m[1] == "" {
			c.want = append(c.want, rspamdSymbols[m[2]])
		} else {
			c.avoid = append(c.avoid, rspamdSymbols[m[2]])
		}
	}
}

func (c *rspamdCase) problem(ctx context.Context) string {
	msg, err := os.ReadFile(c.file)
	if err != nil {
		return err.Error()
	}
	v, err := postseal.New(postseal.Config{Resolver: c.zone, Now: func() time.Time { return rspamdTime }})
	if err != nil {
		return err.Error()
	}
	var conn postseal.Conn
	if c.ip.IsValid() {
		conn.Remote = netip.AddrPortFrom(c.ip, 25)
	}
	r, err := postseal.VerifyReader(ctx, v, conn, cmp.Or(c.helo, "mx.test.example"), c.sender, strings.NewReader(crlf(string(msg))))
	if err != nil {
		return err.Error()
	}
	got := results(r)
	for _, w := range c.want {
		if !slices.Contains(got, w) {
			return fmt.Sprintf("got %s, want %s", strings.Join(got, ", "), w)
		}
	}
	for _, w := range c.avoid {
		if slices.Contains(got, w) {
			return fmt.Sprintf("got %s", w)
		}
	}
	return ""
}

// results lists what a report says, in the form of rspamdSymbols.
func results(r *postseal.Report) []string {
	var got []string
	if len(r.SPF) > 0 {
		got = append(got, "spf="+string(r.SPF[0].Code))
	}
	for _, s := range r.DKIM {
		got = append(got, "dkim="+string(s.Result))
	}
	if len(r.DKIM) == 0 {
		got = append(got, "dkim=none")
	}
	dmarc := "dmarc=" + string(r.DMARC.Result)
	if dmarc == "dmarc=fail" {
		dmarc += " " + string(r.DMARC.Policy)
	}
	return append(got, dmarc)
}

func rspamdZone(dir string) (*Zone, error) {
	zone := textZone(nil)
	for _, name := range rspamdZones {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		for _, m := range rspamdRecord.FindAllSubmatch(data, -1) {
			zone.rspamdRecord(strings.ToLower(string(m[1])), strings.ToUpper(string(m[2])), string(m[3]), string(m[4]))
		}
	}
	return zone, nil
}

// rspamdRecord takes the replies to one question; the last ones count.
func (z *Zone) rspamdRecord(name, kind, replies, rcode string) {
	t := map[string]resolver.Type{"TXT": resolver.TXT, "A": resolver.A, "AAAA": resolver.AAAA, "MX": resolver.MX, "PTR": resolver.PTR}[kind]
	switch {
	case t == 0:
		return
	case rcode == "timeout" || rcode == "servfail":
		z.failures[name+" "+kind] = resolver.Timeout
		return
	case rcode == "nxdomain":
		return
	case z.records[name] == nil:
		z.records[name] = map[resolver.Type][]resolver.RR{}
	}
	z.records[name][t] = nil
	for _, m := range rspamdReply.FindAllStringSubmatch(replies, -1) {
		rr := resolver.RR{Text: m[1], Target: target(m[1])}
		switch t {
		case resolver.A, resolver.AAAA:
			rr.Addr, _ = netip.ParseAddr(m[1])
		case resolver.MX:
			_, host, _ := strings.Cut(m[1], " ")
			rr.Target = target(host)
		}
		z.records[name][t] = append(z.records[name][t], rr)
	}
}
