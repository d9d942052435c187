package received

import (
	"bytes"
	"net/netip"
	"testing"

	"postseal/message"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name, value    string
		from, by, addr string
	}{
		{"Postfix", "from out.acme.test (out.acme.test [192.0.2.25])\r\n\tby mx.example.net (Postfix) with ESMTPS id 4c\r\n\tfor <e@example.net>; Mon, 2 Nov 2026", "out.acme.test", "mx.example.net", "192.0.2.25"},
		{"Postfix IPv6", "from h (unknown [IPv6:2001:db8::7]) by mx.example.net", "h", "mx.example.net", "2001:db8::7"},
		{"mapped", "from h (unknown [IPv6:::ffff:192.0.2.1]) by mx", "h", "mx", "192.0.2.1"},
		{"Sendmail", "from h (n.example [192.0.2.1] (may be forged)) by mx.example.net (8.18) with ESMTP", "h", "mx.example.net", "192.0.2.1"},
		{"Exim", "from [192.0.2.1] (helo=out.test) by mx.example.net with esmtp (Exim 4.98)", "out.test", "mx.example.net", "192.0.2.1"},
		{"Exim with name", "from n.example ([192.0.2.1]:4711 helo=out.test) by mx", "out.test", "mx", "192.0.2.1"},
		{"qmail", "from unknown (HELO out.test) (192.0.2.1) by mx.example.net with SMTP", "out.test", "mx.example.net", "192.0.2.1"},
		{"Exchange", "from A.test (192.0.2.1) by B.test (192.0.2.9) with Microsoft SMTP Server id 15", "A.test", "B.test", "192.0.2.1"},
		{"Gmail", "from m.google.com (m.google.com. [192.0.2.41])\r\n by mx.google.com with SMTPS id x", "m.google.com", "mx.google.com", "192.0.2.41"},
		{"semicolon glued", "from h ([192.0.2.1]) by mx; Mon", "h", "mx", "192.0.2.1"},
		{"HELO is a literal", "from [192.0.2.66] (real.test [192.0.2.1]) by mx", "[192.0.2.66]", "mx", "192.0.2.1"},
		{"HELO lies about the address", "from [192.0.2.1] (helo=[192.0.2.66]) by mx", "[192.0.2.66]", "mx", "192.0.2.1"},
		{"HELO swallows the rest", "from a( (real.test [192.0.2.1]) by mx; x", "a", "", "192.0.2.1"},
		{"local", "by mx.example.net (Postfix, from userid 0) id 4c; Mon", "", "mx.example.net", ""},
		{"empty", "", "", "", ""},
	} {
		got := Parse([]byte(test.value))
		addr := ""
		if got.IP.IsValid() {
			addr = got.IP.String()
		}
		if got.From != test.from || got.By != test.by || addr != test.addr {
			t.Errorf("%s: Parse = from %q by %q [%s], want from %q by %q [%s]", test.name, got.From, got.By, addr, test.from, test.by, test.addr)
		}
	}
}

func headerOf(lines ...string) *message.Header {
	var h message.Header
	for _, l := range lines {
		f, _ := message.ParseField([]byte(l))
		h.Add(f)
	}
	return &h
}

func TestClient(t *testing.T) {
	const (
		relay    = "Received: from out.test (out.test [203.0.113.7]) by relay.example.net (Postfix) with ESMTP id 1; x"
		inner    = "Received: from relay.example.net (relay [192.0.2.10]) by filter.example.net; x"
		filter   = "Received: from localhost (localhost [127.0.0.1]) by relay.example.net (Postfix) with ESMTP id 2; x"
		stranger = "Received: from good.test (good.test [198.51.100.1]) by out.test; x"
		mapped   = "Received: from relay (relay [IPv6:::ffff:192.0.2.10]) by filter; x"
		ownUser  = "Received: by relay.example.net (Postfix, from userid 0) id 3; x"
		spoilt   = "Received: from a( (out.test [203.0.113.7]) by relay.example.net; x"
	)
	networks := netip.MustParsePrefix("192.0.2.0/24")
	for _, test := range []struct {
		name   string
		header *message.Header
		ip     string // "" is not known
		relays int
	}{
		{"one relay", headerOf(relay, stranger), "203.0.113.7", 1},
		{"two relays", headerOf(inner, relay, stranger), "203.0.113.7", 2},
		{"a mapped relay", headerOf(mapped, relay), "203.0.113.7", 2},
		{"content filter on the relay", headerOf(filter, relay), "203.0.113.7", 2},
		{"other fields between", headerOf("X-Spam: no", filter, "Return-Path: <a@b.test>", relay), "203.0.113.7", 2},
		{"sent by the relay itself", headerOf(ownUser, stranger), "", 0},
		{"spoilt by the HELO", headerOf(spoilt, stranger), "", 0},
		{"no trace", headerOf("From: a@b.test"), "", 0},
		{"relays only", headerOf(inner, filter), "", 0},
	} {
		hop, ok := Client(test.header, networks.Contains)
		got := ""
		if ok {
			got = hop.IP.String()
		}
		if got != test.ip || hop.Relays != test.relays {
			t.Errorf("%s: Client = %q, %d relays; want %q, %d", test.name, got, hop.Relays, test.ip, test.relays)
		}
	}
}

// FuzzParse: no field panics, and the words of a hop stand in it.
func FuzzParse(f *testing.F) {
	f.Add([]byte("from a (b [192.0.2.1] (c)) by d; e"))
	f.Add([]byte("from a(\\"))
	f.Add([]byte("from ( [ ) by ("))
	f.Fuzz(func(t *testing.T, value []byte) {
		h := Parse(value)
		for _, word := range []string{h.From, h.By, h.With} {
			if !bytes.Contains(value, []byte(word)) {
				t.Errorf("Parse(%q) = %+v, which is not in it", value, h)
			}
		}
		if h.IP.IsValid() && (h.IP.Zone() != "" || !bytes.ContainsAny(value, "([:.")) {
			t.Errorf("Parse(%q) = %+v", value, h)
		}
	})
}
