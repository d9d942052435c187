-- +goose Up
-- Reports of others that were not kept, and why: the newest ones.
CREATE TABLE inbound_problem (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, result TEXT NOT NULL, why TEXT NOT NULL, source TEXT NOT NULL, org TEXT NOT NULL, domain TEXT NOT NULL, report_id TEXT NOT NULL) STRICT;
