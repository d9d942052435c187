-- +goose Up
-- Work names files and mail, so roles for dashboards see no row of it: see migration 3.
ALTER TABLE postseal.work ENABLE ROW LEVEL SECURITY;
ALTER TABLE postseal.work_chunk ENABLE ROW LEVEL SECURITY;
ALTER TABLE postseal.work_result ENABLE ROW LEVEL SECURITY;
-- What [notify] told of all hosts: notify.Seen in JSON by the name of the alarm.
CREATE TABLE postseal.notice (name text PRIMARY KEY, seen text NOT NULL);
