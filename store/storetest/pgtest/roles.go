package pgtest

// Writes gives a role the rights that a daemon needs on a schema whose tables another role makes, as docs/howto/fleet.md does.
const Writes = `
GRANT USAGE ON SCHEMA postseal TO postseal_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA postseal TO postseal_writer;
ALTER DEFAULT PRIVILEGES FOR ROLE postseal IN SCHEMA postseal
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO postseal_writer;
DO $$ DECLARE t regclass; BEGIN
  FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'postseal'::regnamespace AND relrowsecurity LOOP
    EXECUTE format('DROP POLICY IF EXISTS writer ON %s', t);
    EXECUTE format('CREATE POLICY writer ON %s TO postseal_writer USING (true)', t);
  END LOOP;
END $$;
`
