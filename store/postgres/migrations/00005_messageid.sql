-- +goose Up
ALTER TABLE postseal.verdict ADD COLUMN mid bytea;
-- Partitions that exist hold none, and are not read to build an index of nothing.
CREATE INDEX verdict_mid ON ONLY postseal.verdict (mid) WHERE mid IS NOT NULL;
