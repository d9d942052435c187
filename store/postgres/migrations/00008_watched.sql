-- +goose Up
-- The watch list of all hosts: watch.Entry, and the last report with its history, in JSON.
CREATE TABLE postseal.watched (domain text PRIMARY KEY, entry text NOT NULL, kept text NOT NULL DEFAULT '');
