-- +goose Up
CREATE TABLE postseal.meta (key text PRIMARY KEY, value text NOT NULL);
INSERT INTO postseal.meta (key, value) VALUES ('store', replace(gen_random_uuid()::text, '-', '')), ('major', '1');
CREATE TABLE postseal.node (
  slot smallint PRIMARY KEY, instance text NOT NULL UNIQUE, boot text NOT NULL, name text NOT NULL, version text NOT NULL,
  segment bigint NOT NULL DEFAULT 0, pos bigint NOT NULL DEFAULT 0, shipped_until bigint NOT NULL DEFAULT 0, seen_at bigint NOT NULL DEFAULT 0,
  lost bigint NOT NULL DEFAULT 0);
CREATE TABLE postseal.loss (
  node text NOT NULL, day integer NOT NULL, reason text NOT NULL, n bigint NOT NULL, first bigint NOT NULL, last bigint NOT NULL,
  PRIMARY KEY (node, day, reason));
CREATE TABLE postseal.report_day (
  day integer PRIMARY KEY, state text NOT NULL DEFAULT 'open', closed_at bigint NOT NULL DEFAULT 0, waited_for text NOT NULL DEFAULT '',
  verdicts bigint NOT NULL DEFAULT 0, late bigint NOT NULL DEFAULT 0);
CREATE TABLE postseal.policy (
  hash bytea PRIMARY KEY, domain text NOT NULL, record text NOT NULL, discovery text NOT NULL, first_seen bigint NOT NULL, last_seen bigint NOT NULL);
CREATE INDEX policy_domain ON postseal.policy (domain);
CREATE TABLE postseal.selector (
  domain text NOT NULL, selector text NOT NULL, algo text NOT NULL, bits integer NOT NULL, verified boolean NOT NULL,
  first_seen bigint NOT NULL, last_seen bigint NOT NULL, PRIMARY KEY (domain, selector));
CREATE TABLE postseal.record (
  name text NOT NULL, hash bytea NOT NULL, domain text NOT NULL, record text NOT NULL, first_seen bigint NOT NULL, last_seen bigint NOT NULL,
  PRIMARY KEY (name, hash));
CREATE INDEX record_domain ON postseal.record (domain);
CREATE INDEX record_seen ON postseal.record (last_seen);
CREATE TABLE postseal.day_info (day integer PRIMARY KEY, masked text NOT NULL DEFAULT '');
CREATE TABLE postseal.verdict (
  id bigint NOT NULL, ref bigint NOT NULL, qid text NOT NULL, node smallint NOT NULL, door text NOT NULL, action text NOT NULL, applied text NOT NULL,
  enforce text NOT NULL, reason text NOT NULL, author text NOT NULL, authors text NOT NULL, mfrom text NOT NULL, helo text NOT NULL, ip inet, list text NOT NULL,
  spf text NOT NULL, spf_domain text NOT NULL, dkim text NOT NULL, dmarc text NOT NULL, aligned text NOT NULL, p text NOT NULL, policy_domain text NOT NULL,
  policy_hash bytea, arc text NOT NULL, iprev text NOT NULL, override text NOT NULL, why text NOT NULL, stale integer NOT NULL, dns integer NOT NULL,
  bytes bigint NOT NULL, ms integer NOT NULL, cause smallint NOT NULL, late boolean NOT NULL, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE INDEX verdict_ref ON postseal.verdict (ref);
CREATE INDEX verdict_qid ON postseal.verdict (qid);
CREATE INDEX verdict_author ON postseal.verdict (author, id);
CREATE INDEX verdict_ip ON postseal.verdict (ip, id);
CREATE INDEX verdict_action ON postseal.verdict (action, id) WHERE action <> 'accept';
CREATE VIEW postseal.history AS SELECT to_timestamp((id >> 21) / 1000.0) AS at, verdict.* FROM postseal.verdict;
