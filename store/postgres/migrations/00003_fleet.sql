-- +goose Up
CREATE TABLE postseal.member (
  id text PRIMARY KEY, name text NOT NULL, place text NOT NULL, version text NOT NULL, started_at bigint NOT NULL, seen_at bigint NOT NULL, skew_ms bigint NOT NULL DEFAULT 0,
  login bytea NOT NULL DEFAULT '', config_n bigint NOT NULL DEFAULT 0, judged_n bigint NOT NULL DEFAULT 0, judgement text NOT NULL DEFAULT '');
CREATE TABLE postseal.secret (
  name text NOT NULL, id bytea NOT NULL, value bytea NOT NULL, from_at bigint NOT NULL, until_at bigint NOT NULL DEFAULT 0, PRIMARY KEY (name, id));
CREATE TABLE postseal.login (
  id bytea PRIMARY KEY, kind text NOT NULL, name text NOT NULL, role text NOT NULL, proof bytea NOT NULL, began_at bigint NOT NULL, seen_at bigint NOT NULL);
CREATE TABLE postseal.config (
  n bigint PRIMARY KEY, state text NOT NULL, body text NOT NULL, author text NOT NULL, note text NOT NULL, made_at bigint NOT NULL, active_at bigint NOT NULL DEFAULT 0);
CREATE TABLE postseal.lease (name text PRIMARY KEY, holder text NOT NULL, holder_name text NOT NULL, until_at bigint NOT NULL);
CREATE TABLE postseal.work (
  id text PRIMARY KEY, kind text NOT NULL, spec text NOT NULL, items bigint NOT NULL, ready boolean NOT NULL DEFAULT false, made_at bigint NOT NULL, used_at bigint NOT NULL);
CREATE TABLE postseal.work_chunk (
  work text NOT NULL REFERENCES postseal.work ON DELETE CASCADE, n bigint NOT NULL, items text NOT NULL, done boolean NOT NULL DEFAULT false,
  holder text NOT NULL DEFAULT '', lease_until bigint NOT NULL DEFAULT 0, attempts integer NOT NULL DEFAULT 0, PRIMARY KEY (work, n));
CREATE INDEX work_chunk_due ON postseal.work_chunk (lease_until) WHERE NOT done;
CREATE TABLE postseal.work_result (
  work text NOT NULL, chunk bigint NOT NULL, n bigint NOT NULL, body text NOT NULL, PRIMARY KEY (work, chunk, n),
  FOREIGN KEY (work, chunk) REFERENCES postseal.work_chunk ON DELETE CASCADE);
-- Roles for dashboards may read all tables, later ones too; of these they see no rows. Only the owner does, the role of the daemons.
ALTER TABLE postseal.secret ENABLE ROW LEVEL SECURITY;
ALTER TABLE postseal.login ENABLE ROW LEVEL SECURITY;
ALTER TABLE postseal.member ENABLE ROW LEVEL SECURITY;
ALTER TABLE postseal.config ENABLE ROW LEVEL SECURITY;
