package refusal

import (
	"context"
	"flag"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

var guesses = flag.Int("guesses", 2000, "how many addresses TestGuesses tries")

// rightRef is the reference of a message that was refused.
const rightRef = "V8J8SAPH"

// guess returns an address with a tag that is not the right one: of the message that was refused, or of another.
func guess(random *rand.Rand, key *Key, known bool) string {
	letters := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[random.IntN(32)]
		}
		return string(b)
	}
	ref := rightRef
	for !known && ref == rightRef {
		ref = letters(refLen)
	}
	tag := letters(tagLen)
	for tag == key.Tag(ref) {
		tag = letters(tagLen)
	}
	return "/r/" + ref + "-" + tag
}

// TestGuesses: a wrong tag of a message that was refused and any tag of one that was not look the same: one status,
// one body, the same fields, and nothing is looked up. The times are of one distribution (Kolmogorov-Smirnov). The
// long form, -guesses 100000, is make guesses.
func TestGuesses(t *testing.T) {
	looks := 0
	p, key := open(t, func(context.Context, string) (*Facts, error) { looks++; return bank(), nil }, false)
	random := rand.New(rand.NewPCG(1, 2))
	first := get(p, "/r/none")
	check := func(rw *httptest.ResponseRecorder, path string) {
		if rw.Code != http.StatusNotFound || rw.Body.String() != first.Body.String() {
			t.Fatalf("%s: %d\n%s", path, rw.Code, rw.Body)
		}
		for name, values := range first.Header() {
			if !slices.Equal(rw.Header()[name], values) {
				t.Errorf("%s: %s is %v, want %v", path, name, rw.Header()[name], values)
			}
		}
	}
	unlike := timesDiffer(t, p, check, *guesses, func(known bool) string { return guess(random, key, known) })
	if looks > 0 {
		t.Errorf("%d guesses were looked up", looks)
	}
	if unlike {
		t.Error("the time of an answer tells whether a message was refused")
	}
	if rw := get(p, "/r/"+rightRef+"-"+key.Tag(rightRef)); rw.Code != http.StatusOK || looks != 1 {
		t.Errorf("the right tag: %d, %d looked up", rw.Code, looks)
	}
}

// TestGuessesAreMeasured: the comparison of TestGuesses sees a page that looks up a message before it compares the
// tag, though all else is the same.
func TestGuessesAreMeasured(t *testing.T) {
	p, key := open(t, nil, false)
	careless := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, rightRef) {
			for until := time.Now().Add(100 * time.Microsecond); time.Now().Before(until); { // a read of the store
			}
		}
		p.ServeHTTP(rw, r)
	})
	random := rand.New(rand.NewPCG(3, 4))
	if !timesDiffer(t, careless, func(*httptest.ResponseRecorder, string) {}, 2000, func(known bool) string { return guess(random, key, known) }) {
		t.Error("a lookup of 0.1 ms is not seen")
	}
}

// timesDiffer compares the times of two kinds of requests, of which each is drawn at random: what else runs on this
// host meets both alike. One comparison in a million finds a difference where there is none; so it must be found
// in each of three.
func timesDiffer(t *testing.T, h http.Handler, check func(*httptest.ResponseRecorder, string), n int, path func(known bool) string) bool {
	t.Helper()
	random := rand.New(rand.NewPCG(5, 6))
	for range 3 {
		var times [2][]float64
		for range n {
			k := random.IntN(2)
			r := httptest.NewRequest(http.MethodGet, path(k == 1), nil)
			rw := httptest.NewRecorder()
			began := time.Now()
			h.ServeHTTP(rw, r)
			times[k] = append(times[k], float64(time.Since(began)))
			check(rw, r.URL.Path)
		}
		a, b := float64(len(times[0])), float64(len(times[1]))
		d, most := distance(times[0], times[1]), math.Sqrt(math.Log(2/1e-6)/2)*math.Sqrt((a+b)/(a*b))
		t.Logf("%.0f and %.0f requests: distance %.3f, chance up to %.3f", a, b, d, most)
		if d <= most {
			return false
		}
	}
	return true
}

// distance returns the largest difference between two empirical distributions (Kolmogorov and Smirnov).
func distance(a, b []float64) (most float64) {
	slices.Sort(a)
	slices.Sort(b)
	i, k := 0, 0
	for i < len(a) && k < len(b) {
		x := min(a[i], b[k])
		for i < len(a) && a[i] == x {
			i++
		}
		for k < len(b) && b[k] == x {
			k++
		}
		most = max(most, math.Abs(float64(i)/float64(len(a))-float64(k)/float64(len(b))))
	}
	return most
}
