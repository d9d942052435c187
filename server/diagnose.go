package server

import (
	"context"
	"time"

	"postseal"
	"postseal/bundle"
	"postseal/server/listener"
)

// The work of finding out why signatures broke is far above that of a verdict, and strangers choose
// how often: it gets a twentieth of one core, in microseconds per second, and up to a second at once.
const (
	diagnoseShare = 50_000
	diagnoseBurst = 1_000_000
)

// diagnose notes in a bundle why the signatures of a message broke that was not accepted. The keys
// come from the bundle: no name server is asked.
func (b *bundles) diagnose(kept *bundle.Bundle, v listener.Verdict, private bool) {
	body := v.Body.Bytes()
	if v.Body == nil || body == nil && v.Report.Cost.Bytes > 0 || b.spent.Tokens() <= 0 {
		return
	}
	config, err := kept.Config()
	if err != nil {
		return
	}
	verifier, err := postseal.New(config)
	if err != nil {
		return
	}
	began := time.Now()
	report := *v.Report // others read it at the same time
	report.DKIM = append(report.DKIM[:0:0], report.DKIM...)
	verifier.Diagnose(context.Background(), &report, body)
	kept.Diagnose(&report, private)
	took := int(min(time.Since(began), time.Second).Microseconds())
	b.spent.ReserveN(time.Now(), max(took, 1))
}
