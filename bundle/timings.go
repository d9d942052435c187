package bundle

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"postseal/resolver"
)

// Timing says when a DNS query of a verdict began, and how long it took. It changes no verdict.
type Timing struct {
	Type, Name  string
	Began, Took time.Duration // Began is since MAIL FROM; both in whole microseconds
	Cached      bool          // the answer was there at once
}

// maxTimings limits the timings that are read.
const maxTimings = 1000

func timingsOf(exchanges []resolver.Exchange) []Timing {
	list := make([]Timing, 0, len(exchanges))
	for i := range exchanges {
		e := &exchanges[i]
		list = append(list, Timing{e.Type.String(), e.Name, e.Began.Round(time.Microsecond), e.Took.Round(time.Microsecond), e.Cached})
	}
	return list
}

// formatTimings writes one line per query: type, name, began and took in microseconds, "cached".
func formatTimings(list []Timing) string {
	var b strings.Builder
	for _, t := range list {
		fmt.Fprintf(&b, "%s %s %d %d", t.Type, word(t.Name), t.Began.Microseconds(), t.Took.Microseconds())
		if t.Cached {
			b.WriteString(" cached")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func parseTimings(text string) ([]Timing, error) {
	list := []Timing{}
	for i, line := range strings.Split(text, "\n") {
		words, err := split(line)
		if err == nil && len(words) == 0 {
			continue
		}
		if err != nil || len(words) < 4 || len(words) > 5 || len(words) == 5 && words[4] != "cached" || len(list) >= maxTimings {
			return nil, fmt.Errorf("line %d: not of the form TYPE NAME BEGAN TOOK [cached]", i+1)
		}
		began, errBegan := strconv.ParseUint(words[2], 10, 40)
		took, errTook := strconv.ParseUint(words[3], 10, 40)
		if errBegan != nil || errTook != nil {
			return nil, fmt.Errorf("line %d: BEGAN and TOOK are microseconds", i+1)
		}
		list = append(list, Timing{words[0], words[1], time.Duration(began) * time.Microsecond, time.Duration(took) * time.Microsecond, len(words) == 5})
	}
	return list, nil
}
