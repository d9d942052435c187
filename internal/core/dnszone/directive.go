package dnszone

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"postseal/internal/core/dnswire"
	"postseal/resolver"
)

var faultKinds = map[string]resolver.Kind{"SERVFAIL": resolver.ServFail, "TIMEOUT": resolver.Timeout,
	"REFUSED": resolver.Refused, "CANCELED": resolver.Canceled, "BOGUS": resolver.Bogus, "MALFORMED": resolver.Malformed, "NETWORK": resolver.Network}

// directive reads a comment that means something and returns what is wrong with it. $GENERATE
// is not part of RFC 1035, and makes a million records of a line.
func (z *Zone) directive(line, origin string) string {
	const generate = "$GENERATE"
	line = strings.TrimSpace(line)
	comment, ok := strings.CutPrefix(line, ";")
	if !ok {
		if len(line) >= len(generate) && strings.EqualFold(line[:len(generate)], generate) {
			return "$GENERATE is not supported"
		}
		return ""
	}
	words := strings.Fields(comment)
	if len(words) == 0 {
		return ""
	}
	switch first := words[0]; {
	case first == "FAULT":
		return z.faultDirective(words, origin)
	case first == "SECURE":
		if len(words) != 2 {
			return "SECURE needs a name"
		}
		for _, name := range owners(words[1], origin) {
			z.secure[name] = true
		}
	case first == "RECORDED" && len(words) == 1:
		z.recorded = true
	case z.recorded && first == "STALE":
		return z.staleDirective(words)
	case z.recorded && (first == "NODATA" || first == "NXDOMAIN"):
		return z.absenceDirective(words)
	}
	return ""
}

func (z *Zone) faultDirective(words []string, origin string) string {
	if len(words) != 4 {
		return "FAULT needs a name, a type or ANY, and SERVFAIL, TIMEOUT, REFUSED or BOGUS"
	}
	kind, ok := faultKinds[words[3]]
	if !ok {
		return fmt.Sprintf("FAULT: %q is not one of SERVFAIL, TIMEOUT, REFUSED, BOGUS", words[3])
	}
	if _, ok := parseType(words[2]); !ok && words[2] != "ANY" {
		return fmt.Sprintf("FAULT: %q is not a record type", words[2])
	}
	for _, name := range owners(words[1], origin) {
		z.faults[name+" "+words[2]] = kind
		z.wildFaults = z.wildFaults || strings.HasPrefix(name, "*.")
	}
	return ""
}

// staleDirective reads "STALE name TYPE": the answer was beyond its TTL (RFC 8767).
func (z *Zone) staleDirective(words []string) string {
	if len(words) != 3 {
		return "STALE needs a name and a type"
	}
	if _, ok := parseType(words[2]); !ok {
		return fmt.Sprintf("STALE: %q is not a record type", words[2])
	}
	z.stale[key(words[1])+" "+words[2]] = true
	return ""
}

// absenceDirective reads "NODATA name TYPE seconds" or "NXDOMAIN name seconds".
func (z *Zone) absenceDirective(words []string) string {
	want := map[string]int{"NODATA": 4, "NXDOMAIN": 3}[words[0]]
	if len(words) != want {
		return words[0] + " needs a name, for NODATA a type, and seconds"
	}
	seconds, err := strconv.ParseUint(words[want-1], 10, 31)
	if err != nil {
		return fmt.Sprintf("%s: %q is not a number of seconds", words[0], words[want-1])
	}
	ttl := time.Duration(seconds) * time.Second
	if words[0] == "NXDOMAIN" {
		z.nxdomain[key(words[1])] = ttl
		return ""
	}
	if _, ok := parseType(words[2]); !ok {
		return fmt.Sprintf("NODATA: %q is not a record type", words[2])
	}
	z.nodata[key(words[1])+" "+words[2]] = ttl
	return ""
}

// owners are the names that the one of FAULT or SECURE may refer to: without a trailing dot,
// some write it in full and others relative to $ORIGIN. An unused one does no harm.
func owners(name, origin string) []string {
	if name == "@" {
		return []string{key(origin)}
	}
	return []string{key(name), key(absolute(name, origin))}
}

// absolute is a name of a zone file in full (RFC 1035 §5.1).
func absolute(name, origin string) string {
	switch {
	case strings.HasSuffix(name, "."):
		return name
	case origin == ".":
		return name + "."
	}
	return name + "." + origin
}

// key is a name as the maps of a Zone have it.
func key(name string) string { return dnswire.Name(name) }

// knownTypes are the record types that a directive may name.
var knownTypes = []resolver.Type{resolver.A, resolver.NS, resolver.CNAME, resolver.SOA, resolver.PTR, resolver.MX, resolver.TXT, resolver.AAAA,
	resolver.DS, resolver.DNSKEY, resolver.TLSA, resolver.SPF, resolver.CAA}

func parseType(name string) (resolver.Type, bool) {
	for _, t := range knownTypes {
		if t.String() == name {
			return t, true
		}
	}
	return 0, false
}
