-- +goose Up
CREATE TABLE postseal.failure_report (
  token text PRIMARY KEY, day bigint NOT NULL, domain text NOT NULL, uri text NOT NULL, made_at bigint NOT NULL, ref text NOT NULL, type text NOT NULL,
  incidents bigint NOT NULL, body bytea);
CREATE INDEX failure_report_made ON postseal.failure_report (made_at);
