package differential

import (
	"fmt"
	"strings"
)

// publish puts the key record of a signature into the zone, with or without faults.
func (m *dkimMaker) publish(key *testKey, name string) {
	record := m.keyRecord(key)
	switch m.weighted(84, 2, 2, 2, 3, 2, 2, 3) {
	case 1:
		return // NXDOMAIN
	case 2:
		m.zone.Fault[strings.ToLower(name)+" TXT"] = pick(m.random, []string{"SERVFAIL", "TIMEOUT"})
	case 3:
		m.zone.Add(name, "A", "192.0.2.1") // NODATA
		return
	case 4:
		m.zone.Add(name, "TXT", pick(m.random, []string{"v=spf1 -all", record, "v=DKIM1; p=", "nonsense"}))
	case 5:
		other := pick(m.random, []*testKey{m.keys.rsa[0], m.keys.rsa[1], m.keys.ed25519[0]})
		record = "v=DKIM1; k=" + other.kind + "; p=" + other.public(false)
	case 6:
		m.zone.RR[strings.ToLower(name)] = map[string][]string{"CNAME": {"alias." + strings.ToLower(name)}}
		name = "alias." + name
	case 7:
		record = m.brokenRecord(key)
	}
	m.zone.Add(name, "TXT", record)
}

// keyRecord is a record that should do.
func (m *dkimMaker) keyRecord(key *testKey) string {
	var tags []string
	if m.chance(85) {
		tags = append(tags, "v=DKIM1")
	}
	if key.kind != "rsa" || m.chance(60) {
		tags = append(tags, "k="+key.kind)
	}
	for _, tag := range []string{"h=sha256", "s=email", "s=*", "t=y", "n=a note", "g=*", "h=sha1:sha256", "s=email:x", "x=y", "t=y:z"} {
		if m.chance(4) && !hasTag(tags, tag[:1]) {
			tags = append(tags, tag)
		}
	}
	tags = append(tags, "p="+key.public(m.chance(10)))
	return strings.Join(tags, pick(m.random, []string{"; ", "; ", ";", " ; "})) + pick(m.random, []string{"", "", ";", "; "})
}

func hasTag(tags []string, name string) bool {
	for _, t := range tags {
		if strings.HasPrefix(t, name+"=") {
			return true
		}
	}
	return false
}

// brokenRecord breaks a rule of RFC 6376 §3.6.1, or comes close to it.
func (m *dkimMaker) brokenRecord(key *testKey) string {
	k, p := "k="+key.kind+"; ", "p="+key.public(false)
	half := len(p) / 2
	return pick(m.random, []string{
		"v=DKIM1; " + k + "p=",
		"v=DKIM1; " + k + "p=; " + "n=x",
		k + p + "; v=DKIM1",
		"v=DKIM2; " + k + p,
		"v=dkim1; " + k + p,
		"v=DKIM1; k=dsa; " + p,
		"v=DKIM1; " + k + "h=sha1; " + p,
		"v=DKIM1; " + k + "s=tlsrpt; " + p,
		"v=DKIM1; " + k + "t=s; " + p,
		"v=DKIM1; " + k + "t=y:s; " + p,
		"v=DKIM1; " + k + p + "; " + p,
		"v=DKIM1; " + k,
		"v=DKIM1 " + k + p,
		"v=DKIM1; " + k + p[:half],
		"v=DKIM1; " + k + p[:half] + " " + p[half:],
		"v=DKIM1; " + k + p[:half] + "\r\n\t" + p[half:],
		"v=DKIM1; " + k + p[:half] + "!" + p[half:],
		"v=DKIM1; " + k + "p=AAAA",
		"v=DKIM1;; " + k + p,
		"v=DKIM1; " + k + "g=; " + p,
		" v = DKIM1 ; " + k + strings.Replace(p, "=", " = ", 1),
		"V=DKIM1; " + k + p,
		"v=DKIM1; K=x; " + k + p,
		p,
		"",
	})
}

// mutate changes the message after it was signed.
func (m *dkimMaker) mutate() {
	switch m.weighted(12, 12, 12, 10, 10, 10, 10, 12, 12) {
	case 0:
		m.body += pick(m.random, []string{"\r\n", "\r\n\r\n", " ", "footer\r\n", ".", " \r\n", "\t\r\n\r\n"})
	case 1:
		m.body = m.octet(m.body)
	case 2:
		i := m.IntN(len(m.fields))
		m.fields[i] = m.octetBehindColon(m.fields[i])
	case 3:
		field := pick(m.random, []string{"From: evil <e@evil.test>", "Subject: another", "X-Odd: new", "Received: by z", "To: more"})
		at := []int{0, m.IntN(len(m.fields) + 1), len(m.fields)}[m.IntN(3)]
		m.fields = append(m.fields[:at:at], append([]string{field}, m.fields[at:]...)...)
	case 4:
		if i := m.IntN(len(m.fields)); fieldName(m.fields[i]) != "from" && len(m.fields) > 1 {
			m.fields = append(m.fields[:i:i], m.fields[i+1:]...)
		}
	case 5:
		i, j := m.IntN(len(m.fields)), m.IntN(len(m.fields))
		m.fields[i], m.fields[j] = m.fields[j], m.fields[i]
	case 6:
		m.respace(m.IntN(len(m.fields)))
	case 7:
		m.body = pick(m.random, []string{strings.ReplaceAll(m.body, "  ", " "), strings.ReplaceAll(m.body, "\r\n", " \r\n"), strings.ReplaceAll(m.body, " ", "\t"),
			strings.TrimRight(m.body, "\r\n"), "\r\n" + m.body, strings.ToUpper(m.body), ""})
	case 8:
		m.mutateSignature()
	}
}

// respace refolds a field, or changes the case of its name.
func (m *dkimMaker) respace(i int) {
	f := m.fields[i]
	m.fields[i] = pick(m.random, []string{strings.ReplaceAll(f, "\r\n", ""), strings.ReplaceAll(f, "\r\n\t", "\r\n "), strings.Replace(f, " ", "  ", 1),
		strings.Replace(f, ": ", ":", 1), f + " ", strings.ToUpper(f[:1]) + f[1:], strings.ToLower(f[:strings.IndexByte(f, ':')]) + f[strings.IndexByte(f, ':'):]})
}

func (m *dkimMaker) mutateSignature() {
	for i, f := range m.fields {
		if fieldName(f) != "dkim-signature" {
			continue
		}
		switch m.IntN(5) {
		case 0:
			m.fields[i] = m.octetBehindColon(f)
		case 1:
			m.fields[i] = f + ";"
		case 2:
			m.fields[i] = f + fmt.Sprintf("; x%d=y", m.IntN(3))
		case 3:
			m.respace(i)
		case 4:
			m.fields[i] = strings.Replace(f, "; ", ";\r\n\t", 1)
		}
		return
	}
}

// octet changes one octet of s; line endings stay.
func (m *dkimMaker) octet(s string) string {
	if s == "" {
		return "x"
	}
	i := m.IntN(len(s))
	if s[i] == '\r' || s[i] == '\n' {
		return s
	}
	return s[:i] + string("aZ0 \t.=;~"[m.IntN(9)]) + s[i+1:]
}

func (m *dkimMaker) octetBehindColon(f string) string {
	name, value, _ := strings.Cut(f, ":")
	changed := m.octet(value)
	if strings.Contains(changed, "\r\n\r\n") || strings.Contains(strings.ReplaceAll(strings.ReplaceAll(changed, "\r\n ", ""), "\r\n\t", ""), "\r\n") {
		return f // that would be another header section
	}
	return name + ":" + changed
}
