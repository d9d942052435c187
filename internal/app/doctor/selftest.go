package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/d--j/go-milter"

	"postseal/dmarc"
	"postseal/internal/app/endpoint"
	"postseal/internal/app/selftest"
)

// ErrSelftest is the error of Selftest where the daemon or the server would not give the attacks a
// fair trial. Any other error is of a server that cannot be reached.
var ErrSelftest = errors.New("the attacks would show nothing")

// Selftest finds out before any attack is sent whether the server and the daemon are set up for it:
// the server takes the attacker's address by XCLIENT, and the daemon at milter knows the domains of
// the attacks and rejects. It asks the server without a message, and the daemon through its milter,
// so that nothing is delivered.
func Selftest(ctx context.Context, attacks []selftest.Attack, t selftest.Target, milter string) error {
	if ok, err := t.TakesAddress(ctx); err != nil {
		return fmt.Errorf("%s: %w", t.Address, err)
	} else if !ok {
		return fmt.Errorf("%w: %s does not offer XCLIENT to this host, so every message would come from loopback, which is not checked; "+
			"set smtpd_authorized_xclient_hosts = 127.0.0.1 for the test", ErrSelftest, t.Address)
	}
	if milter == "" {
		return fmt.Errorf("%w: no milter of a daemon is known that could be asked for the domains of the attacks", ErrSelftest)
	}
	domains, err := victims(ctx, attacks)
	if err != nil {
		return err
	}
	var unknown, accepted []string
	for _, d := range domains {
		switch outcome, err := canary(ctx, milter, d, t.To); {
		case err != nil:
			return fmt.Errorf("the milter %s: %w", milter, endpoint.Cause(err))
		case outcome == domainUnknown:
			unknown = append(unknown, d)
		case outcome == forgeryAccepted:
			accepted = append(accepted, d)
		}
	}
	switch {
	case len(unknown) > 0:
		return fmt.Errorf("%w: the daemon does not know the domains %s, which exist only in the zone of the test; "+
			"start it with --zone attacks.zone, the output of postseal selftest --print-zone", ErrSelftest, strings.Join(unknown, ", "))
	case len(accepted) > 0:
		return fmt.Errorf("%w: the daemon accepts a plain forgery of %s; set enforce to guarded or strict for the test", ErrSelftest, strings.Join(accepted, ", "))
	}
	return nil
}

// victims are the domains whose policy of reject the attacks try to get around.
func victims(ctx context.Context, attacks []selftest.Attack) ([]string, error) {
	var domains []string
	for i := range attacks {
		r, err := attacks[i].Bundle.Run(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", attacks[i].Name, err)
		}
		if d := r.DMARC.PolicyDomain; r.DMARC.Code == dmarc.Fail && r.DMARC.Policy == dmarc.PolicyReject && !slices.Contains(domains, d) {
			domains = append(domains, d)
		}
	}
	slices.Sort(domains)
	return domains, nil
}

// outcome is what the daemon makes of a plain forgery.
type outcome int

const (
	forgeryRejected outcome = iota
	forgeryAccepted
	domainUnknown
)

// canary has the daemon judge a plain forgery of a domain, and hands it to no one.
func canary(ctx context.Context, listener, domain, to string) (outcome, error) {
	macros := milter.NewMacroBag()
	macros.Set(milter.MacroQueueId, "selftest")
	s, err := endpoint.Session(ctx, listener, macros)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	added, action, err := forge(s, Probe{From: "security@" + domain, To: to})
	switch {
	case err != nil:
		return 0, err
	case action.StopProcessing() && action.SMTPCode >= 500:
		return forgeryRejected, nil
	case strings.Contains(strings.Join(added, "\n"), "dmarc=fail"):
		return forgeryAccepted, nil
	}
	return domainUnknown, nil
}
