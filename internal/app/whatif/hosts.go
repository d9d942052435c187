package whatif

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"postseal"
	"postseal/internal/app/conf"
	"postseal/internal/app/fleet"
	"postseal/store"
)

// Host is one of the hosts that share a database, in a Report.
type Host struct {
	Name     string `json:"name"`
	Messages int    `json:"messages"` // that were seen
	More     bool   `json:"more,omitempty"`
	// Unseen is why nothing of its evidence was seen, "" if it was; Missing is how many of its messages of the
	// period the history has then, without the accepted ones where the evidence has none, and AtLeast says that
	// they were not all counted.
	Unseen  string `json:"unseen,omitempty"`
	Missing int    `json:"missing,omitempty"`
	AtLeast bool   `json:"at_least,omitempty"`
}

// HostNotes say in words which hosts' evidence was seen, and which was not. Nothing is said of a host that shares nothing.
func (r *Report) HostNotes(number func(int) string) (notes []string) {
	var seen []string
	for i := range r.Hosts {
		if h := &r.Hosts[i]; h.Unseen == "" {
			seen = append(seen, fmt.Sprintf("%s (%s)", h.Name, number(h.Messages)))
		}
	}
	if len(seen) > 0 {
		notes = append(notes, "Messages seen by host: "+strings.Join(seen, ", ")+".")
	}
	for i := range r.Hosts {
		h := &r.Hosts[i]
		if h.Unseen == "" {
			continue
		}
		most := map[bool]string{true: "at least "}[h.AtLeast]
		notes = append(notes, fmt.Sprintf("Not seen: messages of %s (%s%s): %s.", h.Name, most, number(h.Missing), h.Unseen))
	}
	if r.Unasked != "" {
		notes = append(notes, "The messages of other hosts were not seen: "+r.Unasked+".")
	}
	return notes
}

// spec is a comparison as it is given to the hosts. The policies are those of the host that asks.
type spec struct {
	Since time.Time `json:"since"`
	A     side      `json:"a"`
	B     side      `json:"b"`
}

// side is a policy; without a configuration, what was done.
type side struct {
	Name   string `json:"name"`
	Config string `json:"config,omitempty"`
}

func sideOf(p *Policy) (s side, err error) {
	if p.config == nil {
		return side{Name: p.Name}, nil
	}
	text, err := p.config.Verdicts()
	return side{p.Name, string(text)}, err
}

func (s *side) policy() (Policy, error) {
	if s.Config == "" {
		return Policy{Name: s.Name}, nil
	}
	c, _, err := conf.Parse("configuration of the comparison", []byte(s.Config), time.Now())
	if err != nil {
		return Policy{}, err
	}
	return Configured(s.Name, c), nil
}

// Answer does the part of this host for a comparison of another one, and returns the result as text. The error is
// that of ctx.
func Answer(ctx context.Context, c *fleet.Chunk, b conf.Bundles) (string, error) {
	p, err := answer(ctx, c, b)
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		p = &Part{Error: err.Error()}
	}
	text, err := json.Marshal(p)
	return string(text), err
}

func answer(ctx context.Context, c *fleet.Chunk, b conf.Bundles) (*Part, error) {
	if c.Attempts > fleet.MaxAttempts {
		return &Part{Error: "it ended each time"}, nil
	}
	var s spec
	if err := json.Unmarshal([]byte(c.Work.Spec), &s); err != nil {
		return nil, err
	}
	o := Options{Dir: b.Dir, Since: s.Since, Accepted: b.Keep == "all"}
	var err error
	if o.A, err = s.A.policy(); err != nil {
		return nil, err
	}
	if o.B, err = s.B.policy(); err != nil {
		return nil, err
	}
	return LookIf(ctx, o)
}

// Hosts are those that share a database.
type Hosts struct {
	DB    *fleet.DB
	Store store.Reader
	Name  string         // of this host
	Self  string         // its instance, "" if its daemon is to be asked for the evidence
	Wait  func([]string) // if not nil, is told the hosts that the comparison waits for
}

// asked is a host with what it answered.
type asked struct {
	Host
	node   store.Node
	work   string // "" if it cannot be asked
	part   *Part
	failed int // questions in a row
}

// askEvery is the pace of questions for the parts of others, maxFailed how many of them may fail in a row.
const (
	askEvery  = 250 * time.Millisecond
	maxFailed = 40
)

// Why hosts were not asked.
const (
	noAnswer = "the database does not answer"
	noWork   = "the database takes no writes"
)

