package report

import (
	"time"
)

// judge checks the report as a whole, once all of it is known.
func (a *aggregateReader) judge() error {
	r := &a.report
	name, begin, end, named := fromFileName(a.p.name)
	if r.Domain == "" && named {
		r.Domain = name
		r.warn(MissingElement, 0, name, "the policy domain is missing: taken from the file name")
	}
	if r.Domain == "" {
		detail := "the report names no policy domain"
		if len(r.Warnings) > 0 && r.Warnings[0].Fault == NotWellFormed {
			detail += ": " + r.Warnings[0].Detail
		}
		return a.refusal(MissingElement, detail)
	}
	if err := a.dates(begin, end, named); err != nil {
		return err
	}
	for _, m := range []struct{ name, value string }{{"org_name", r.Org}, {"report_id", r.ID}} {
		if m.value == "" {
			r.warn(MissingElement, 0, "", m.name+" is missing")
		}
	}
	if r.Rows == 0 {
		r.warn(NoRecords, 0, "", "the report has no record that counts")
	}
	return nil
}

// dates reads the range of the report; the one of the file name serves when it cannot be
// right.
func (a *aggregateReader) dates(begin, end time.Time, named bool) error {
	r := &a.report
	b, standardBegin, okBegin := parseTime(a.begin)
	e, standardEnd, okEnd := parseTime(a.endDate)
	if okBegin && okEnd && !e.Before(b) {
		r.Begin, r.End = b, e
		if !standardBegin || !standardEnd {
			r.warn(BadDate, 0, a.begin, "the dates are not whole numbers of seconds")
		}
		if e.Sub(b) > 48*time.Hour {
			r.warn(LongRange, 0, "", "the report covers more than two days")
		}
		return nil
	}
	if !named {
		return &Refusal{Source: a.p.source, Fault: DateRange, Detail: "the date range cannot be right: from " + quoteDate(a.begin) + " to " + quoteDate(a.endDate)}
	}
	r.Begin, r.End = begin, end
	r.warn(DateRange, 0, a.begin, "the date range cannot be right: taken from the file name")
	return nil
}

func quoteDate(s string) string {
	if s == "" {
		return "nothing"
	}
	return `"` + clean(s) + `"`
}
