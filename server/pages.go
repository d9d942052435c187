package server

import (
	"net/http"
	"slices"

	"postseal/audit"
	"postseal/bundle"
	"postseal/domain"
	"postseal/internal/app/reportjson"
	"postseal/server/web"
	"postseal/server/web/ui"
)

// maxAudits bounds the audits that run at the same time: each may ask hundreds of questions.
const maxAudits = 4

// routes are what the http listener shows of the daemon.
func (d *Daemon) routes() []web.Route {
	get := func(path string, access web.Access, content func(*http.Request) (any, error)) web.Route {
		return web.Route{Method: http.MethodGet, Path: path, Access: access, Handler: web.JSON(d.engine, content)}
	}
	return append(ui.Routes(console{d}), []web.Route{
		{Method: http.MethodGet, Path: "/v1/whatif", Access: web.Reader, Handler: d.whatIfs.answer},
		{Method: http.MethodPost, Path: "/v1/policies", Access: web.Admin, Handler: d.whatIfs.paste},
		{Method: http.MethodPost, Path: "/v1/reports/in", Access: web.Admin, Handler: d.reportsIn},
		get("/v1/attention", web.Reader, d.notices.answer),
		get("/v1/trial", web.Reader, func(*http.Request) (any, error) { return d.trial.report(), nil }),
		get("/v1/verdicts/{ref}", web.Reader, d.bundles.verdict),
		get("/v1/verdicts", web.Reader, d.history.verdicts),
		get("/v1/domain/{domain}", web.Reader, d.history.domain),
		{Method: http.MethodGet, Path: "/v1/live", Access: web.Reader, Handler: web.Stream(d.engine, d.history.stream)},
		{Method: http.MethodGet, Path: "/v1/tail", Access: web.Reader, Handler: web.Stream(d.engine, d.history.tail)},
		get("/v1/audit/{domain}", web.Host, d.audit),
	}...)
}

func notFound(detail string) error { return &web.Refusal{Status: http.StatusNotFound, Detail: detail} }

// verdict runs the evidence of a verdict again, which is named by its reference or queue id,
// and says whether it still holds.
func (b *bundles) verdict(r *http.Request) (any, error) {
	kept, err := b.find(r.Context(), r.PathValue("ref"))
	if err != nil {
		return nil, err
	}
	report, err := kept.Run(r.Context())
	if err != nil {
		return nil, err
	}
	report.Ref = kept.Ref
	differences, missing := kept.Check(report), bundle.Missing(report)
	return reportjson.Extended{Report: report, More: []reportjson.Field{
		{Name: "holds", Value: len(differences) == 0},
		{Name: "differences", Value: append([]string{}, differences...)},
		{Name: "missing", Value: append([]string{}, missing...)},
	}}, nil
}

// audit looks at one domain, with the DNS of the listeners.
func (d *Daemon) audit(r *http.Request) (any, error) {
	name, err := domain.Parse(r.PathValue("domain"))
	if err != nil {
		return nil, &web.Refusal{Status: http.StatusBadRequest, Detail: err.Error()}
	}
	o, err := auditOptions(r)
	if err != nil {
		return nil, err
	}
	select {
	case d.audits <- struct{}{}:
		defer func() { <-d.audits }()
	default:
		return nil, &web.Refusal{Status: http.StatusServiceUnavailable, Detail: "other audits are running: try again later"}
	}
	dns := d.names.Load().cache
	a := audit.Auditor{Resolver: dns, Now: d.options.Now}
	if d.options.Resolver == nil {
		a.HTTP = audit.Network{}.HTTPClient(dns)
	}
	return a.Audit(r.Context(), name, o), nil
}

// auditOptions reads selector, which may be repeated, and profile.
func auditOptions(r *http.Request) (o audit.Options, err error) {
	for key, values := range r.URL.Query() {
		switch key {
		case "selector":
			for _, s := range values {
				name, err := domain.Parse(s)
				if err != nil {
					return o, &web.Refusal{Status: http.StatusBadRequest, Detail: "selector: " + err.Error()}
				}
				o.Selectors = append(o.Selectors, audit.Selector{Name: name, Source: audit.FromFlag})
			}
		case "profile":
			o.Profile = audit.Profile(values[0])
			if !slices.Contains([]audit.Profile{audit.Auto, audit.Sending, audit.Receiving, audit.Parked}, o.Profile) {
				return o, &web.Refusal{Status: http.StatusBadRequest, Detail: "profile is not one of auto, sending, receiving, parked"}
			}
		default:
			return o, &web.Refusal{Status: http.StatusBadRequest, Detail: "unknown parameter " + key + "; known are selector, profile"}
		}
	}
	return o, nil
}
