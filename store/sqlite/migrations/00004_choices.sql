-- +goose Up
-- What the operator said about sources of mail that reports name.
CREATE TABLE source_choice (
  domain TEXT NOT NULL, kind TEXT NOT NULL, source TEXT NOT NULL, ours INTEGER NOT NULL, chosen_at INTEGER NOT NULL, chosen_by TEXT NOT NULL,
  PRIMARY KEY (domain, kind, source)) STRICT, WITHOUT ROWID;
