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
		{"HELO swallows the rest", "from a( (real.test [192.0.2.1]) by mx; x", "a", "", ""},
		{"local", "by mx.example.net (Postfix, from userid 0) id 4c; Mon", "", "mx.example.net", ""},
		{"empty", "", "", "", ""},
		{"certificate of a client", "from x (unknown [192.0.2.1]) (using TLSv1.3 with cipher X (256/256 bits)) (Client CN \"x [203.0.113.5]\", Issuer \"x (y [127.0.0.1])\" (not verified)) by mx (Postfix)", "x", "mx", "192.0.2.1"},
		{"no certificate", "from x (unknown [192.0.2.1]) (Client CN \"x [203.0.113.5]\") by mx (Postfix)", "x", "mx", ""},
		{"SASL user", "from x (unknown [192.0.2.1]) (Authenticated sender: x [203.0.113.5]) by mx (Postfix) with ESMTPA", "x", "mx", "192.0.2.1"},
		{"two addresses", "from x (u [203.0.113.5]) (unknown [192.0.2.1]) by mx", "x", "mx", ""},
		{"two addresses in one comment", "from x (u [203.0.113.5] y [192.0.2.1]) by mx", "x", "mx", ""},
		{"HELO with parentheses", "from x(203.0.113.1) (unknown [192.0.2.1]) by mx (Postfix)", "x", "mx", ""},
		{"HELO with an address", "from x [203.0.113.5] (unknown [192.0.2.1]) by mx", "x", "mx", ""},
		{"HELO is by", "from by (unknown [192.0.2.1]) by mx (Postfix)", "by", "mx", "192.0.2.1"},
		{"two by clauses", "from x by evil (u [203.0.113.5]) by mx", "x", "", ""},
		{"reverse DNS with an address", "from x (x[203.0.113.77].example [192.0.2.1]) by mx (Postfix)", "x", "mx", "192.0.2.1"},
		{"Sendmail, ident", "from h (IDENT:user@n.example [192.0.2.1]) by mx", "h", "mx", "192.0.2.1"},
		{"Sendmail, ident, no name", "from h (user@[192.0.2.1]) by mx", "h", "mx", "192.0.2.1"},
		{"Exim, no name to show", "from [192.0.2.1] by mx with esmtp (Exim 4.98) id 1", "[192.0.2.1]", "mx", "192.0.2.1"},
		{"a literal that may be the HELO", "from [192.0.2.66] by mx with SMTP", "[192.0.2.66]", "mx", ""},
		{"Exim, TLS and no name", "from [192.0.2.1] (port=39832 helo=out.test) by mx with esmtps (TLS1.3) tls X (Exim 4.98)", "out.test", "mx", "192.0.2.1"},
		{"Exim, ident with an address", "from n.example ([192.0.2.1] helo=h ident=x [203.0.113.5]) by mx (Exim 4.98)", "h", "mx", "192.0.2.1"},
		{"Exim, ident with a comment", "from [192.0.2.1] (helo=h ident=x) (u [203.0.113.5]) by mx (Exim 4.98)", "h", "mx", ""},
		{"Exim, ident with a name", "from [192.0.2.1] (ident=x helo=y) by mx (Exim 4.98)", "[192.0.2.1]", "mx", "192.0.2.1"},
		{"qmail, user and ident", "from n.example (HELO ?192.168.1.4?) (user@a.test@192.0.2.1) by mx with ESMTPA", "?192.168.1.4?", "mx", "192.0.2.1"},
		{"qmail without HELO", "from out.test (mail@192.0.2.1) by mx with SMTP", "out.test", "mx", "192.0.2.1"},
		{"qpsmtpd", "from out.test (EHLO out.test) (192.0.2.1) by mx (qpsmtpd/0.96)", "out.test", "mx", "192.0.2.1"},
		{"Zimbra", "from out.test (LHLO out.test) (192.0.2.1) by mx with LMTP", "out.test", "mx", "192.0.2.1"},
		{"James", "from 192.0.2.1 (EHLO out.test) ([192.0.2.1]) by mx (JAMES SMTP Server )", "out.test", "mx", "192.0.2.1"},
		{"CommuniGate", "from [192.0.2.1] (HELO out.test) by mx (CommuniGate Pro SMTP 6.2)", "out.test", "mx", "192.0.2.1"},
		{"CommuniGate, verified", "from out.test ([192.0.2.1] verified) by mx", "out.test", "mx", "192.0.2.1"},
		{"chasquid", "from [192.0.2.1] ([203.0.113.5]) by mx (chasquid) with ESMTPS", "[203.0.113.5]", "mx", "192.0.2.1"},
		{"no chasquid", "from [203.0.113.5] (unknown [192.0.2.1]) by mx (Postfix) with ESMTP id 1 for <\"(chasquid)\"@example.net>", "[203.0.113.5]", "mx", "192.0.2.1"},
		{"host and address", "from pop.isp.example [192.0.2.1] by mx with POP3 (fetchmail-6.4)", "pop.isp.example", "mx", "192.0.2.1"},
		{"host, address and comment", "from out.test [192.0.2.1] (out.test) by mx", "out.test", "mx", "192.0.2.1"},
		{"no spaces", "from h(n.example[192.0.2.1])by mx(Postfix)with ESMTP", "h", "mx", ""},
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
	networks, stop := netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("10.9.0.0/16")
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
		{"an inner hop of 10/8", headerOf("Received: from int (int [10.0.0.7]) by relay.example.net; x", relay, stranger), "203.0.113.7", 2},
		{"an inner hop of fc00::/7", headerOf("Received: from int (int [IPv6:fd00::2]) by relay.example.net; x", relay), "203.0.113.7", 2},
		{"an inner hop of 100.64/10, then nothing", headerOf("Received: from int (int [100.64.0.7]) by relay.example.net; x"), "", 0},
		{"an inner network that is named", headerOf("Received: from pc (pc [10.9.0.7]) by relay.example.net; x", stranger), "10.9.0.7", 1},
		{"Exchange", headerOf("Received: from EX1 (10.0.0.11) by EX2 (10.0.0.12) with Microsoft SMTP Server id 15; x",
			"Received: from edge (192.0.2.2) by EX1 (10.0.0.11) with Microsoft SMTP Server id 15 via Frontend Transport; x", relay), "203.0.113.7", 3},
		{"the note of qmail", headerOf("Received: (qmail 12345 invoked from network); x", relay, stranger), "203.0.113.7", 1},
		{"no note of qmail", headerOf("Received: (qmail 1 invoked from network) by x; x", "Received: (x); x", relay), "", 0},
	} {
		hop, ok := Client(test.header, 0, networks.Contains, stop.Contains)
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
