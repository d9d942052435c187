package cli

import (
	"strings"
	"testing"

	"postseal/message"
)

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
		got, err := derive(test.header, "mx.example.net", "")
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