// Compare compares the policies with the evidence of all hosts: each looks at its own. What others did for the same comparison in
// the same minute is used again. The error is that of ctx, or of the evidence of this host.
func (x *Hosts) Compare(ctx context.Context, o Options) (*Report, error) {
	o.Since = o.Since.UTC().Truncate(time.Minute)
	r := o.report()
	others, failed := x.ask(ctx, &o)
	if failed != nil {
		r.Unasked = map[bool]string{true: noWork, false: noAnswer}[len(others) > 0]
	}
	var parts []*Part
	if x.Self != "" || failed != nil {
		own, err := LookIf(ctx, o)
		if err != nil {
			return nil, err
		}
		parts = append(parts, own)
		r.Hosts = append(r.Hosts, own.host(x.Name))
	}
	x.await(ctx, others)
	for _, h := range others {
		if h.part != nil {
			parts = append(parts, h.part)
			h.Host = h.part.host(h.node.Name)
		}
		if h.Unseen != "" {
			x.count(ctx, h, &o)
		}
		if h.Unseen == "" || h.Missing > 0 || h.AtLeast { // nothing is missing of a host without mail
			r.Hosts = append(r.Hosts, h.Host)
		}
	}
	slices.SortStableFunc(r.Hosts, func(a, b Host) int { return cmp.Compare(a.Name, b.Name) })
	return Merge(r, parts...), ctx.Err()
}

// host is what a part tells about its host.
func (p *Part) host(name string) Host {
	h := Host{Name: name, Messages: p.Messages, More: p.More}
	switch {
	case p.None:
		h.Unseen = "it keeps no evidence"
	case p.Error != "":
		h.Unseen = "it failed: " + p.Error
	}
	return h
}

// ask gives the comparison to the other hosts.
func (x *Hosts) ask(ctx context.Context, o *Options) (others []*asked, err error) {
	s := spec{Since: o.Since}
	if s.A, err = sideOf(&o.A); err == nil {
		s.B, err = sideOf(&o.B)
	}
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(&s)
	if err != nil {
		return nil, err
	}
	if x.Store == nil {
		return nil, errors.New(noAnswer)
	}
	nodes, err := x.Store.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	present, err := x.DB.EvidenceHosts(ctx)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	for _, n := range nodes {
		if n.Instance == x.Self {
			continue
		}
		h := &asked{Host: Host{Name: n.Name, Unseen: "it does not answer"}, node: n}
		others = append(others, h)
		if !present[n.Instance] {
			continue
		}
		w := fleet.Work{ID: "whatif-" + hex.EncodeToString(sum[:16]) + "-" + n.Instance, Kind: fleet.EvidenceKind(n.Instance), Spec: string(text)}
		if e := x.DB.AddWork(ctx, w, slices.Values([][]string{{"evidence"}})); e != nil {
			h.Unseen, err = "it could not be asked", e
			continue
		}
		h.work = w.ID
	}
	return others, err
}

// await waits for the parts of the hosts that were asked, as long as they are there.
func (x *Hosts) await(ctx context.Context, others []*asked) {
	t := time.NewTicker(askEvery)
	defer t.Stop()
	for {
		var waiting []string
		for _, h := range others {
			if h.work != "" && h.part == nil && x.look(ctx, h) {
				waiting = append(waiting, h.Name)
			}
		}
		if x.Wait != nil {
			x.Wait(waiting)
		}
		if len(waiting) == 0 {
			return
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// look reads the part of a host, and reports whether it is still to come.
func (x *Hosts) look(ctx context.Context, h *asked) bool {
	done, present, err := x.DB.EvidencePart(ctx, h.work, h.node.Instance)
	if err == nil && done {
		_, err = x.DB.Results(ctx, h.work, 0, func(body string) error {
			h.part = new(Part)
			return json.Unmarshal([]byte(body), h.part)
		})
	}
	switch {
	case err != nil:
		h.part = nil
		if h.failed++; h.failed < maxFailed {
			return true
		}
		h.work, h.Unseen = "", noAnswer
	case !done && !present:
		h.work = ""
	case !done:
		h.failed = 0
		return true
	}
	return false
}

// countTime bounds the counting of messages of a host that were not seen.
const countTime = 2 * time.Second

// count counts the messages of a host in the history that its evidence would have.
func (x *Hosts) count(ctx context.Context, h *asked, o *Options) {
	ctx, cancel := context.WithTimeout(ctx, countTime)
	defer cancel()
	q := &store.Query{Since: max(1, store.Millis(o.Since)), Node: h.node.Slot}
	if !o.Accepted {
		q.Terms = []store.Term{{Field: store.FieldAction, Values: []string{string(postseal.Quarantine), string(postseal.Reject), string(postseal.Defer)}}}
	}
	days, err := x.Store.Days(ctx)
	for _, d := range days {
		if d.End() <= q.Since || err != nil {
			break
		}
		var n int
		n, err = x.Store.Count(ctx, d, q, MaxMessages+1-h.Missing)
		if h.Missing += n; h.Missing > MaxMessages {
			h.Missing, h.AtLeast = MaxMessages, true
			return
		}
	}
	h.AtLeast = err != nil
}
