-- Each private stream numbers its own events without a gap, next to the number that every event has in its user's whole log.
-- All counters of a user are in one row, locked until commit, so that whoever sees a number can see all below it.

ALTER TABLE ledger.event_heads
  ADD COLUMN orders_seq bigint NOT NULL DEFAULT 0,
  ADD COLUMN portfolio_seq bigint NOT NULL DEFAULT 0,
  ADD COLUMN notifications_seq bigint NOT NULL DEFAULT 0;

-- Which stream carries events of a type. Null: none does, and such an event is refused.
CREATE FUNCTION ledger.stream_of(p_type text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE p_type
    WHEN 'order' THEN 'orders' WHEN 'fill' THEN 'orders'
    WHEN 'balance' THEN 'portfolio' WHEN 'position' THEN 'portfolio'
    WHEN 'notification' THEN 'notifications'
  END
$$;
ALTER TABLE ledger.user_events
  ADD COLUMN stream text NOT NULL GENERATED ALWAYS AS (ledger.stream_of(type)) STORED,
  ADD COLUMN stream_seq bigint;

-- Events from before there were streams get their numbers in the order of the log. Nobody else can write meanwhile.
ALTER TABLE ledger.user_events DISABLE TRIGGER a_append_only;
SELECT set_config('tidewire.ledger', 'streams', true);
UPDATE ledger.user_events AS event SET stream_seq = numbered.place FROM (
  SELECT user_id, seq, row_number() OVER (PARTITION BY user_id, stream ORDER BY seq) AS place FROM ledger.user_events
) AS numbered WHERE numbered.user_id = event.user_id AND numbered.seq = event.seq;
UPDATE ledger.event_heads AS head SET (orders_seq, portfolio_seq, notifications_seq) = (
  SELECT count(*) FILTER (WHERE stream = 'orders'), count(*) FILTER (WHERE stream = 'portfolio'),
    count(*) FILTER (WHERE stream = 'notifications')
  FROM ledger.user_events AS event WHERE event.user_id = head.user_id);
SELECT set_config('tidewire.ledger', '', true);
ALTER TABLE ledger.event_heads
  ADD CONSTRAINT event_heads_sum CHECK (seq = orders_seq + portfolio_seq + notifications_seq);
ALTER TABLE ledger.user_events ENABLE ALWAYS TRIGGER a_append_only;
ALTER TABLE ledger.user_events ALTER COLUMN stream_seq SET NOT NULL,
  ADD CONSTRAINT user_events_stream UNIQUE (user_id, stream, stream_seq);

-- Names this history. Positions in streams are only compared within one epoch: whoever restores an older copy of the database,
-- and so gives numbers out a second time, adds an epoch first. The last row counts.
CREATE TABLE ledger.event_epochs (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  epoch text NOT NULL UNIQUE DEFAULT replace(gen_random_uuid()::text, '-', ''),
  began_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO ledger.event_epochs DEFAULT VALUES;
SELECT platform.protect('ledger.event_epochs', 'ledger');
SELECT platform.append_only('ledger.event_epochs');
GRANT SELECT ON ledger.event_epochs TO app_rw, app_ro;

-- Numbers the events and writes them; called inside the transaction of the fact. Users in ascending order. Answers the first
-- number in the user's log.
CREATE OR REPLACE FUNCTION ledger.append_events(p_user uuid, p_journal bigint, p_events jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ledger, pg_temp AS $$
DECLARE
  v_mark text := coalesce(current_setting('tidewire.ledger', true), '');
  v_count integer := jsonb_array_length(p_events);
  v_type text;
  v_stream text;
  v_streams text[] := '{}';
  v_orders integer;
  v_portfolio integer;
  v_notifications integer;
  v_head event_heads;
  v_stream_seq bigint;
BEGIN
  IF v_count = 0 THEN
    RETURN NULL;
  END IF;
  FOR v_index IN 0 .. v_count - 1 LOOP
    v_type := p_events -> v_index ->> 'type';
    v_stream := stream_of(v_type);
    IF v_stream IS NULL THEN
      RAISE EXCEPTION USING ERRCODE = 'TW006', MESSAGE = format('no stream carries events of type %L', v_type);
    END IF;
    v_streams := v_streams || v_stream;
  END LOOP;
  v_orders := cardinality(array_positions(v_streams, 'orders'));
  v_portfolio := cardinality(array_positions(v_streams, 'portfolio'));
  v_notifications := v_count - v_orders - v_portfolio;
  PERFORM set_config('tidewire.ledger', coalesce(nullif(v_mark, ''), 'events'), true);
  INSERT INTO event_heads AS head (user_id, seq, orders_seq, portfolio_seq, notifications_seq)
  VALUES (p_user, v_count, v_orders, v_portfolio, v_notifications)
  ON CONFLICT (user_id) DO UPDATE SET seq = head.seq + v_count, orders_seq = head.orders_seq + v_orders,
    portfolio_seq = head.portfolio_seq + v_portfolio, notifications_seq = head.notifications_seq + v_notifications
  RETURNING user_id, seq - v_count, orders_seq - v_orders, portfolio_seq - v_portfolio,
    notifications_seq - v_notifications INTO v_head;
  FOR v_index IN 1 .. v_count LOOP
    CASE v_streams[v_index]
      WHEN 'orders' THEN
        v_head.orders_seq := v_head.orders_seq + 1;
        v_stream_seq := v_head.orders_seq;
      WHEN 'portfolio' THEN
        v_head.portfolio_seq := v_head.portfolio_seq + 1;
        v_stream_seq := v_head.portfolio_seq;
      ELSE
        v_head.notifications_seq := v_head.notifications_seq + 1;
        v_stream_seq := v_head.notifications_seq;
    END CASE;
    INSERT INTO user_events (user_id, seq, stream_seq, type, payload, journal_id)
    VALUES (p_user, v_head.seq + v_index, v_stream_seq, p_events -> (v_index - 1) ->> 'type',
      p_events -> (v_index - 1) -> 'payload', p_journal);
  END LOOP;
  PERFORM set_config('tidewire.ledger', v_mark, true);
  RETURN v_head.seq + 1;
END $$;

-- As in 0004, with a number in the stream `portfolio` for each event.
-- Answers {status: 'posted' | 'repeated' | 'refused', ...}. A refusal has written nothing but empty accounts, and its key
-- stays free. Order: resolve, lock accounts in ascending id, recognise a repeated key, decide; below the line nothing is
-- refused: number the events, write the journal and everything that hangs on it.
-- Helpers that only this function calls take its search path; setting one costs as much as a small helper does.
-- Generic plans: planning anew for each length of an array costs more than the commands themselves (measured: 1.4 to 1.5 times).
CREATE OR REPLACE FUNCTION ledger.post(p_command jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ledger, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  -- Who asks and by which request differ between two tries of one command.
  v_hash bytea := sha256(convert_to((p_command - 'actor' - 'requestId')::text, 'UTF8'));
  v_reverses bigint := (p_command ->> 'reverses')::bigint;
  v_mark text := coalesce(current_setting('tidewire.ledger', true), '');
  v_legs leg[] := '{}';
  v_leg leg;
  v_holds hold_request[] := '{}';
  v_hold hold_request;
  v_releases release_request[] := '{}';
  v_release release_request;
  v_changes hold_change[] := '{}';
  v_change record;
  v_refusal jsonb;
  v_unknown text;
  v_found record;
  -- Locked accounts in ascending id, what each looks like, and what the command does to it.
  v_touched bigint[] := '{}';
  v_ids bigint[];
  v_accounts accounts[];
  v_account accounts;
  v_posted numeric[];
  v_held numeric[];
  v_place integer;
  v_journal bigint;
  v_balance jsonb;
  v_balances jsonb := '[]';
  v_new_holds jsonb := '[]';
  v_users uuid[] := '{}';
  v_each uuid[];
  v_payloads jsonb[] := '{}';
  v_told jsonb := '[]';
  v_user uuid;
  v_count integer;
  v_seq bigint;
  v_stream_seq bigint;
  v_answer jsonb;
BEGIN
  IF v_reverses IS NOT NULL THEN
    v_legs := reversed_legs(v_reverses);
  ELSIF p_command ? 'legs' THEN
    v_legs := resolve_legs(p_command -> 'legs');
  END IF;
  IF p_command ? 'holds' THEN
    v_holds := resolve_holds(p_command -> 'holds');
  END IF;
  IF p_command ? 'releases' THEN
    v_releases := resolve_releases(p_command -> 'releases');
  END IF;
  v_refusal := refuse_unsound(v_legs, v_holds, v_releases);
  IF v_refusal IS NOT NULL THEN
    RETURN v_refusal;
  END IF;
  FOREACH v_leg IN ARRAY v_legs LOOP
    IF v_leg.debit_id IS NULL OR v_leg.credit_id IS NULL THEN
      v_unknown := open_missing(p_command -> 'legs');
      IF v_unknown IS NOT NULL THEN
        RETURN refused('unknown_asset', 'no such asset: ' || v_unknown);
      END IF;
      v_legs := resolve_legs(p_command -> 'legs');
      EXIT;
    END IF;
  END LOOP;
  FOREACH v_leg IN ARRAY v_legs LOOP
    v_touched := v_touched || v_leg.debit_id || v_leg.credit_id;
  END LOOP;
  FOREACH v_hold IN ARRAY v_holds LOOP
    v_touched := v_touched || v_hold.account_id;
  END LOOP;
  FOREACH v_release IN ARRAY v_releases LOOP
    v_touched := v_touched || v_release.account_id;
  END LOOP;

  -- NO KEY UPDATE: foreign keys of other commands only need the key. Deferred accounts are nobody's bottleneck.
  SELECT coalesce(array_agg((account).id), '{}'), array_agg(account) INTO v_ids, v_accounts FROM (
    SELECT a AS account FROM accounts a WHERE a.id = ANY (v_touched) AND NOT a.deferred ORDER BY a.id FOR NO KEY UPDATE
  ) AS locked;

  -- After the locks: the first try of this key, if it was under way, has ended by now.
  SELECT request_hash, answer INTO v_found FROM journals
  WHERE scope = p_command ->> 'scope' AND key = p_command ->> 'key';
  IF FOUND THEN
    IF v_found.request_hash <> v_hash THEN
      RETURN refused('key_reused', 'this key belongs to another command');
    END IF;
    RETURN v_found.answer || '{"status": "repeated", "events": []}';
  END IF;
  IF v_reverses IS NOT NULL THEN
    IF EXISTS (SELECT FROM journals WHERE reverses = v_reverses) THEN
      RETURN refused('already_reversed', 'a journal is reversed once');
    END IF;
    IF EXISTS (SELECT FROM journals WHERE id = v_reverses AND reverses IS NOT NULL) THEN
      RETURN refused('not_reversible', 'a reversal is not reversed; book the original again');
    END IF;
  END IF;

  v_posted := array_fill(0::numeric, ARRAY[cardinality(v_ids)]);
  v_held := v_posted;
  FOR v_index IN 1 .. cardinality(v_legs) LOOP
    v_leg := v_legs[v_index];
    IF v_leg.debit_id IS NULL THEN
      RETURN refused('insufficient_funds', 'the account has nothing to take');
    END IF;
    v_place := array_position(v_ids, v_leg.credit_id);
    IF v_place IS NOT NULL THEN
      v_posted[v_place] := v_posted[v_place] + v_leg.amount;
    END IF;
    v_place := array_position(v_ids, v_leg.debit_id);
    IF v_place IS NOT NULL THEN
      v_posted[v_place] := v_posted[v_place] - v_leg.amount;
    END IF;
    CONTINUE WHEN v_leg.hold_purpose IS NULL;
    v_change := find_change(v_changes, v_leg.debit_id, v_leg.hold_purpose, v_leg.hold_reference);
    IF (v_change.change).id IS NULL THEN
      RETURN refused('hold_not_found', 'no such hold on this account');
    END IF;
    IF v_change.expires_at <= clock_timestamp() THEN
      RETURN refused('hold_expired', 'the hold has expired');
    END IF;
    v_legs[v_index].hold_id := (v_change.change).id;
    v_held[v_place] := v_held[v_place] - v_leg.amount;
    v_changes[v_change.place] := v_change.change;
    v_changes[v_change.place].captured := (v_change.change).captured + v_leg.amount;
    IF v_changes[v_change.place].captured > (v_change.change).open THEN
      RETURN refused('hold_exceeded', 'more than the hold has left');
    END IF;
  END LOOP;
  FOREACH v_release IN ARRAY v_releases LOOP
    v_change := find_change(v_changes, v_release.account_id, v_release.purpose, v_release.reference_id);
    IF (v_change.change).id IS NULL THEN
      RETURN refused('hold_not_found', 'no such hold on this account');
    END IF;
    IF (v_change.change).open = 0 THEN
      RETURN refused('hold_closed', 'the hold was captured or released before');
    END IF;
    -- No amount: whatever this very command leaves, such as the rest after the last fill. It may be nothing.
    v_release.amount := coalesce(v_release.amount,
      (v_change.change).open - (v_change.change).captured - (v_change.change).released);
    IF (v_change.change).captured + (v_change.change).released + v_release.amount > (v_change.change).open THEN
      RETURN refused('hold_exceeded', 'more than the hold has left');
    END IF;
    v_changes[v_change.place] := v_change.change;
    v_changes[v_change.place].released := (v_change.change).released + v_release.amount;
    v_place := array_position(v_ids, v_release.account_id);
    v_held[v_place] := v_held[v_place] - v_release.amount;
  END LOOP;
  FOREACH v_hold IN ARRAY v_holds LOOP
    IF v_hold.account_id IS NULL THEN
      RETURN refused('insufficient_funds', 'the account has nothing to hold');
    END IF;
    IF v_hold.expires_at <= clock_timestamp() THEN
      RETURN refused('hold_expired', 'the hold would have expired already');
    END IF;
    IF EXISTS (SELECT FROM holds WHERE account_id = v_hold.account_id AND purpose = v_hold.purpose
      AND reference_id = v_hold.reference_id) THEN
      RETURN refused('hold_exists', 'there is a hold for this reason already');
    END IF;
    v_place := array_position(v_ids, v_hold.account_id);
    v_held[v_place] := v_held[v_place] + v_hold.amount;
    v_new_holds := v_new_holds || jsonb_build_object('id', v_hold.id::text, 'purpose', v_hold.purpose,
      'reference', v_hold.reference_id, 'amount', v_hold.amount::text);
  END LOOP;

  v_journal := nextval('journal_ids');
  FOR v_index IN 1 .. cardinality(v_ids) LOOP
    CONTINUE WHEN v_posted[v_index] = 0 AND v_held[v_index] = 0;
    v_account := v_accounts[v_index];
    v_account.posted := v_account.posted + v_posted[v_index];
    v_account.held := v_account.held + v_held[v_index];
    IF NOT v_account.overdraft AND v_account.posted < v_account.held THEN
      RETURN refused('insufficient_funds',
        format('%s units of %s are missing', v_account.held - v_account.posted, v_account.asset));
    END IF;
    IF abs(v_account.posted) >= 1e36 THEN
      RETURN refused('invalid_amount', 'the balance would be out of range');
    END IF;
    CONTINUE WHEN v_account.owner_id IS NULL;
    v_balance := jsonb_build_object('asset', v_account.asset, 'posted', v_account.posted::text,
      'held', v_account.held::text, 'version', v_account.version + 1);
    v_balances := v_balances || (v_balance || jsonb_build_object('owner', v_account.owner_id));
    v_users := v_users || v_account.owner_id;
    v_payloads := v_payloads || (v_balance || jsonb_build_object('kind', p_command ->> 'kind',
      'journalId', v_journal::text, 'referenceType', p_command ->> 'referenceType',
      'referenceId', p_command ->> 'referenceId'));
  END LOOP;

  -- Nothing is refused below this line.
  PERFORM set_config('tidewire.ledger', v_journal::text, true);
  -- Users in ascending order: two commands of the same users cannot wait for each other. Mostly there is one.
  v_each := v_users;
  IF cardinality(v_users) > 1 THEN
    SELECT array_agg(DISTINCT id ORDER BY id) INTO v_each FROM unnest(v_users) AS id;
  END IF;
  FOREACH v_user IN ARRAY v_each LOOP
    v_count := cardinality(array_positions(v_users, v_user));
    INSERT INTO event_heads AS head (user_id, seq, portfolio_seq) VALUES (v_user, v_count, v_count)
    ON CONFLICT (user_id) DO UPDATE SET seq = head.seq + v_count, portfolio_seq = head.portfolio_seq + v_count
    RETURNING seq - v_count, portfolio_seq - v_count INTO v_seq, v_stream_seq;
    FOR v_index IN 1 .. cardinality(v_users) LOOP
      CONTINUE WHEN v_users[v_index] <> v_user;
      v_seq := v_seq + 1;
      v_stream_seq := v_stream_seq + 1;
      INSERT INTO user_events (user_id, seq, stream_seq, type, payload, journal_id)
      VALUES (v_user, v_seq, v_stream_seq, 'balance', v_payloads[v_index], v_journal);
      v_told := v_told || jsonb_build_object('userId', v_user, 'seq', v_seq, 'type', 'balance',
        'payload', v_payloads[v_index], 'atMs', floor(extract(epoch FROM now()) * 1000));
    END LOOP;
  END LOOP;
  v_answer := jsonb_build_object('journalId', v_journal::text, 'balances', v_balances, 'holds', v_new_holds);
  INSERT INTO journals (id, scope, key, request_hash, kind, reference_type, reference_id, actor, request_id, reverses, answer)
  VALUES (v_journal, p_command ->> 'scope', p_command ->> 'key', v_hash, p_command ->> 'kind',
    p_command ->> 'referenceType', p_command ->> 'referenceId', p_command ->> 'actor', p_command ->> 'requestId',
    v_reverses, v_answer)
  ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    -- The same key came through another set of accounts at the same time; the next try finds it.
    RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'the key was taken meanwhile';
  END IF;
  FOREACH v_hold IN ARRAY v_holds LOOP
    INSERT INTO holds (id, account_id, purpose, reference_id, amount, expires_at)
    VALUES (v_hold.id, v_hold.account_id, v_hold.purpose, v_hold.reference_id, v_hold.amount, v_hold.expires_at);
  END LOOP;
  FOR v_index IN 1 .. cardinality(v_changes) LOOP
    CONTINUE WHEN v_changes[v_index].captured + v_changes[v_index].released = 0;
    UPDATE holds SET captured = captured + v_changes[v_index].captured,
      released = released + v_changes[v_index].released, version = version + 1
    WHERE id = v_changes[v_index].id;
  END LOOP;
  FOR v_index IN 1 .. cardinality(v_legs) LOOP
    v_leg := v_legs[v_index];
    INSERT INTO transfers (journal_id, leg, asset, debit_id, credit_id, amount, code, hold_id)
    VALUES (v_journal, v_index, v_leg.asset, v_leg.debit_id, v_leg.credit_id, v_leg.amount, v_leg.code, v_leg.hold_id);
    IF v_leg.debit_id <> ALL (v_ids) THEN
      PERFORM queue_leg(v_journal, v_leg.debit_id, -v_leg.amount);
    END IF;
    IF v_leg.credit_id <> ALL (v_ids) THEN
      PERFORM queue_leg(v_journal, v_leg.credit_id, v_leg.amount);
    END IF;
  END LOOP;
  FOR v_index IN 1 .. cardinality(v_ids) LOOP
    CONTINUE WHEN v_posted[v_index] = 0 AND v_held[v_index] = 0;
    UPDATE accounts SET posted = posted + v_posted[v_index], held = held + v_held[v_index], version = version + 1
    WHERE id = v_ids[v_index];
  END LOOP;
  PERFORM set_config('tidewire.ledger', v_mark, true);
  RETURN v_answer || jsonb_build_object('status', 'posted', 'events', v_told);
END $$;

REVOKE ALL ON FUNCTION ledger.stream_of(text) FROM PUBLIC;
