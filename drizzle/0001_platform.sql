-- What every schema leans on: triggers that refuse writes which arrive outside the transaction they belong to, and
-- writes to what must never change.

-- The tail of a transaction whose connection was lost can reach the server on another connection, where it would commit
-- alone. Every protected table therefore wants a mark that only lives inside the right transaction: the setting
-- `tidewire.<mark>`, made with `set local` or `set_config(..., true)`.
CREATE FUNCTION platform.refuse_unmarked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF coalesce(current_setting('tidewire.' || TG_ARGV[0], true), '') = '' THEN
    RAISE EXCEPTION USING
      ERRCODE = 'TW001',
      MESSAGE = format('%s on %I.%I outside its transaction', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME),
      DETAIL = format('the transaction-local setting tidewire.%s is empty', TG_ARGV[0]);
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION platform.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING
    ERRCODE = 'TW002',
    MESSAGE = format('%s on %I.%I, which is append-only', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME);
END $$;

CREATE FUNCTION platform.protect(p_table regclass, p_mark text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF p_mark !~ '^[a-z_]{1,30}$' THEN
    RAISE EXCEPTION 'not a mark: %', p_mark;
  END IF;
  EXECUTE format(
    'CREATE TRIGGER a_marked_only BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s '
    'FOR EACH STATEMENT EXECUTE FUNCTION platform.refuse_unmarked(%L)', p_table, p_mark);
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER a_marked_only', p_table);
END $$;

CREATE FUNCTION platform.append_only(p_table regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format(
    'CREATE TRIGGER a_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %s '
    'FOR EACH STATEMENT EXECUTE FUNCTION platform.refuse_change()', p_table);
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER a_append_only', p_table);
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA platform FROM PUBLIC;
GRANT USAGE ON SCHEMA platform TO app_rw, app_ro;
GRANT SELECT ON platform.migrations TO app_rw, app_ro;
-- What later migrations create is nobody's to run until they say whose.
ALTER DEFAULT PRIVILEGES FOR ROLE migrator REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
