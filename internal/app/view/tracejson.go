package view

import (
	"time"

	"postseal"
	"postseal/dmarc"
	"postseal/resolver"
	"postseal/spf"
)

// traceJSON is what --trace adds to the JSON.
type traceJSON struct {
	SPF   []spfTraceJSON `json:"spf"`
	DMARC dmarcTraceJSON `json:"dmarc"`
	DNS   []exchangeJSON `json:"dns"`
}

type spfTraceJSON struct {
	Identity string      `json:"identity"`
	Spent    []spendJSON `json:"spent"`
}

type spendJSON struct {
	Lookup int    `json:"lookup"`
	Domain string `json:"domain"`
	Term   string `json:"term"`
	Name   string `json:"name"`
	Void   bool   `json:"void"`
}

type dmarcTraceJSON struct {
	Walk     []stepJSON     `json:"walk"`
	Compared []comparedJSON `json:"compared"`
}

type stepJSON struct {
	Name    string `json:"name"`
	Outcome string `json:"outcome"`
	Record  string `json:"record"`
	Error   string `json:"error"`
}

type comparedJSON struct {
	Method    string     `json:"method"`
	Domain    string     `json:"domain"`
	OrgDomain string     `json:"org_domain"`
	Alignment string     `json:"alignment"`
	Unknown   bool       `json:"unknown"`
	Walk      []stepJSON `json:"walk"`
}

type exchangeJSON struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Outcome  string   `json:"outcome"` // records, nodata, nxdomain, or the kind of failure
	Records  []string `json:"records"`
	TTL      int64    `json:"ttl"`
	Security string   `json:"security"`
	Micros   int64    `json:"micros"`
}

func makeTrace(r *postseal.Report) traceJSON {
	t := traceJSON{SPF: []spfTraceJSON{}, DMARC: dmarcTraceJSON{Walk: makeSteps(r.DMARC.Walk), Compared: []comparedJSON{}}, DNS: []exchangeJSON{}}
	for _, s := range r.SPF {
		t.SPF = append(t.SPF, spfTraceJSON{string(s.Identity), makeSpent(s.Spent)})
	}
	for _, c := range r.DMARC.Compared {
		t.DMARC.Compared = append(t.DMARC.Compared, comparedJSON{c.Method, c.Domain, c.OrgDomain, string(c.Alignment), c.Unknown, makeSteps(c.Walk)})
	}
	for _, e := range r.Exchanges() {
		t.DNS = append(t.DNS, makeExchange(&e))
	}
	return t
}

func makeSpent(spent []spf.Spend) []spendJSON {
	list := make([]spendJSON, 0, len(spent))
	for _, s := range spent {
		list = append(list, spendJSON{s.Lookup, s.Domain, s.Term, s.Name, s.Void})
	}
	return list
}

func makeSteps(steps []dmarc.Step) []stepJSON {
	list := make([]stepJSON, 0, len(steps))
	for _, s := range steps {
		j := stepJSON{Name: s.Name, Outcome: string(s.Outcome), Record: s.Record}
		if s.Err != nil {
			j.Error = s.Err.Error()
		}
		list = append(list, j)
	}
	return list
}

func makeExchange(e *resolver.Exchange) exchangeJSON {
	j := exchangeJSON{Name: e.Name, Type: e.Type.String(), Outcome: "records", Records: []string{}, TTL: int64(e.Answer.TTL / time.Second),
		Security: e.Answer.Security.String(), Micros: e.Took.Microseconds()}
	switch {
	case e.Err != nil:
		j.Outcome = string(resolver.KindOf(e.Err))
	case e.Answer.NXDomain:
		j.Outcome = "nxdomain"
	case len(e.Answer.Records) == 0:
		j.Outcome = "nodata"
	}
	for i := range e.Answer.Records {
		j.Records = append(j.Records, recordText(&e.Answer.Records[i], e.Type))
	}
	return j
}
