package history

import (
	"context"
	"net/netip"
	"time"

	"postseal/store"
)

// foldRows is how many verdicts are read for a page of senders.
const foldRows = 10_000

// sender is what verdicts that share a row have in common.
type sender struct {
	author, mailFrom, applied, reason string
	network                           netip.Prefix
}

// Network returns the network of a client by which verdicts are folded: /24, or /48 for IPv6; the zero Prefix if there is no address.
func Network(client netip.Addr) netip.Prefix {
	bits := 24
	if client.Is6() {
		bits = 48
	}
	p, err := client.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// senders is a search whose rows are the newest verdicts of limit senders, with how many verdicts each has on this page: it
// reads until there is another sender, at most foldRows verdicts. A sender of this page may be on the next one again.
func senders(ctx context.Context, r store.Reader, q *store.Query, before int64, limit int, budget time.Duration) (p store.Page, counts []int, err error) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	places := map[sender]int{}
	counts = []int{}
	for read := 0; read < foldRows; {
		found, err := store.Search(ctx, r, q, before, MaxLimit, budget)
		if err != nil {
			return p, counts, err
		}
		for i := range found.Rows {
			x := &found.Rows[i]
			key := sender{x.Author, x.MFrom, x.Applied, x.Reason, Network(x.IP)}
			place, known := places[key]
			if !known {
				if len(p.Rows) == limit {
					p.Next = before
					return p, counts, nil
				}
				place = len(p.Rows)
				places[key] = place
				p.Rows, counts = append(p.Rows, *x), append(counts, 0)
			}
			counts[place]++
			before = x.ID
		}
		read += len(found.Rows)
		if p.Reached = found.Reached; p.Reached > 0 || found.Next == 0 {
			return p, counts, nil
		}
	}
	p.Next = before
	return p, counts, nil
}
