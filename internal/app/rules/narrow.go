package rules

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"postseal"
	"postseal/dkim"
	"postseal/domain"
	"postseal/spf"
)

// NarrowFor is how long an entry of Narrow is valid.
const NarrowFor = 90 * 24 * time.Hour

// Narrow returns the [[exempt]] entry that accepts a message like r and as little else as
// possible: it identifies the sender by what was verified (signature and SPF, else the
// address), and by what such mail has in common (the list, else the author). whole says that
// the header section of r is as it was received; stored evidence only contains the organization
// of a list. The error says why no entry helps.
func Narrow(r *postseal.Report, whole bool, now time.Time) (Exempt, error) {
	if r.Decision.Reason == postseal.MessageLimit {
		return Exempt{}, errors.New("the header section exceeds a limit, which an exemption cannot override: see [limits]")
	}
	until := now.Add(NarrowFor).UTC()
	e := Exempt{Why: narrowWhy(r), Until: toml.LocalDate{Year: until.Year(), Month: int(until.Month()), Day: until.Day()}}
	if r.Author.Reason == "" {
		e.DKIM = passingSignature(r)
		if len(r.SPF) > 0 && r.SPF[0].Code == spf.Pass && r.SPF[0].Domain != e.DKIM {
			e.SPF = r.SPF[0].Domain
		}
	}
	if e.DKIM+e.SPF == "" {
		if !r.RemoteIP().IsValid() {
			return Exempt{}, errors.New("nothing shows who sent this message: no signature and no SPF passes, and the address of the client is not known")
		}
		e.IP = r.RemoteIP().WithZone("").String()
	}
	list := listID(r.Header)
	switch {
	case whole && list != "" && printable(list):
		e.ListID = list
	case list == "" && len(r.Author.Domains) == 1 && r.Author.Reason == "":
		e.Author = string(r.Author.Domains[0])
	}
	return e, nil
}

// passingSignature returns the domain of the passing signature that identifies the sender best:
// one of the organization that SPF passed for, else the first.
func passingSignature(r *postseal.Report) string {
	first := ""
	for i := range r.DKIM {
		s := &r.DKIM[i]
		if s.Code != dkim.Pass || s.TestMode {
			continue
		}
		if len(r.SPF) > 0 && r.SPF[0].Code == spf.Pass && sameOrganization(s.Domain, r.SPF[0].Domain) {
			return s.Domain
		}
		if first == "" {
			first = s.Domain
		}
	}
	return first
}

func sameOrganization(a, b string) bool {
	x, errX := domain.Parse(a)
	y, errY := domain.Parse(b)
	return errX == nil && errY == nil && (x == y || x.Registrable() != "" && x.Registrable() == y.Registrable())
}

func narrowWhy(r *postseal.Report) string {
	d := &r.Decision
	why := fmt.Sprintf("%s of %s was %s (%s)", r.Ref, r.Time.UTC().Format(time.DateOnly), d.Action, d.Reason)
	if d.Applied != d.Action {
		why = fmt.Sprintf("%s of %s: verdict %s (%s), applied %s", r.Ref, r.Time.UTC().Format(time.DateOnly), d.Action, d.Reason, d.Applied)
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return -1
		}
		return c
	}, why[:min(len(why), maxText)])
}

// Accepts reports whether e alone accepts r, ignoring its last day.
func (e Exempt) Accepts(r *postseal.Report) bool {
	e.Until = toml.LocalDate{}
	set, _ := Compile(Config{Exempt: []Exempt{e}}, r.Time)
	if set == nil {
		return false
	}
	first, _ := set.exempts.match(r, r.Decision.Reason)
	return first != nil
}

// Problems returns what is wrong with e, as Compile does.
func (e Exempt) Problems(now time.Time) []Problem {
	_, problems := Compile(Config{Exempt: []Exempt{e}}, now)
	return problems
}

// TOML returns e as written in a configuration file.
func (e Exempt) TOML() string {
	text, err := toml.Marshal(e)
	if err != nil {
		return "" // encoding strings and a date cannot fail
	}
	return "[[exempt]]\n" + string(text)
}

// TOML returns r as written in a configuration file.
func (r Rule) TOML() string {
	text, err := toml.Marshal(r)
	if err != nil {
		return "" // encoding strings and a date cannot fail
	}
	return "[[rule]]\n" + string(text)
}
