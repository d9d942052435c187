package middleware

import "postseal/resolver"

// Failure returns the first query that failed, or nil. A query that was canceled, for example because
// the verdict no longer needed its answer, counts only if no other failed.
func Failure(exchanges []resolver.Exchange) *resolver.Exchange {
	var canceled *resolver.Exchange
	for i := range exchanges {
		x := &exchanges[i]
		switch {
		case x.Err == nil:
		case resolver.KindOf(x.Err) != resolver.Canceled:
			return x
		case canceled == nil:
			canceled = x
		}
	}
	return canceled
}
