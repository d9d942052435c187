package cli

import (
	"context"

	"postseal/domain"
	"postseal/internal/app/selectors"
	"postseal/store"
)

// learnHistory adds the selectors that the verdict history has for the named domains, if
// --store names it.
func (a auditCommand) learnHistory(ctx context.Context, f *auditFlags, names []string, l *selectors.List) error {
	if f.store == "" || f.fleet {
		return nil
	}
	return a.withStore(ctx, f.store, func(ctx context.Context, db store.Store) error {
		for _, n := range names {
			d, err := domain.Parse(n)
			if err != nil {
				continue // the audit reports it
			}
			if err := l.ReadHistory(ctx, db, d); err != nil {
				return err
			}
		}
		return nil
	})
}
