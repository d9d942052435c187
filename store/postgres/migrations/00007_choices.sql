-- +goose Up
-- What the operator said about sources of mail that reports name.
CREATE TABLE postseal.source_choice (
  domain text NOT NULL, kind text NOT NULL, source text NOT NULL, ours smallint NOT NULL, chosen_at bigint NOT NULL, chosen_by text NOT NULL,
  PRIMARY KEY (domain, kind, source));
