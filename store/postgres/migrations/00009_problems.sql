-- +goose Up
-- Reports of others that were not kept, and why: the newest ones.
CREATE TABLE postseal.inbound_problem (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at bigint NOT NULL, result text NOT NULL, why text NOT NULL, source text NOT NULL, org text NOT NULL, domain text NOT NULL, report_id text NOT NULL);
