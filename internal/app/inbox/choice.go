package inbox

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"postseal/domain"
	"postseal/store"
)

// What the operator said about a source.
const (
	ChosenYes = "yes"
	ChosenNo  = "no"
)

// choicesOf returns what was said about the sources of a domain, by kind and source. What was said for the
// domain itself goes before what was said for a domain above it.
func choicesOf(ctx context.Context, db store.Inbox, name string) (map[string]store.SourceChoice, error) {
	list, err := db.SourceChoices(ctx)
	found := map[string]store.SourceChoice{}
	for _, c := range list {
		key := c.Kind + " " + c.Source
		if c.Domain != name && !strings.HasSuffix(name, "."+c.Domain) || len(found[key].Domain) > len(c.Domain) {
			continue
		}
		found[key] = c
	}
	return found, err
}

// choose replaces the class of a source by what the operator said. A source that does not send for the domain
// stays a list or a forger.
func (s *SourceSum) choose() {
	c := s.choice
	said := fmt.Sprintf("%s said so on %s", c.By, store.DayOf(c.At))
	switch {
	case c.Domain == "":
	case c.Ours:
		s.Chosen, s.Class, s.Rule = ChosenYes, ClassKnown, "it sends for the domain: "+said
	default:
		s.Chosen, s.Rule = ChosenNo, "it does not send for the domain: "+said
		if s.Ours() {
			s.Class = ClassUnknown
		}
	}
}

// ask marks the sources about which the operator should say whether they send for the domain.
func (s *Summary) ask() {
	forger := s.regularForger()
	for i := range s.Sources {
		x := &s.Sources[i]
		x.Ask = x.Chosen == "" && !x.rest() && (x.Class == ClassNew || x.Class == ClassUnknown || x == forger)
	}
}

// ErrChoice is why a choice cannot be kept.
var ErrChoice = errors.New("by is not one of dkim, spf, network")

// Choose keeps what the operator says about a source, which is named as in a Summary: ChosenYes, ChosenNo, or "" to
// remove what was said. who is the operator.
func Choose(ctx context.Context, db store.Inbox, at int64, who string, of domain.Name, by, source, chosen string) error {
	const most = 300
	if by == "network" {
		by = "net"
	}
	if by != "net" && by != "dkim" && by != "spf" {
		return ErrChoice
	}
	if source == "" || len(source) > most || store.Clean(source) != source || by == "net" && source == store.RestOfSources {
		return errors.New("source is not the name of a source")
	}
	switch chosen {
	case ChosenYes, ChosenNo:
		return db.ChooseSource(ctx, store.SourceChoice{Domain: string(of), Kind: by, Source: source, Ours: chosen == ChosenYes, At: at, By: store.Clean(who)})
	case "":
		_, err := db.DropChoice(ctx, string(of), by, source)
		return err
	}
	return errors.New("the choice is not yes or no")
}
