-- What the database itself sees to, whoever writes: each change of an account or a hold leaves its row in the history,
-- and no journal commits whose legs, entries and holds do not add up.

-- Only called with the mark that `ledger.post` sets: the id of its journal.
CREATE FUNCTION ledger.current_journal() RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT current_setting('tidewire.ledger', true)::bigint
$$;

CREATE FUNCTION ledger.write_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.posted <> 0 OR NEW.held <> 0 OR NEW.version <> 0 THEN
      RAISE EXCEPTION USING ERRCODE = 'TW004', MESSAGE = 'an account opens with nothing in it';
    END IF;
    RETURN NULL;
  END IF;
  IF NEW.version <> OLD.version + 1 OR NEW.asset <> OLD.asset OR NEW.kind <> OLD.kind OR NEW.label <> OLD.label
    OR NEW.owner_id IS DISTINCT FROM OLD.owner_id THEN
    RAISE EXCEPTION USING ERRCODE = 'TW004', MESSAGE = 'an account only changes its balance, one version at a time';
  END IF;
  IF NOT NEW.deferred THEN
    INSERT INTO ledger.entries (account_id, version, journal_id, posted_change, held_change, posted, held)
    VALUES (NEW.id, NEW.version, ledger.current_journal(), NEW.posted - OLD.posted, NEW.held - OLD.held,
      NEW.posted, NEW.held);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER b_write_entry AFTER INSERT OR UPDATE ON ledger.accounts
  FOR EACH ROW EXECUTE FUNCTION ledger.write_entry();
ALTER TABLE ledger.accounts ENABLE ALWAYS TRIGGER b_write_entry;

CREATE FUNCTION ledger.write_hold_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.captured <> 0 OR NEW.released <> 0 OR NEW.version <> 1 THEN
      RAISE EXCEPTION USING ERRCODE = 'TW004', MESSAGE = 'a hold begins with nothing captured or released';
    END IF;
    INSERT INTO ledger.hold_events (hold_id, seq, kind, placed, captured, released, journal_id)
    VALUES (NEW.id, 1, 'placed', NEW.amount, 0, 0, ledger.current_journal());
    RETURN NULL;
  END IF;
  IF NEW.version <> OLD.version + 1 OR NEW.amount <> OLD.amount OR NEW.account_id <> OLD.account_id
    OR NEW.captured < OLD.captured OR NEW.released < OLD.released
    OR NEW.expires_at IS DISTINCT FROM OLD.expires_at THEN
    RAISE EXCEPTION USING ERRCODE = 'TW004', MESSAGE = 'a hold is only captured or released';
  END IF;
  INSERT INTO ledger.hold_events (hold_id, seq, kind, placed, captured, released, journal_id)
  VALUES (NEW.id, NEW.version, 'changed', 0, NEW.captured - OLD.captured, NEW.released - OLD.released,
    ledger.current_journal());
  RETURN NULL;
END $$;
CREATE TRIGGER b_write_hold_event AFTER INSERT OR UPDATE ON ledger.holds
  FOR EACH ROW EXECUTE FUNCTION ledger.write_hold_event();
ALTER TABLE ledger.holds ENABLE ALWAYS TRIGGER b_write_hold_event;

-- At commit, for each journal: what its legs say about an account is what the account did, and what its holds say is what
-- `held` did. A leg balances by itself and within one asset, so the balances of a journal's accounts then sum to zero too.
-- This stands behind the functions that book: one that forgets a leg or an account cannot commit.
CREATE FUNCTION ledger.check_journal() RETURNS trigger LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  v_wrong text;
BEGIN
  SELECT string_agg(format('account %s: legs and balance differ by %s, holds by %s', account_id, posted, held), '; ')
  INTO v_wrong
  FROM (
    SELECT account_id, sum(posted) AS posted, sum(held) AS held FROM (
      SELECT credit_id AS account_id, amount AS posted, 0 AS held FROM ledger.transfers WHERE journal_id = NEW.id
      UNION ALL SELECT debit_id, -amount, 0 FROM ledger.transfers WHERE journal_id = NEW.id
      UNION ALL SELECT account_id, -posted_change, -held_change FROM ledger.entries WHERE journal_id = NEW.id
      UNION ALL SELECT account_id, -change, 0 FROM ledger.deferred_legs WHERE journal_id = NEW.id
      UNION ALL SELECT h.account_id, 0, e.placed - e.captured - e.released
        FROM ledger.hold_events e JOIN ledger.holds h ON h.id = e.hold_id WHERE e.journal_id = NEW.id
    ) AS line GROUP BY account_id
  ) AS account WHERE posted <> 0 OR held <> 0;
  IF v_wrong IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'TW005', MESSAGE = format('journal %s does not add up', NEW.id), DETAIL = v_wrong;
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER z_adds_up AFTER INSERT ON ledger.journals DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION ledger.check_journal();
ALTER TABLE ledger.journals ENABLE ALWAYS TRIGGER z_adds_up;
