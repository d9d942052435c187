package dnstest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"postseal/internal/dnswire"
	"postseal/resolver"
)

var faultKinds = map[string]resolver.Kind{"SERVFAIL": resolver.ServFail, "TIMEOUT": resolver.Timeout,
	"REFUSED": resolver.Refused, "BOGUS": resolver.Bogus, "MALFORMED": resolver.Malformed, "NETWORK": resolver.Network}

// directive reads a comment that means something and returns what is wrong with it.
// $GENERATE is no part of RFC 1035, and makes a million records of a line.
func (z *Zone) directive(line string) string {
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
		return z.faultDirective(words)
	case first == "SECURE":
		if len(words) != 2 {
			return "SECURE needs a name"
		}
		z.secure[key(words[1])] = true
	case first == "RECORDED" && len(words) == 1:
		z.recorded = true
	case z.recorded && first == "STALE":
		return z.staleDirective(words)
	case z.recorded && (first == "NODATA" || first == "NXDOMAIN"):
		return z.absenceDirective(words)
	}
	return ""
}

func (z *Zone) faultDirective(words []string) string {
	if len(words) != 4 {
		return "FAULT needs a name, a type or ANY, and SERVFAIL, TIMEOUT, REFUSED or BOGUS"
	}
	kind, ok := faultKinds[words[3]]
	if !ok {
		return fmt.Sprintf("FAULT: %q is not one of SERVFAIL, TIMEOUT, REFUSED, BOGUS", words[3])
	}
	if _, ok := resolver.ParseType(words[2]); !ok && words[2] != "ANY" {
		return fmt.Sprintf("FAULT: %q is no record type", words[2])
	}
	z.faults[key(words[1])+" "+words[2]] = kind
	return ""
}

// staleDirective reads "STALE name TYPE": the answer was beyond its TTL (RFC 8767).
func (z *Zone) staleDirective(words []string) string {
	if len(words) != 3 {
		return "STALE needs a name and a type"
	}
	if _, ok := resolver.ParseType(words[2]); !ok {
		return fmt.Sprintf("STALE: %q is no record type", words[2])
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
		return fmt.Sprintf("%s: %q is no number of seconds", words[0], words[want-1])
	}
	ttl := time.Duration(seconds) * time.Second
	if words[0] == "NXDOMAIN" {
		z.nxdomain[key(words[1])] = ttl
		return ""
	}
	if _, ok := resolver.ParseType(words[2]); !ok {
		return fmt.Sprintf("NODATA: %q is no record type", words[2])
	}
	z.nodata[key(words[1])+" "+words[2]] = ttl
	return ""
}

// key is a name as the maps of a Zone have it.
func key(name string) string { return dnswire.Name(name) }
