-- The only way to write the ledger. A money command is one call of `ledger.post`, so it is one statement: whatever breaks,
-- it happened as a whole or not at all.

CREATE TYPE ledger.leg AS (
  debit_id bigint, credit_id bigint, asset text, amount numeric, code text,
  hold_purpose text, hold_reference text, hold_id bigint);
CREATE TYPE ledger.hold_request AS (
  id bigint, account_id bigint, asset text, amount numeric, purpose text, reference_id text, expires_at timestamptz);
CREATE TYPE ledger.release_request AS (account_id bigint, asset text, amount numeric, purpose text, reference_id text);
-- What one command does to a hold that exists: `open` is what the hold had left before.
CREATE TYPE ledger.hold_change AS (id bigint, open numeric, captured numeric, released numeric);

CREATE FUNCTION ledger.refused(p_code text, p_message text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_build_object('status', 'refused', 'code', p_code, 'message', p_message)
$$;

CREATE FUNCTION ledger.is_amount(p_amount numeric) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(p_amount > 0 AND p_amount < 1e36 AND p_amount = trunc(p_amount), false)
$$;

CREATE FUNCTION ledger.find_account(p_owner uuid, p_asset text, p_kind text, p_label text) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
BEGIN
  -- Two statements, because an index cannot serve `IS NOT DISTINCT FROM`.
  IF p_owner IS NULL THEN
    RETURN (SELECT id FROM ledger.accounts
      WHERE owner_id IS NULL AND asset = p_asset AND kind = p_kind AND label = p_label);
  END IF;
  RETURN (SELECT id FROM ledger.accounts
    WHERE owner_id = p_owner AND asset = p_asset AND kind = p_kind AND label = p_label);
END $$;

-- Opens an account with nothing in it, or finds it. Callers open several in the order of (owner, asset, kind, label).
CREATE FUNCTION ledger.open_account(p_owner uuid, p_asset text, p_kind text, p_label text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ledger, pg_temp AS $$
DECLARE
  v_mark text := coalesce(current_setting('tidewire.ledger', true), '');
  v_id bigint;
BEGIN
  PERFORM set_config('tidewire.ledger', 'open', true);
  INSERT INTO accounts (owner_id, asset, kind, label, overdraft, deferred)
  SELECT p_owner, p_asset, kind, p_label, overdraft, deferred FROM account_kinds WHERE kind = p_kind
  ON CONFLICT ON CONSTRAINT accounts_party DO NOTHING
  RETURNING id INTO v_id;
  PERFORM set_config('tidewire.ledger', v_mark, true);
  RETURN coalesce(v_id, find_account(p_owner, p_asset, p_kind, p_label));
END $$;

CREATE FUNCTION ledger.open_accounts(p_owner uuid, p_assets text[]) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ledger, pg_temp AS $$
DECLARE
  v_unknown text;
BEGIN
  SELECT string_agg(name, ', ') INTO v_unknown
  FROM unnest(p_assets) AS name WHERE NOT EXISTS (SELECT FROM assets WHERE code = name);
  IF v_unknown IS NOT NULL THEN
    RETURN refused('unknown_asset', 'no such asset: ' || v_unknown);
  END IF;
  PERFORM open_account(p_owner, name, 'user', '') FROM (SELECT name FROM unnest(p_assets) AS name ORDER BY name) AS named;
  RETURN jsonb_build_object('status', 'opened');
END $$;

-- An asset's scale never changes: it gives every stored amount its meaning.
CREATE FUNCTION ledger.define_asset(p_code text, p_scale integer) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ledger, pg_temp AS $$
DECLARE
  v_scale integer;
BEGIN
  PERFORM set_config('tidewire.ledger', 'asset', true);
  INSERT INTO assets (code, scale) VALUES (p_code, p_scale) ON CONFLICT DO NOTHING;
  PERFORM set_config('tidewire.ledger', '', true);
  SELECT scale INTO v_scale FROM assets WHERE code = p_code;
  IF v_scale <> p_scale THEN
    RETURN refused('asset_differs', format('%s has %s decimals already', p_code, v_scale));
  END IF;
  RETURN jsonb_build_object('status', 'defined');
END $$;

-- Numbers the events and writes them; called inside the transaction of the fact. Users in ascending order.
CREATE FUNCTION ledger.append_events(p_user uuid, p_journal bigint, p_events jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ledger, pg_temp AS $$
DECLARE
  v_mark text := coalesce(current_setting('tidewire.ledger', true), '');
  v_count integer := jsonb_array_length(p_events);
  v_seq bigint;
BEGIN
  IF v_count = 0 THEN
    RETURN NULL;
  END IF;
  PERFORM set_config('tidewire.ledger', coalesce(nullif(v_mark, ''), 'events'), true);
  INSERT INTO event_heads AS head (user_id, seq) VALUES (p_user, v_count)
  ON CONFLICT (user_id) DO UPDATE SET seq = head.seq + v_count
  RETURNING seq - v_count + 1 INTO v_seq;
  INSERT INTO user_events (user_id, seq, type, payload, journal_id)
  SELECT p_user, v_seq + item.place - 1, item.value ->> 'type', item.value -> 'payload', p_journal
  FROM jsonb_array_elements(p_events) WITH ORDINALITY AS item (value, place);
  PERFORM set_config('tidewire.ledger', v_mark, true);
  RETURN v_seq;
END $$;

-- Opens what a leg credits and what belongs to the house, all in one order, so that two commands cannot wait for each
-- other. Answers the assets that do not exist, or null.
CREATE FUNCTION ledger.open_missing(p_legs jsonb) RETURNS text
LANGUAGE plpgsql SET search_path = ledger, pg_temp AS $$
DECLARE
  v_unknown text;
BEGIN
  SELECT string_agg(DISTINCT asset, ', ') INTO v_unknown
  FROM jsonb_to_recordset(p_legs) AS leg (asset text) WHERE NOT EXISTS (SELECT FROM assets WHERE code = asset);
  IF v_unknown IS NOT NULL THEN
    RETURN v_unknown;
  END IF;
  PERFORM open_account(party.owner, party.asset, party.kind, party.label) FROM (
    SELECT "toOwner" AS owner, asset, "toKind" AS kind, "toLabel" AS label
    FROM jsonb_to_recordset(p_legs) AS leg (asset text, "toOwner" uuid, "toKind" text, "toLabel" text)
    UNION
    SELECT NULL, asset, "fromKind", "fromLabel"
    FROM jsonb_to_recordset(p_legs) AS leg (asset text, "fromOwner" uuid, "fromKind" text, "fromLabel" text)
    WHERE "fromOwner" IS NULL
    ORDER BY 1, 2, 3, 4
  ) AS party
  WHERE find_account(party.owner, party.asset, party.kind, party.label) IS NULL;
  RETURN NULL;
END $$;

-- A debited account that does not exist stays null: nothing can be taken from it.
CREATE FUNCTION ledger.resolve_legs(p_legs jsonb) RETURNS ledger.leg[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_legs ledger.leg[] := '{}';
  v_leg jsonb;
BEGIN
  FOR v_index IN 0 .. jsonb_array_length(p_legs) - 1 LOOP
    v_leg := p_legs -> v_index;
    v_legs := v_legs || ROW(
      ledger.find_account((v_leg ->> 'fromOwner')::uuid, v_leg ->> 'asset', v_leg ->> 'fromKind', v_leg ->> 'fromLabel'),
      ledger.find_account((v_leg ->> 'toOwner')::uuid, v_leg ->> 'asset', v_leg ->> 'toKind', v_leg ->> 'toLabel'),
      v_leg ->> 'asset', (v_leg ->> 'amount')::numeric, v_leg ->> 'code',
      v_leg ->> 'holdPurpose', v_leg ->> 'holdReference', NULL)::ledger.leg;
  END LOOP;
  RETURN v_legs;
END $$;

CREATE FUNCTION ledger.reversed_legs(p_journal bigint) RETURNS ledger.leg[] LANGUAGE sql STABLE AS $$
  SELECT coalesce(array_agg(ROW(credit_id, debit_id, asset, amount, 'reversal', NULL, NULL, NULL)::ledger.leg
    ORDER BY leg), '{}')
  FROM ledger.transfers WHERE journal_id = p_journal
$$;

-- Holds are put on what users own, never on other kinds of account.
CREATE FUNCTION ledger.resolve_holds(p_holds jsonb) RETURNS ledger.hold_request[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_holds ledger.hold_request[] := '{}';
  v_hold jsonb;
BEGIN
  FOR v_index IN 0 .. jsonb_array_length(p_holds) - 1 LOOP
    v_hold := p_holds -> v_index;
    v_holds := v_holds || ROW(nextval('ledger.hold_ids'),
      ledger.find_account((v_hold ->> 'owner')::uuid, v_hold ->> 'asset', 'user', ''), v_hold ->> 'asset',
      (v_hold ->> 'amount')::numeric, v_hold ->> 'purpose', v_hold ->> 'reference',
      to_timestamp((v_hold ->> 'expiresAtMs')::bigint / 1000.0))::ledger.hold_request;
  END LOOP;
  RETURN v_holds;
END $$;

CREATE FUNCTION ledger.resolve_releases(p_releases jsonb) RETURNS ledger.release_request[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_releases ledger.release_request[] := '{}';
  v_release jsonb;
BEGIN
  FOR v_index IN 0 .. jsonb_array_length(p_releases) - 1 LOOP
    v_release := p_releases -> v_index;
    v_releases := v_releases || ROW(
      ledger.find_account((v_release ->> 'owner')::uuid, v_release ->> 'asset', 'user', ''), v_release ->> 'asset',
      (v_release ->> 'amount')::numeric, v_release ->> 'purpose', v_release ->> 'reference')::ledger.release_request;
  END LOOP;
  RETURN v_releases;
END $$;

-- Null when the command is sound as far as it can be told without looking at balances.
CREATE FUNCTION ledger.refuse_unsound(
  p_legs ledger.leg[], p_holds ledger.hold_request[], p_releases ledger.release_request[]) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_leg ledger.leg;
  v_hold ledger.hold_request;
  v_release ledger.release_request;
  v_sound boolean := true;
  v_assets text[] := '{}';
  v_asset text;
BEGIN
  FOREACH v_leg IN ARRAY p_legs LOOP
    v_sound := v_sound AND ledger.is_amount(v_leg.amount);
    v_assets := v_assets || v_leg.asset;
    IF v_leg.debit_id = v_leg.credit_id THEN
      RETURN ledger.refused('same_account', 'a transfer needs two accounts');
    END IF;
  END LOOP;
  FOREACH v_hold IN ARRAY p_holds LOOP
    v_sound := v_sound AND ledger.is_amount(v_hold.amount);
    v_assets := v_assets || v_hold.asset;
  END LOOP;
  FOREACH v_release IN ARRAY p_releases LOOP
    v_sound := v_sound AND (v_release.amount IS NULL OR ledger.is_amount(v_release.amount));
    v_assets := v_assets || v_release.asset;
  END LOOP;
  IF NOT v_sound THEN
    RETURN ledger.refused('invalid_amount', 'an amount is a positive whole number of smallest units below 1e36');
  END IF;
  IF cardinality(v_assets) = 0 THEN
    RETURN ledger.refused('nothing_to_do', 'a command moves, holds or releases something');
  END IF;
  FOREACH v_asset IN ARRAY v_assets LOOP
    IF v_asset LIKE 'PAPER:%' IS DISTINCT FROM v_assets[1] LIKE 'PAPER:%' THEN
      RETURN ledger.refused('mixed_money', 'paper and real money in one command');
    END IF;
  END LOOP;
  RETURN NULL;
END $$;

-- Adds to what a command does to one hold; the hold is found by its reason. Null fields: there is no such hold.
CREATE FUNCTION ledger.find_change(
  p_changes ledger.hold_change[], p_account bigint, p_purpose text, p_reference text,
  OUT place integer, OUT change ledger.hold_change, OUT expires_at timestamptz)
LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_hold record;
BEGIN
  SELECT h.id, h.amount - h.captured - h.released AS open, h.expires_at INTO v_hold FROM ledger.holds h
  WHERE h.account_id = p_account AND h.purpose = p_purpose AND h.reference_id = p_reference;
  expires_at := v_hold.expires_at;
  FOR v_index IN 1 .. cardinality(p_changes) LOOP
    IF p_changes[v_index].id = v_hold.id THEN
      place := v_index;
      change := p_changes[v_index];
      RETURN;
    END IF;
  END LOOP;
  place := cardinality(p_changes) + 1;
  change := ROW(v_hold.id, v_hold.open, 0, 0)::ledger.hold_change;
END $$;

-- Answers {status: 'posted' | 'repeated' | 'refused', ...}. A refusal has written nothing but empty accounts, and its key
-- stays free. Order: resolve, lock accounts in ascending id, recognise a repeated key, decide; below the line nothing is
-- refused: number the events, write the journal and everything that hangs on it.
-- Helpers that only this function calls take its search path; setting one costs as much as a small helper does.
-- Generic plans: planning anew for each length of an array costs more than the commands themselves (measured: 1.4 to 1.5 times).
CREATE FUNCTION ledger.post(p_command jsonb) RETURNS jsonb
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
  v_payloads jsonb[] := '{}';
  v_told jsonb := '[]';
  v_user uuid;
  v_seq bigint;
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
  -- Users in ascending order: two commands of the same users cannot wait for each other.
  FOR v_user IN SELECT DISTINCT id FROM unnest(v_users) AS id ORDER BY id LOOP
    INSERT INTO event_heads AS head (user_id, seq) VALUES (v_user, cardinality(array_positions(v_users, v_user)))
    ON CONFLICT (user_id) DO UPDATE SET seq = head.seq + cardinality(array_positions(v_users, v_user))
    RETURNING seq INTO v_seq;
    v_seq := v_seq - cardinality(array_positions(v_users, v_user));
    FOR v_index IN 1 .. cardinality(v_users) LOOP
      CONTINUE WHEN v_users[v_index] <> v_user;
      v_seq := v_seq + 1;
      INSERT INTO user_events (user_id, seq, type, payload, journal_id)
      VALUES (v_user, v_seq, 'balance', v_payloads[v_index], v_journal);
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

-- One row per journal and account, so that the roll-up and the check at commit have little to read.
CREATE FUNCTION ledger.queue_leg(p_journal bigint, p_account bigint, p_change numeric) RETURNS void
LANGUAGE sql AS $$
  INSERT INTO ledger.deferred_legs AS queued (journal_id, account_id, change) VALUES (p_journal, p_account, p_change)
  ON CONFLICT (journal_id, account_id) DO UPDATE SET change = queued.change + excluded.change
$$;

-- Moves queued legs of deferred accounts into their balance. Answers how many legs; ask again while it is the limit.
CREATE FUNCTION ledger.roll_up(p_limit integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ledger, pg_temp AS $$
DECLARE
  v_sum record;
  v_count integer := 0;
BEGIN
  PERFORM set_config('tidewire.ledger', 'rollup', true);
  FOR v_sum IN
    WITH taken AS (
      DELETE FROM deferred_legs WHERE (journal_id, account_id) IN (
        SELECT journal_id, account_id FROM deferred_legs ORDER BY journal_id, account_id LIMIT p_limit
        FOR UPDATE SKIP LOCKED)
      RETURNING account_id, change
    )
    SELECT account_id, sum(change) AS change, count(*) AS legs FROM taken GROUP BY account_id ORDER BY account_id
  LOOP
    UPDATE accounts SET posted = posted + v_sum.change, version = version + 1 WHERE id = v_sum.account_id;
    v_count := v_count + v_sum.legs;
  END LOOP;
  PERFORM set_config('tidewire.ledger', '', true);
  RETURN v_count;
END $$;

-- Balances as they are, legs that wait for the roll-up included.
CREATE VIEW ledger.balances AS
  SELECT a.id, a.owner_id, a.asset, a.kind, a.label, a.version, a.deferred,
    a.posted + coalesce((SELECT sum(change) FROM ledger.deferred_legs d WHERE d.account_id = a.id), 0) AS posted, a.held
  FROM ledger.accounts a;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
GRANT SELECT ON ledger.balances TO app_rw, app_ro;
GRANT EXECUTE ON FUNCTION ledger.post(jsonb), ledger.open_accounts(uuid, text[]), ledger.define_asset(text, integer),
  ledger.roll_up(integer) TO app_rw;
