-- +goose Up
CREATE TABLE postseal.report (
  day bigint NOT NULL, domain text NOT NULL, report_id text NOT NULL UNIQUE, file text NOT NULL, policy_hash bytea NOT NULL, state text NOT NULL, why text NOT NULL,
  records bigint NOT NULL, messages bigint NOT NULL, left_out bigint NOT NULL, body bytea, built_at bigint NOT NULL, next_at bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (day, domain));
CREATE INDEX report_state ON postseal.report (state, next_at) WHERE state = 'built';
CREATE TABLE postseal.delivery (
  day bigint NOT NULL, domain text NOT NULL, uri text NOT NULL, address text NOT NULL, state text NOT NULL, attempts bigint NOT NULL DEFAULT 0,
  first_at bigint NOT NULL DEFAULT 0, next_at bigint NOT NULL, lease_until bigint NOT NULL DEFAULT 0, token text NOT NULL UNIQUE, reply text NOT NULL DEFAULT '',
  sent_at bigint NOT NULL DEFAULT 0, PRIMARY KEY (day, domain, uri));
CREATE INDEX delivery_due ON postseal.delivery (state, next_at) WHERE state IN ('due', 'sending');
CREATE TABLE postseal.suppression (
  target text PRIMARY KEY, until_at bigint NOT NULL, why text NOT NULL, hits bigint NOT NULL, by_hand bigint NOT NULL);
CREATE TABLE postseal.domain_seen (domain text PRIMARY KEY, first_ok bigint NOT NULL, last_ok bigint NOT NULL);
CREATE TABLE postseal.failure_sent (day bigint NOT NULL, domain text NOT NULL, what text NOT NULL, n bigint NOT NULL, last_at bigint NOT NULL, PRIMARY KEY (day, domain, what));
CREATE TABLE postseal.inbound (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state text NOT NULL, kind text NOT NULL, org text NOT NULL, email text NOT NULL, report_id text NOT NULL, domain text NOT NULL,
  begin_at bigint NOT NULL, end_at bigint NOT NULL, records bigint NOT NULL, messages bigint NOT NULL, warnings bigint NOT NULL, meta text NOT NULL, digest bytea NOT NULL,
  carrier text NOT NULL, proven bigint NOT NULL, read_at bigint NOT NULL, UNIQUE (kind, org, domain, report_id, begin_at, end_at));
CREATE INDEX inbound_domain ON postseal.inbound (domain, begin_at);
CREATE INDEX inbound_read ON postseal.inbound (read_at);
CREATE TABLE postseal.inbound_row (
  inbound bigint NOT NULL, n bigint NOT NULL, ip text NOT NULL, messages bigint NOT NULL, record text NOT NULL, PRIMARY KEY (inbound, n));
CREATE TABLE postseal.source_day (
  domain text NOT NULL, day bigint NOT NULL, kind text NOT NULL, source text NOT NULL, ip text NOT NULL, messages bigint NOT NULL, spf_ok bigint NOT NULL,
  dkim_ok bigint NOT NULL, dmarc_ok bigint NOT NULL, quarantined bigint NOT NULL, rejected bigint NOT NULL, listed bigint NOT NULL, broken bigint NOT NULL,
  PRIMARY KEY (domain, day, kind, source));
