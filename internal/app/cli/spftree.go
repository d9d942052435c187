package cli

import (
	"context"

	"github.com/spf13/cobra"

	"postseal/domain"
	"postseal/internal/core/spftree"
	"postseal/spf"
)

func (a recordCommands) spfTreeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "tree DOMAIN",
		Short: "Show what an SPF record results in: includes, lookups, addresses",
		Long: `Tree follows every include and redirect of a record and counts the most lookups that a
check can take. More than 10 lookups or 2 void lookups are a permerror for receivers.

Exit codes: 0 fine, 1 receivers may answer permerror or none, 2 failed DNS lookup.`,
		Args: exactly("DOMAIN"),
		RunE: func(c *cobra.Command, args []string) error { return a.spfTree(c.Context(), args[0]) },
	}
}

func (a recordCommands) spfTree(ctx context.Context, name string) error {
	if _, err := domain.Parse(name); err != nil {
		return notDomain("DOMAIN", err)
	}
	dns, _, err := a.dns(ctx)
	if err != nil {
		return err
	}
	defer a.done(dns)
	tree := spftree.Explore(ctx, dns, name)
	if err := interrupted(ctx); err != nil {
		return err
	}
	word := treeResult(tree)
	switch word {
	case spf.TempError:
		a.setExit(exitUndecided)
	case spf.PermError, spf.None:
		a.setExit(exitNo)
	}
	return a.page().Tree(tree, word)
}

// treeResult returns the result that receivers get for the record alone, or "" if it has no
// fault. An include or redirect to a name without a valid record is a permerror (RFC 7208 §5.2,
// §6.1).
func treeResult(tree *spftree.Tree) spf.Code {
	if tree.Root.Code != "" {
		return tree.Root.Code
	}
	result := nodeResult(tree.Root)
	if tree.Lookups > spf.DefaultLookups || tree.VoidLookups > spf.DefaultVoidLookups {
		result = spf.PermError
	}
	return result
}

func nodeResult(n *spftree.Node) (result spf.Code) {
	for i := range n.Terms {
		t := &n.Terms[i]
		if t.Err != nil {
			result = spf.TempError
		}
		if t.Child == nil {
			continue
		}
		below := t.Child.Code
		if below == "" {
			below = nodeResult(t.Child)
		}
		switch below {
		case spf.None, spf.PermError:
			return spf.PermError
		case spf.TempError:
			result = spf.TempError
		}
	}
	return result
}
