-- +goose Up
CREATE TABLE failure_report (
  token TEXT PRIMARY KEY, day INTEGER NOT NULL, domain TEXT NOT NULL, uri TEXT NOT NULL, made_at INTEGER NOT NULL, ref TEXT NOT NULL, type TEXT NOT NULL,
  incidents INTEGER NOT NULL, body BLOB) STRICT, WITHOUT ROWID;
CREATE INDEX failure_report_made ON failure_report (made_at);
