package suites

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"postseal/internal/core/dnsdata"
	"postseal/resolver"
)

// SPFCase is one case of an openspf.org suite.
type SPFCase struct {
	Scenario    string
	Name        string
	Spec        string
	Helo        string
	Host        netip.Addr
	MailFrom    string
	Results     []string // any of them
	Explanation string   // "" is not tested, "DEFAULT" is the receiver's own
	Zone        *Zone
}

type scenario struct {
	Description string               `yaml:"description"`
	Tests       map[string]yamlCase  `yaml:"tests"`
	Zone        map[string]yaml.Node `yaml:"zonedata"`
}

type yamlCase struct {
	Spec        yaml.Node `yaml:"spec"`
	Helo        string    `yaml:"helo"`
	Host        string    `yaml:"host"`
	MailFrom    string    `yaml:"mailfrom"`
	Result      yaml.Node `yaml:"result"`
	Explanation string    `yaml:"explanation"`
}

// ReadSPF reads every case of one suite file.
func ReadSPF(path string) ([]SPFCase, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var cases []SPFCase
	for d := yaml.NewDecoder(f); ; {
		var s scenario
		switch err := d.Decode(&s); {
		case err == io.EOF:
			return cases, nil
		case err != nil:
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		zone, err := newZone(s.Zone)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, s.Description, err)
		}
		for name, c := range s.Tests {
			host, err := netip.ParseAddr(c.Host)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", path, name, err)
			}
			cases = append(cases, SPFCase{Scenario: s.Description, Name: name, Spec: strings.Join(words(c.Spec), " "), Helo: c.Helo, Host: host,
				MailFrom: c.MailFrom, Results: words(c.Result), Explanation: c.Explanation, Zone: zone})
		}
	}
}

// words reads a scalar or a sequence of scalars.
func words(n yaml.Node) []string {
	if n.Kind == yaml.ScalarNode {
		return []string{n.Value}
	}
	var all []string
	for _, c := range n.Content {
		all = append(all, c.Value)
	}
	return all
}

// Zone answers from the zonedata of a scenario.
type Zone struct {
	records  map[string]map[resolver.Type][]resolver.RR
	failures map[string]resolver.Kind // "name" for every type not listed, "name TYPE" for one
}

func newZone(data map[string]yaml.Node) (*Zone, error) {
	z := &Zone{records: map[string]map[resolver.Type][]resolver.RR{}, failures: map[string]resolver.Kind{}}
	for name, node := range data {
		name = strings.ToLower(name)
		z.records[name] = map[resolver.Type][]resolver.RR{}
		hasTXT := false
		for _, entry := range node.Content {
			hasTXT = hasTXT || entry.Kind == yaml.MappingNode && entry.Content[0].Value == "TXT"
		}
		for _, entry := range node.Content {
			if err := z.add(name, entry, hasTXT); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return z, nil
}

var failureKinds = map[string]resolver.Kind{"TIMEOUT": resolver.Timeout, "SERVFAIL": resolver.ServFail}

// add takes one entry. Records of type SPF stand for TXT too, unless the name has TXT of
// its own (the suite's convention); TXT: NONE suppresses that copy.
func (z *Zone) add(name string, entry *yaml.Node, hasTXT bool) error {
	if entry.Kind == yaml.ScalarNode {
		z.failures[name] = resolver.Timeout
		return nil
	}
	kind, value := entry.Content[0].Value, entry.Content[1]
	if failure, ok := failureKinds[kind]; ok {
		z.failures[name] = failure
		return nil
	}
	if value.Kind == yaml.ScalarNode && value.Value == "TIMEOUT" {
		z.failures[name+" "+kind] = resolver.Timeout
		return nil
	}
	if value.Kind == yaml.ScalarNode && value.Value == "NONE" {
		return nil
	}
	put := func(t resolver.Type, rr resolver.RR) { z.records[name][t] = append(z.records[name][t], rr) }
	switch kind {
	case "SPF":
		put(resolver.SPF, text(value))
		if !hasTXT {
			put(resolver.TXT, text(value))
		}
	case "TXT":
		put(resolver.TXT, text(value))
	case "A", "AAAA":
		ip, err := netip.ParseAddr(value.Value)
		if err != nil {
			return err
		}
		put(map[string]resolver.Type{"A": resolver.A, "AAAA": resolver.AAAA}[kind], resolver.RR{Addr: ip})
	case "MX":
		preference, err := strconv.ParseUint(value.Content[0].Value, 10, 16)
		if err != nil {
			return err
		}
		put(resolver.MX, resolver.RR{Target: target(value.Content[1].Value), Preference: uint16(preference)})
	case "PTR":
		put(resolver.PTR, resolver.RR{Target: target(value.Value)})
	case "CNAMELOOP":
		put(resolver.CNAME, resolver.RR{Target: name})
	case "CNAME":
		put(resolver.CNAME, resolver.RR{Target: target(value.Value)})
	default:
		return fmt.Errorf("unknown record type %q", kind)
	}
	return nil
}

func text(n *yaml.Node) resolver.RR { return resolver.RR{Text: strings.Join(words(*n), "")} }

func target(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }

// Lookup implements resolver.Resolver.
func (z *Zone) Lookup(_ context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	name = target(name)
	if !dnsdata.ValidName(name) {
		return resolver.Answer{NXDomain: true}, nil
	}
	for range 10 {
		records, ok := z.records[name]
		if cname := records[resolver.CNAME]; len(cname) > 0 && t != resolver.CNAME {
			name = cname[0].Target
			continue
		}
		failure := z.failures[name+" "+t.String()]
		if failure == "" && len(records[t]) == 0 {
			failure = z.failures[name]
		}
		if failure != "" {
			return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: failure}
		}
		return resolver.Answer{Records: records[t], NXDomain: !ok, Canonical: name}, nil
	}
	return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.ServFail}
}
