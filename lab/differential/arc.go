package differential

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"postseal/arc"
)

// ARCCase is a message with an Authenticated Received Chain.
type ARCCase struct {
	ID      int       `json:"id"`
	Kind    string    `json:"kind"`
	Message []byte    `json:"message"`
	Now     time.Time `json:"now"`
	Zone    *Zone     `json:"zone"`
}

// Validate is our verdict.
func (c *ARCCase) Validate(ctx context.Context) (arc.Result, error) {
	v := arc.Verifier{Resolver: c.Zone, Now: func() time.Time { return c.Now }}
	return v.Verify(ctx, bytes.NewReader(c.Message))
}

// arcMaker makes one case out of the message of a dkimMaker.
type arcMaker struct {
	dkimMaker
	sets [][3]string // the fields of each instance: AAR, AMS, AS
}

// MakeARC makes case number n of a seed.
func MakeARC(keys *testKeys, seed uint64, n int) *ARCCase {
	m := &arcMaker{dkimMaker: dkimMaker{random: newRandom(seed, uint64(n)), keys: keys, zone: NewZone()}}
	m.header()
	m.makeBody()
	if !strings.HasSuffix(m.body, "\r\n") {
		m.body += "\r\n"
	}
	for i := range []int{0, 1, 1, 1, 2, 2, 3, 4}[m.IntN(8)] {
		m.seal(i + 1)
		if m.chance(15) && m.chance(60) { // a hop that changes the message breaks older signatures only
			m.body += "footer\r\n"
		}
	}
	if m.chance(45) {
		m.spoilChain()
	}
	for _, set := range m.sets {
		m.fields = append([]string{set[2], set[1], set[0]}, m.fields...)
	}
	m.fields = slices.DeleteFunc(m.fields, func(f string) bool { return f == "" })
	if m.chance(15) {
		m.mutate()
	}
	return &ARCCase{ID: n, Kind: "arc", Message: m.message(), Now: caseTime, Zone: m.zone}
}

// seal adds one ARC Set.
func (m *arcMaker) seal(instance int) {
	key := pick(m.random, []*testKey{m.keys.rsa[0], m.keys.rsa[0], m.keys.rsa[1]})
	d, s := pick(m.random, dkimDomains), fmt.Sprintf("arc%d", instance)
	if !m.chance(92) {
		m.publish(key, s+"._domainkey."+d)
	} else {
		m.zone.Add(s+"._domainkey."+d, "TXT", "v=DKIM1; k=rsa; p="+key.public(false))
	}
	aar := fmt.Sprintf("ARC-Authentication-Results: i=%d; mx%d.test; spf=pass smtp.mailfrom=a.test;\r\n dkim=none", instance, instance)
	m.sets = append(m.sets, [3]string{aar, m.messageSignature(key, instance, d, s), ""})
	cv := "pass"
	if instance == 1 {
		cv = "none"
	}
	if m.chance(6) {
		cv = pick(m.random, []string{"none", "pass", "fail", "Pass", ""})
	}
	m.sets[instance-1][2] = m.chainSeal(key, instance, d, s, cv)
}

// messageSignature is the AMS (RFC 8617 §4.1.2).
func (m *arcMaker) messageSignature(key *testKey, instance int, d, s string) string {
	canonical := pick(m.random, []string{"relaxed/relaxed", "relaxed/relaxed", "relaxed/simple", "simple/simple", ""})
	names := []string{"From", "Date"}
	for _, n := range signedNames {
		if m.chance(40) && n != "x.y~z" {
			names = append(names, n)
		}
	}
	relaxedHeader, relaxedBody := strings.HasPrefix(canonical, "relaxed"), strings.HasSuffix(canonical, "/relaxed")
	sum := sha256.Sum256([]byte(bodyForm(m.body, relaxedBody)))
	tags := fmt.Sprintf("i=%d; a=rsa-sha256; d=%s; s=%s;\r\n h=%s;\r\n bh=%s;", instance, d, s, strings.Join(names, ":"), base64.StdEncoding.EncodeToString(sum[:]))
	if canonical != "" {
		tags += " c=" + canonical + ";"
	}
	if m.chance(30) {
		tags += " t=1700000000;"
	}
	own := "ARC-Message-Signature: " + tags + "\r\n b="
	var b strings.Builder
	for _, f := range selectFields(m.fields, names) {
		b.WriteString(headerForm(f, relaxedHeader))
	}
	b.WriteString(strings.TrimSuffix(headerForm(own, relaxedHeader), "\r\n"))
	digest := sha256.Sum256([]byte(b.String()))
	return own + m.folded(base64.StdEncoding.EncodeToString(key.sign(digest[:])))
}

