package bodyhash

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
)

// slow is the canonical form by the words of RFC 6376 §3.4, on a whole body.
func slow(c Canonicalization, body string) string {
	if c == Relaxed {
		lines := strings.Split(body, "\r\n")
		for i, l := range lines {
			l = regexp.MustCompile("[ \t]+").ReplaceAllString(l, " ")
			lines[i] = strings.TrimSuffix(l, " ")
		}
		body = strings.Join(lines, "\r\n")
	}
	for strings.HasSuffix(body, "\r\n") {
		body = strings.TrimSuffix(body, "\r\n")
	}
	if body == "" && c == Relaxed {
		return ""
	}
	return body + "\r\n"
}

func check(t *testing.T, c Canonicalization, body string, limit int64, chunk int) {
	t.Helper()
	var s Set
	whole, part := s.Request(c, NoLimit), s.Request(c, limit)
	for rest := body; rest != ""; {
		n := min(chunk, len(rest))
		s.Write([]byte(rest[:n]))
		rest = rest[n:]
	}
	s.Close()
	canonical := slow(c, body)
	if got, _ := s.Sum(whole); got != sha256.Sum256([]byte(canonical)) {
		t.Errorf("%v body %q in chunks of %d: hash is not that of %q", c, body, chunk, canonical)
	}
	if got := s.Length(whole); got != int64(len(canonical)) {
		t.Errorf("%v body %q: Length = %d, want %d", c, body, got, len(canonical))
	}
	got, ok := s.Sum(part)
	if want := limit <= int64(len(canonical)); ok != want {
		t.Errorf("%v body %q limit %d: ok = %v, want %v", c, body, limit, ok, want)
	} else if ok && got != sha256.Sum256([]byte(canonical[:limit])) {
		t.Errorf("%v body %q limit %d: hash is not that of %q", c, body, limit, canonical[:limit])
	}
}

var bodies = []string{"", "\r\n", "\r\n\r\n", " ", " \r\n", "a", "a\r\n", "a\r\n\r\n", " a  b\t\r\n c \r\n\r\n\r\n", "a\rb", "a\nb", "\n", "\r", "a \rb", "x\r",
	"a\r\r\nb", "a \r\r\n", "a\r\n\nb", "a\t\r\n\tb \r\n \r\n", "\r\r\n\n\r\n", "a b c\r\nd  e\r\n", " C \r\nD \t E\r\n\r\n\r\n"}

func TestCanonical(t *testing.T) {
	for _, body := range bodies {
		for _, c := range []Canonicalization{Simple, Relaxed} {
			for chunk := 1; chunk <= 4; chunk++ {
				for limit := int64(0); limit < int64(len(body)+4); limit++ {
					check(t, c, body, limit, chunk)
				}
			}
			check(t, c, body, 1, 1<<20)
		}
	}
}

// TestEmpty is RFC 6376 §3.4.3 and §3.4.4.
func TestEmpty(t *testing.T) {
	for c, want := range []string{"frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="} {
		var s Set
		i := s.Request(Canonicalization(c), NoLimit)
		s.Close()
		sum, _ := s.Sum(i)
		if got := base64.StdEncoding.EncodeToString(sum[:]); got != want {
			t.Errorf("%v: %s, want %s", Canonicalization(c), got, want)
		}
	}
}

func TestRequestShares(t *testing.T) {
	var s Set
	if a, b := s.Request(Relaxed, 7), s.Request(Relaxed, 7); a != b {
		t.Errorf("equal requests have indexes %d and %d", a, b)
	}
}

// FuzzCanonical: pieces and limits do not change a body hash, which agrees with a slow reference.
func FuzzCanonical(f *testing.F) {
	for _, b := range bodies {
		f.Add(b, uint8(2), uint8(3))
	}
	f.Fuzz(func(t *testing.T, body string, limit, chunk uint8) {
		for _, c := range []Canonicalization{Simple, Relaxed} {
			check(t, c, body, int64(limit), int(chunk)+1)
		}
	})
}

func benchmark(b *testing.B, c Canonicalization, body []byte, chunk int) {
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var s Set
		s.Request(c, NoLimit)
		for rest := body; len(rest) > 0; {
			n := min(chunk, len(rest))
			s.Write(rest[:n])
			rest = rest[n:]
		}
		s.Close()
	}
}

func BenchmarkBody(b *testing.B) {
	text := bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog, and then some more words.\r\n"), 14000)
	shapes := map[string][]byte{"text": text, "blank": bytes.Repeat([]byte("\r\n"), 500000), "longline": bytes.Repeat([]byte("x"), 1000000),
		"barelf": bytes.Repeat([]byte("\n\n\r"), 330000), "spaces": bytes.Repeat([]byte("  \r\n"), 250000)}
	b.Run("floor", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			sha256.Sum256(text)
		}
	})
	for _, name := range []string{"text", "blank", "longline", "barelf", "spaces"} {
		for _, c := range []Canonicalization{Simple, Relaxed} {
			b.Run(name+"/"+c.String(), func(b *testing.B) { benchmark(b, c, shapes[name], 32<<10) })
		}
	}
}
