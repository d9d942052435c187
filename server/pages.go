package server

import (
	"encoding/json"
	"net/http"
	"slices"

	"postseal/bundle"
	"postseal/internal/app/reportjson"
	"postseal/server/web"
	"postseal/server/web/ui"
)

// routes are what the http listener shows of the daemon.
func (d *Daemon) routes() []web.Route {
	get := func(path string, access web.Access, content func(*http.Request) (any, error)) web.Route {
		return web.Route{Method: http.MethodGet, Path: path, Access: access, Handler: web.JSON(d.engine, content)}
	}
	return append(ui.Routes(console{d}), slices.Concat([]web.Route{
		{Method: http.MethodGet, Path: "/v1/whatif", Access: web.Reader, Handler: d.whatIfs.answer},
		{Method: http.MethodPost, Path: "/v1/policies", Access: web.Admin, Handler: d.whatIfs.paste},
		get("/v1/attention", web.Reader, d.notices.answer),
		get("/v1/trial", web.Reader, func(*http.Request) (any, error) { return d.trial.report(), nil }),
		get("/v1/verdicts/{ref}", web.Reader, d.bundles.verdict),
		get("/v1/verdicts/{ref}/story", web.Reader, console{d}.story),
		{Method: http.MethodGet, Path: "/v1/verdicts/{ref}/bundle", Access: web.Admin, Handler: web.Stream(d.engine, d.bundles.text)},
		get("/v1/verdicts", web.Reader, d.history.verdicts),
		get("/v1/minutes", web.Reader, d.minutes),
		get("/v1/domain/{domain}", web.Reader, d.history.domain),
		{Method: http.MethodGet, Path: "/v1/live", Access: web.Reader, Stream: true, Handler: web.Stream(d.engine, d.history.stream)},
		{Method: http.MethodGet, Path: "/v1/tail", Access: web.Reader, Stream: true, Handler: web.Stream(d.engine, d.history.tail)},
	}, d.audits.routes(), d.reportsInRoutes(), d.reportsOutRoutes(), d.systemRoutes())...)
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
	return maskedJSON(ui.PrivateOf(report, kept.Envelope.From, kept.Envelope.To), reportjson.Extended{Report: report, More: []reportjson.Field{
		{Name: "holds", Value: len(differences) == 0},
		{Name: "differences", Value: append([]string{}, differences...)},
		{Name: "missing", Value: append([]string{}, missing...)},
	}})
}

// maskedJSON encodes v without local parts that the evidence holds.
func maskedJSON(p *ui.Private, v any) (any, error) {
	text, err := json.Marshal(v)
	return json.RawMessage(p.Mask(string(text))), err
}
