package conf

import (
	"strings"
	"testing"
	"time"
)

// TestInWords: mistakes that people make in TOML are told in words, with what to write instead.
func TestInWords(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"byte order mark", "\ufeffenforce = 'observe'\n", "f:1:1: starts with a byte order mark (U+FEFF)"},
		{"UTF-16", "\xff\xfee\x00n\x00", "is UTF-16: save the file as UTF-8"},
		{"Latin-1", "authserv_id = 'm\xfcller.example'\n", "is not UTF-8"},
		{"smart quotes", "enforce = “observe”\n", "has the typographic quote “: write the plain quote \""},
		{"smart single quotes", "enforce = ‘observe’\n", "has the typographic quote ‘: write the plain quote '"},
		{"word without quotes", "enforce = observe # for a week\n", `f:1:11: text is written in quotes: write enforce = "observe"`},
		{"name without quotes", "authserv_id = mx.example.net\n", `text is written in quotes: write authserv_id = "mx.example.net"`},
		{"address without quotes", "[listen]\nmilter = 127.0.0.1:8895\n", `f:2:15: text is written in quotes: write milter = "127.0.0.1:8895"`},
		{"duration without quotes", "[dns]\ntimeout = 5s\n", `text is written in quotes: write timeout = "5s"`},
		{"socket without quotes", "[listen]\nmilter = unix:/run/x.sock\n", `text is written in quotes: write milter = "unix:/run/x.sock"`},
		{"list without quotes", "[dns]\nservers = [127.0.0.1, ::1]\n", `text is written in quotes: write servers = ["127.0.0.1", "::1"]`},
		{"closing quote", "enforce = 'observe\n", "the closing quote ' is missing"},
		{"closing double quote", "enforce = \"observe\n", "the closing quote \" is missing"},
		{"YAML", "enforce: observe\n", `key and value are separated by =, not by a colon: write enforce = "observe"`},
		{"no value", "enforce =\n", "the value of enforce is missing"},
		{"text for a list", "[[relay]]\nip = '192.0.2.1'\nresults = 'gw.test'\n", "f:2:6: [[relay]] ip: must be a list in brackets: write [\"192.0.2.1\"]"},
		{"list for a text", "[listen]\nmilter = ['127.0.0.1:8895']\n", "f:2:1: [listen] milter: must be text in quotes, not a list: write \"127.0.0.1:8895\""},
		{"lists for a text", "[listen]\nmilter = ['127.0.0.1:8895', '[::1]:8895']\n", "[listen] milter: must be text in quotes, not a list"},
		{"a table for entries", "[exempt]\ndkim = 'partner.example'\n", "f:1:2: exempt: must be a list of entries: write [[exempt]]"},
		{"entries for a table", "[[dns]]\ntimeout = '5s'\n", "f:1:3: dns: must be one table: write [dns]"},
		{"quotes for a boolean", "[dmarc]\npsl_guard = 'false'\n", "f:2:13: [dmarc] psl_guard: must be true or false, without quotes"},
		{"quotes for a number", "[spf]\nlookups = '10'\n", "[spf] lookups: must be a whole number, without quotes"},
		{"quotes for a date", "[[exempt]]\nip = '192.0.2.1'\nuntil = '2099-01-01'\n", "[[exempt]] until: must be a date such as 2027-03-01, without quotes"},
		{"capital of a boolean", "[dmarc]\npsl_guard = True\n", "f:2:13: a switch is true or false: write psl_guard = true"},
		{"word for a boolean", "[dmarc]\npsl_guard = off # for now\n", "f:2:13: a switch is true or false: write psl_guard = false"},
		{"a key of the top in a table", "[dns]\nenforce = 'observe'\n", `unknown key "enforce" in [dns]; it belongs at the top of the file, before the first [table]`},
		{"a key of another table", "[dns]\nmilter = '127.0.0.1:8895'\n", `unknown key "milter" in [dns]; it is a key of [listen]`},
		{"a key of a table at the top", "next_hop = '127.0.0.1:10026'\n", `unknown key "next_hop"; it is a key of [proxy]`},
		{"a word of other programs", "[[rule]]\nwhen = 'true'\nthen = 'reject'\n", `unknown key "then" in [[rule]]; did you mean "action"?`},
		{"several addresses of an exemption", "[[exempt]]\nip = ['192.0.2.1', '192.0.2.2']\n", "must be text in quotes, not a list: write an [[exempt]] for each"},
		{"a day that does not exist", "[[exempt]]\nip = '192.0.2.1'\nuntil = 2027-13-01 # then\n", "2027-13-01 is not a date such as 2027-03-01"},
		{"a date of one digit", "[[exempt]]\nip = '192.0.2.1'\nuntil = 2027-3-1\n", "2027-3-1 is not a date such as 2027-03-01"},
		{"comment of other files", "; mine\nenforce = 'observe'\n", "f:1:1: a comment starts with #"},
		{"comment of a program", "// mine\nenforce = 'observe'\n", "f:1:1: a comment starts with #"},
		{"semicolon", "enforce = 'observe';\n", "the ; at the end is too much: write enforce = 'observe'"},
		{"anything else", "[listen\n", "f:1:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Parse("f", []byte(tt.text), time.Now())
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Parse(%q) = %v, want %q", tt.text, err, tt.want)
			}
		})
	}
}

// FuzzInWords: any file with an error gets a message.
func FuzzInWords(f *testing.F) {
	f.Add([]byte("enforce = observe"), 1)
	f.Add([]byte("x = [[a"), 1)
	f.Fuzz(func(t *testing.T, data []byte, line int) {
		if inWords(data, line, "x") == "" {
			t.Error("nothing is said")
		}
	})
}
