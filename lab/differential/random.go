package differential

import "math/rand/v2"

// random is the source of one case: the same seed and number make the same case.
type random struct{ *rand.Rand }

func newRandom(seed, number uint64) random { return random{rand.New(rand.NewPCG(seed, number))} }

// chance is true in percent of all calls.
func (r random) chance(percent int) bool { return r.IntN(100) < percent }

func pick[T any](r random, list []T) T { return list[r.IntN(len(list))] }

// weighted picks an index by weight.
func (r random) weighted(weights ...int) int {
	sum := 0
	for _, w := range weights {
		sum += w
	}
	n := r.IntN(sum)
	for i, w := range weights {
		if n -= w; n < 0 {
			return i
		}
	}
	return 0
}
