-- +goose Up
-- The first day of a source is one look into this index, however many days it has.
CREATE INDEX source_day_first ON source_day (domain, kind, source, day);
-- What became of our reports is counted in these, and those that failed are found, without a look at their text.
CREATE INDEX report_became ON report (state, day);
CREATE INDEX delivery_became ON delivery (state, day, domain, uri);
