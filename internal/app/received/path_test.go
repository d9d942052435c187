package received

import "testing"

// TestReversePath: the places that say the reverse-path, the surest first; where none does, it
// is unknown, never the null path.
func TestReversePath(t *testing.T) {
	const (
		plain  = "Received: from out.test (out.test [192.0.2.1]) by mx.example.net (Postfix) with ESMTP id 1 for <r@example.net>; Mon, 2 Nov 2026 08:30:07 +0000"
		exim   = "Received: from out.test ([192.0.2.1])\r\n\tby mx.example.net with esmtps (TLS1.3) tls X\r\n\t(Exim 4.98)\r\n\t(envelope-from <e@b.test>)\r\n\tid 1; Mon, 2 Nov 2026 08:30:07 +0000"
		haraka = "Received: from out.test (out.test [192.0.2.1]) by mx.example.net (Haraka) with ESMTPS id 1 envelope-from <e@b.test> tls X; Mon, 2 Nov 2026 08:30:07 +0000"
		maddy  = "Received: from out.test (out.test [192.0.2.1]) by mx.example.net (envelope-sender <e@b.test>) with ESMTPS id 1; Mon, 2 Nov 2026 08:30:07 +0000"
		chasq  = "Received: from out.test ([192.0.2.1])\r\n\tby mx.example.net (chasquid) with ESMTPS\r\n\ttls X\r\n\t(over SMTP, TLS 1.3, envelope from \"e@b.test\")\r\n\t; Mon, 2 Nov 2026 08:30:07 +0000"
		clean  = "Received: from out.test ([192.0.2.1]) by mx.example.net stage1 with esmtps (Exim MailCleaner) id 1 for <r@example.net> from <e@b.test>; Mon, 2 Nov 2026 08:30:07 +0000"
		bounce = "Received: from out.test ([192.0.2.1]) by mx.example.net with esmtp (Exim 4.98) (envelope-from <>) id 1; Mon, 2 Nov 2026 08:30:07 +0000"
		client = "Received: from out.test ([192.0.2.1]) by mx.example.net with ESMTP for <(envelope-from <x@evil.test>)@example.net>; Mon, 2 Nov 2026 08:30:07 +0000"
		differ = "Received: from out.test ([192.0.2.1]) by mx.example.net (envelope-from <e@b.test>) with ESMTP (envelope-from <x@evil.test>); Mon, 2 Nov 2026 08:30:07 +0000"
		line   = "From l@b.test Mon Nov  2 08:30:07 2026"
	)
	for _, tt := range []struct {
		name, line string
		fields     []string
		path       string
		source     PathSource
	}{
		{"Return-Path", line, []string{"Return-Path: <r@b.test>", exim}, "r@b.test", ReturnPath},
		{"null Return-Path", line, []string{"Return-Path: <>", exim}, "", ReturnPath},
		{"Return-Path below comes from strangers", "", []string{plain, "Return-Path: <r@b.test>"}, "", Unknown},
		{"Exim", line, []string{exim}, "e@b.test", ReceivedField},
		{"Haraka", "", []string{haraka}, "e@b.test", ReceivedField},
		{"maddy", "", []string{maddy}, "e@b.test", ReceivedField},
		{"chasquid", "", []string{chasq}, "e@b.test", ReceivedField},
		{"MailCleaner", "", []string{clean}, "e@b.test", ReceivedField},
		{"null path of Exim", line, []string{bounce}, "", ReceivedField},
		{"two that differ", "", []string{differ}, "", Unknown},
		{"a recipient's local part", "", []string{client}, "", Unknown},
		{"From line", line, []string{"X-Envelope-From: <x@b.test>", plain}, "l@b.test", FromLine},
		{"From line of a bounce", "From MAILER-DAEMON Mon Nov  2 08:30:07 2026", []string{plain}, "", FromLine},
		{"From line without a sender", "From - Mon Nov  2 08:30:07 2026", []string{plain}, "", Unknown},
		{"From line of an export", "From 1820@xxx Mon Nov  2 08:30:07 2026", []string{plain}, "", Unknown},
		{"X-Envelope-From", "", []string{"X-Envelope-From: x@b.test", plain}, "x@b.test", XEnvelopeFrom},
		{"X-Envelope-From below comes from strangers", "", []string{plain, "X-Envelope-From: x@b.test"}, "", Unknown},
		{"nothing", "", []string{plain}, "", Unknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := By(headerOf(tt.fields...), "mx.example.net", tt.line)
			if err != nil {
				t.Fatal(err)
			}
			if d.ReversePath != tt.path || d.PathSource != tt.source {
				t.Errorf("By = %q from %s, want %q from %s", d.ReversePath, d.PathSource, tt.path, tt.source)
			}
		})
	}
}
