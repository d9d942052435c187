-- +goose Up
CREATE TABLE report (
  day INTEGER NOT NULL, domain TEXT NOT NULL, report_id TEXT NOT NULL UNIQUE, file TEXT NOT NULL, policy_hash BLOB NOT NULL, state TEXT NOT NULL, why TEXT NOT NULL,
  records INTEGER NOT NULL, messages INTEGER NOT NULL, left_out INTEGER NOT NULL, body BLOB, built_at INTEGER NOT NULL, next_at INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (day, domain)) STRICT;
CREATE INDEX report_state ON report (state, next_at) WHERE state = 'built';
CREATE TABLE delivery (
  day INTEGER NOT NULL, domain TEXT NOT NULL, uri TEXT NOT NULL, address TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
  first_at INTEGER NOT NULL DEFAULT 0, next_at INTEGER NOT NULL, lease_until INTEGER NOT NULL DEFAULT 0, token TEXT NOT NULL UNIQUE, reply TEXT NOT NULL DEFAULT '',
  sent_at INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (day, domain, uri)) STRICT;
CREATE INDEX delivery_due ON delivery (state, next_at) WHERE state IN ('due', 'sending');
CREATE TABLE suppression (
  target TEXT PRIMARY KEY, until_at INTEGER NOT NULL, why TEXT NOT NULL, hits INTEGER NOT NULL, by_hand INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE domain_seen (domain TEXT PRIMARY KEY, first_ok INTEGER NOT NULL, last_ok INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE failure_sent (day INTEGER NOT NULL, domain TEXT NOT NULL, what TEXT NOT NULL, n INTEGER NOT NULL, last_at INTEGER NOT NULL, PRIMARY KEY (day, domain, what)) STRICT, WITHOUT ROWID;
CREATE TABLE inbound (
  id INTEGER PRIMARY KEY AUTOINCREMENT, state TEXT NOT NULL, kind TEXT NOT NULL, org TEXT NOT NULL, email TEXT NOT NULL, report_id TEXT NOT NULL, domain TEXT NOT NULL,
  begin_at INTEGER NOT NULL, end_at INTEGER NOT NULL, records INTEGER NOT NULL, messages INTEGER NOT NULL, warnings INTEGER NOT NULL, meta TEXT NOT NULL, digest BLOB NOT NULL,
  carrier TEXT NOT NULL, proven INTEGER NOT NULL, read_at INTEGER NOT NULL, UNIQUE (kind, org, domain, report_id, begin_at, end_at)) STRICT;
CREATE INDEX inbound_domain ON inbound (domain, begin_at);
CREATE INDEX inbound_read ON inbound (read_at);
CREATE TABLE inbound_row (
  inbound INTEGER NOT NULL, n INTEGER NOT NULL, ip TEXT NOT NULL, messages INTEGER NOT NULL, record TEXT NOT NULL, PRIMARY KEY (inbound, n)) STRICT, WITHOUT ROWID;
CREATE TABLE source_day (
  domain TEXT NOT NULL, day INTEGER NOT NULL, kind TEXT NOT NULL, source TEXT NOT NULL, ip TEXT NOT NULL, messages INTEGER NOT NULL, spf_ok INTEGER NOT NULL,
  dkim_ok INTEGER NOT NULL, dmarc_ok INTEGER NOT NULL, quarantined INTEGER NOT NULL, rejected INTEGER NOT NULL, listed INTEGER NOT NULL, broken INTEGER NOT NULL,
  PRIMARY KEY (domain, day, kind, source)) STRICT, WITHOUT ROWID;
