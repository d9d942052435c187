// Package selftest runs the known attacks of testdata/vectors/attack, through the engine or
// through a Postfix and its filters on loopback.
package selftest

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"postseal"
	"postseal/bundle"
	"postseal/dmarc"
	"postseal/testdata/vectors/attack"
)

// Attack is one vector.
type Attack struct {
	Name   string
	Bundle *bundle.Bundle
}

// Attacks returns every vector, by name.
func Attacks() ([]Attack, error) {
	names, err := fs.Glob(attack.Files, "*.txtar")
	if err != nil {
		return nil, err
	}
	all := make([]Attack, 0, len(names))
	for _, name := range names {
		data, err := attack.Files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		b, err := bundle.Parse(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, Attack{strings.TrimSuffix(name, ".txtar"), b})
	}
	return all, nil
}

// Layer says what stopped an attack.
type Layer string

// The layers, in the order in which a message passes them. SMTP: a server, or Postfix itself,
// refused it before the message arrived.
const (
	SMTP    Layer = "smtp"    // a command was refused
	Message Layer = "message" // the answer to the message
	Limits  Layer = "limits"
	Author  Layer = "author"
	DMARC   Layer = "dmarc"
	Fields  Layer = "fields" // a field was added to what is signed
	DNS     Layer = "dns"    // the verdict is open: never pass
	None    Layer = "none"
)

// Result is how an attack ended.
type Result struct {
	Attack  string   `json:"attack"`
	Comment string   `json:"comment"`
	RFC     string   `json:"rfc"`
	Stopped bool     `json:"stopped"`
	Layer   Layer    `json:"layer"`
	Reason  string   `json:"reason"` // of the verdict; "" if a server replied
	Action  string   `json:"action"` // as applied
	Removed int      `json:"removed"`
	Reply   string   `json:"reply"`
	Problem []string `json:"problem"` // differences from the expected result
}

func (a *Attack) result() Result {
	return Result{Attack: a.Name, Comment: a.Bundle.Comment, RFC: a.Bundle.RFC, Layer: None, Problem: []string{}}
}

// Run sends a through the engine, with the DNS answers and the mode of its vector.
func (a *Attack) Run(ctx context.Context) (Result, error) {
	report, err := a.Bundle.Run(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", a.Name, err)
	}
	r := a.result()
	d := report.Decision
	r.Reason, r.Action, r.Removed = string(d.Reason), string(d.Applied), len(report.Headers.Remove)
	if d.Reply != nil {
		r.Reply = fmt.Sprintf("%d %s %s", d.Reply.Code, d.Reply.Enhanced, strings.Join(d.Reply.Lines, " "))
	}
	r.Layer = layerOf(report)
	r.Problem = append(r.Problem, a.Bundle.Check(report)...)
	r.Stopped = r.Layer != None && len(r.Problem) == 0
	return r, nil
}

// layerOf returns what prevents the forgery from being accepted as authentic.
func layerOf(r *postseal.Report) Layer {
	switch {
	case r.Decision.Reason == postseal.MessageLimit:
		return Limits
	case r.Decision.Reason == postseal.AuthorMalformed:
		return Author
	case r.Decision.Reason == postseal.FieldAdded:
		return Fields
	case r.DMARC.Code == dmarc.TempError:
		return DNS
	case r.DMARC.Code == dmarc.Fail && r.Decision.Applied != postseal.Accept:
		return DMARC
	}
	return None
}

// Zone returns the DNS of all attacks, for the name server of a Postfix under test.
func Zone(attacks []Attack) string {
	var zone strings.Builder
	seen := map[string]bool{}
	for _, a := range attacks {
		for line := range strings.Lines(a.Bundle.Zone) {
			if !seen[line] {
				seen[line] = true
				zone.WriteString(line)
			}
		}
	}
	return zone.String()
}