// chainSeal is the AS: it signs all sets in order, itself without b= at the end (RFC 8617
// §5.1.1).
func (m *arcMaker) chainSeal(key *testKey, instance int, d, s, cv string) string {
	own := fmt.Sprintf("ARC-Seal: i=%d; a=rsa-sha256; d=%s; s=%s; cv=%s;%s b=", instance, d, s, cv, pick(m.random, []string{"", " t=1700000000;", "\r\n\tt=1700000000;\r\n"}))
	var b strings.Builder
	for i, set := range m.sets {
		b.WriteString(headerForm(set[0], true) + headerForm(set[1], true))
		if i < instance-1 {
			b.WriteString(headerForm(set[2], true))
		}
	}
	b.WriteString(strings.TrimSuffix(headerForm(own, true), "\r\n"))
	digest := sha256.Sum256([]byte(b.String()))
	return own + m.folded(base64.StdEncoding.EncodeToString(key.sign(digest[:])))
}

// spoilChain changes the sets after they were sealed.
func (m *arcMaker) spoilChain() {
	if len(m.sets) == 0 {
		return
	}
	i, k := m.IntN(len(m.sets)), m.IntN(3)
	field := &m.sets[i][k]
	switch m.IntN(7) {
	case 0:
		*field = "" // a missing field
	case 1:
		m.fields = append(m.fields, *field) // one twice
	case 2:
		*field = strings.Replace(*field, fmt.Sprintf("i=%d", i+1), "i="+pick(m.random, []string{"0", "51", "x", "", "01", fmt.Sprint(i + 2)}), 1)
	case 3:
		*field = m.octetBehindColon(*field)
	case 4:
		m.body += "changed\r\n"
	case 5:
		m.sets = m.sets[1:] // the first set is gone
	case 6:
		*field = strings.Replace(*field, "; ", ";", 1)
	}
}

// arcJob is a case with our verdict.
type arcJob struct {
	*ARCCase
	ours arc.Result
}

func newARCJob(c *ARCCase) *arcJob {
	j := &arcJob{ARCCase: c}
	j.ours, _ = c.Validate(context.Background())
	return j
}

func (j *arcJob) number() int                { return j.ID }
func (j *arcJob) library() (string, verdict) { return "", verdict{} }

func (j *arcJob) compare(verifier string, a Answer) verdict {
	view := &arcView{arcJob: j, verifier: verifier, theirs: a.Results[0], detail: a.detail(0)}
	if view.theirs == "invalid" { // Mail::DKIM says so of a chain that it cannot verify
		view.theirs = "fail"
	}
	if view.theirs == string(j.ours.Code) {
		return verdict{agrees: true}
	}
	for i := range arcClasses {
		c := &arcClasses[i]
		if slices.Contains(c.verifiers, verifier) && c.applies(view) {
			return verdict{class: c.ID}
		}
	}
	return verdict{text: fmt.Sprintf("case %d: theirs %s (%s), ours %s %s (%s) set %d: %q; zone %v %v", j.ID, view.theirs, view.detail, j.ours.Code, j.ours.Reason, j.ours.Problem, j.ours.Instance, j.Message, j.Zone.RR, j.Zone.Fault)}
}

// arcView is what a class may look at.
type arcView struct {
	*arcJob
	verifier string
	theirs   string
	detail   string
}
