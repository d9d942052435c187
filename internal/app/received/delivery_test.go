package received

import (
	"errors"
	"testing"
)

func TestBy(t *testing.T) {
	const (
		ours    = "Received: from out.test (out.test [192.0.2.1]) by mx.example.net (Postfix) with ESMTPS id 1; Mon,  2 Nov 2026 08:30:07 +0000 (UTC)"
		forged  = "Received: from good.test (good.test [192.0.2.200]) by mx.example.net; Sun, 1 Nov 2026 08:30:07 +0000"
		again   = "Received: from localhost (localhost [127.0.0.1]) by mx.example.net (Postfix) with ESMTP id 2; Mon, 2 Nov 2026 08:30:09 +0000"
		amavis  = "Received: from mx.example.net ([127.0.0.1]) by localhost (mx.example.net [127.0.0.1]) (amavisd-new, port 10024) with ESMTP id 3; Mon, 2 Nov 2026 08:30:08 +0000"
		pickup  = "Received: by mx.example.net (Postfix, from userid 0) id 4; Mon, 2 Nov 2026 08:30:08 +0000"
		store   = "Received: from mx.example.net (mx [10.0.0.2]) by store.example.net with LMTP id 5; Mon, 2 Nov 2026 08:30:10 +0000"
		spoilt  = "Received: from a( (out.test [203.0.113.7]) by mx.example.net; x"
		unclear = "Received: from a by mx.example.net; x"
	)
	for _, test := range []struct {
		name       string
		lines      []string
		ip, path   string
		time, with string
		field      int
		err        error
	}{
		{"plain", []string{"Return-Path: <a@b.test>", ours, forged}, "192.0.2.1", "a@b.test", "08:30:07", "ESMTPS", 1, nil},
		{"below our store", []string{"Return-Path: <>", store, ours}, "192.0.2.1", "", "08:30:07", "ESMTPS", 2, nil},
		{"back from a content filter", []string{again, amavis, ours, forged}, "192.0.2.1", "", "08:30:07", "ESMTPS", 2, nil},
		{"sent on the host itself, through a filter", []string{again, amavis, pickup, forged}, "127.0.0.1", "", "08:30:08", "ESMTP", 1, nil},
		{"a filter, and a stranger's field", []string{again, store, ours}, "127.0.0.1", "", "08:30:09", "ESMTP", 0, nil},
		{"nothing below a filter", []string{again}, "127.0.0.1", "", "08:30:09", "ESMTP", 0, nil},
		{"pickup", []string{pickup, forged}, "", "", "", "", 0, ErrNoClient},
		{"no address", []string{unclear, ours}, "", "", "", "", 0, ErrNoClient},
		{"spoilt above a forged one", []string{spoilt, forged}, "", "", "", "", 0, ErrUnreadable},
		{"not stamped", []string{store, "From: a@b.test"}, "", "", "", "", 0, new(NotStampedError)},
	} {
		d, err := By(headerOf(test.lines...), "MX.example.net.", "")
		if test.err != nil {
			var other *NotStampedError
			if !errors.Is(err, test.err) && !errors.As(err, &other) {
				t.Errorf("%s: error %v, want %v", test.name, err, test.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if d.IP.String() != test.ip || d.ReversePath != test.path || d.Time.UTC().Format("15:04:05") != test.time || d.With != test.with || d.Field != test.field {
			t.Errorf("%s: By = %v <%s> at %v with %s, field %d; want %s <%s> at %s with %s, field %d", test.name,
				d.IP, d.ReversePath, d.Time, d.With, d.Field, test.ip, test.path, test.time, test.with, test.field)
		}
	}
}

func TestDate(t *testing.T) {
	for value, want := range map[string]string{
		"by mx; Mon, 2 Nov 2026 08:30:07 +0100":                       "2026-11-02T07:30:07Z",
		"by mx\r\n\tid 1; Mon,  2 Nov 2026\r\n\t08:30:07 +0000 (UTC)": "2026-11-02T08:30:07Z",
		"by mx (a; b); 2 Nov 2026 08:30:07 GMT":                       "2026-11-02T08:30:07Z",
		"by mx":                                                       "0001-01-01T00:00:00Z",
		"by mx; yesterday":                                            "0001-01-01T00:00:00Z",
		"by mx; Mon, 99 Nov 2026":                                     "0001-01-01T00:00:00Z",
	} {
		if got := Date([]byte(value)).UTC().Format("2006-01-02T15:04:05Z"); got != want {
			t.Errorf("Date(%q) = %s, want %s", value, got, want)
		}
	}
}
