package cli

import (
	"strings"
	"testing"

	"postseal/message"
)

func TestParseReceived(t *testing.T) {
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
		got := parseReceived([]byte(test.value))
		addr := ""
		if got.ip.IsValid() {
			addr = got.ip.String()
		}
		if got.from != test.from || got.by != test.by || addr != test.addr {
			t.Errorf("%s: parseReceived = from %q by %q [%s], want from %q by %q [%s]", test.name, got.from, got.by, addr, test.from, test.by, test.addr)
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

func TestDerive(t *testing.T) {
	ours := "Received: from out.test (out.test [192.0.2.1]) by MX.example.net."
	forged := "Received: from good.test (good.test [192.0.2.200]) by mx.example.net"
	for _, test := range []struct {
		name           string
		header         *message.Header
		ip, helo, from string
		err            string
	}{
		{"plain", headerOf("Return-Path: <a@b.test>", ours, forged), "192.0.2.1", "out.test", "a@b.test", ""},
		{"inner hop above", headerOf("Return-Path: <>", "Received: from mx.example.net (mx [10.0.0.2]) by store.example.net", ours), "192.0.2.1", "out.test", "", ""},
		{"Return-Path below counts not", headerOf(ours, "Return-Path: <forged@x.test>"), "192.0.2.1", "out.test", "", ""},
		{"not stamped", headerOf("Received: from a (a [192.0.2.9]) by other.test"), "", "", "", "stamped by mx.example.net"},
		{"spoilt field above a forged one", headerOf("Received: from a( (x [192.0.2.9]) by mx.example.net", forged), "", "", "", "no readable by"},
		{"no address", headerOf("Received: from a by mx.example.net"), "", "", "", "no client address"},
	} {
		got, err := derive(test.header, "mx.example.net")
		if test.err != "" {
			if err == nil || !strings.Contains(err.msg, test.err) {
				t.Errorf("%s: error %v, want %q", test.name, err, test.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: error %v", test.name, err)
			continue
		}
		if got.ip.String() != test.ip || got.helo != test.helo || got.from != test.from {
			t.Errorf("%s: derive = %v %q %q, want %s %q %q", test.name, got.ip, got.helo, got.from, test.ip, test.helo, test.from)
		}
	}
}

func FuzzParseReceived(f *testing.F) {
	f.Add([]byte("from a (b [192.0.2.1] (c)) by d; e"))
	f.Add([]byte("from a(\\"))
	f.Add([]byte("from ( [ ) by ("))
	f.Fuzz(func(t *testing.T, value []byte) { parseReceived(value) })
}
