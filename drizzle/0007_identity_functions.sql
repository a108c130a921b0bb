-- The only way to write identity: `identity.act`. Each act is one statement with its audit entry, so it happened as a whole
-- or not at all. Locks are taken in one order: the user, attempts (by address, account, code), the user's other rows, the audit
-- head.

-- Only `act` sets the search path; the others are called by it alone.
SET LOCAL search_path = identity, pg_temp;

CREATE FUNCTION identity.ms(p_at timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT floor(extract(epoch FROM p_at) * 1000)::bigint
$$;

CREATE FUNCTION identity.after(p_ms bigint) RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
  SELECT identity.clock() + p_ms * interval '1 millisecond'
$$;

CREATE FUNCTION identity.refused(p_code text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_build_object('status', 'refused', 'code', p_code)
$$;

CREATE FUNCTION identity.bytes(p_hex text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$ SELECT decode(p_hex, 'hex') $$;

CREATE FUNCTION identity.list(p_list jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(array_agg(value ORDER BY place), '{}')
  FROM jsonb_array_elements_text(p_list) WITH ORDINALITY AS item (value, place)
$$;

-- What a hash covers. jsonb has one text for one value.
CREATE FUNCTION identity.audit_text(e identity.audit_log) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_array(e.seq, identity.ms(e.at), e.user_id, e.act, e.outcome, e.ip, e.user_agent, e.request_id,
    e.details)::text
$$;

-- Always the last lock of a function.
CREATE FUNCTION identity.append_audit(p_user uuid, p_act text, p_outcome text, p_origin jsonb, p_details jsonb)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  v_head audit_head;
  v_entry audit_log;
BEGIN
  SELECT * INTO STRICT v_head FROM audit_head FOR UPDATE;
  v_entry.seq := v_head.seq + 1;
  v_entry.at := date_trunc('milliseconds', clock());
  v_entry.user_id := p_user;
  v_entry.act := p_act;
  v_entry.outcome := p_outcome;
  v_entry.ip := p_origin ->> 'ip';
  v_entry.user_agent := p_origin ->> 'userAgent';
  v_entry.request_id := p_origin ->> 'requestId';
  v_entry.details := p_details;
  v_entry.hash := sha256(v_head.hash || convert_to(audit_text(v_entry), 'UTF8'));
  INSERT INTO audit_log SELECT v_entry.*;
  UPDATE audit_head SET seq = v_entry.seq, hash = v_entry.hash;
  RETURN v_entry.seq;
END $$;

CREATE FUNCTION identity.audit(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  PERFORM append_audit((p ->> 'userId')::uuid, p ->> 'act', p ->> 'outcome', p -> 'origin', p -> 'details');
  RETURN jsonb_build_object('status', 'ok');
END $$;

-- A refusal and its audit entry.
CREATE FUNCTION identity.refuse(p_user uuid, p_act text, p_code text, p_origin jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM append_audit(p_user, p_act, 'refused', p_origin, jsonb_build_object('code', p_code));
  RETURN refused(p_code);
END $$;

-- Counts a try before anybody looks whether it is right, so that parallel guesses are not worth more than serial ones.
-- Null: go ahead. Otherwise the refusal; only the first of a window leaves an audit entry, or a flood would fill the log.
CREATE FUNCTION identity.take_attempt(p_subject text, p_limit jsonb, p_user uuid, p_act text, p_origin jsonb)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_now timestamptz := clock();
  v_until timestamptz := v_now + (p_limit ->> 'windowMs')::bigint * interval '1 millisecond';
  v_limit integer := (p_limit ->> 'count')::integer;
  v_attempt attempts;
BEGIN
  INSERT INTO attempts AS a (subject, count, until) VALUES (p_subject, 1, v_until)
  ON CONFLICT (subject) DO UPDATE SET
    count = CASE WHEN a.until <= v_now THEN 1 ELSE least(a.count + 1, 1000000) END,
    until = CASE WHEN a.until <= v_now THEN v_until ELSE a.until END
  RETURNING * INTO v_attempt;
  IF v_attempt.count <= v_limit THEN
    RETURN NULL;
  END IF;
  IF v_attempt.count = v_limit + 1 THEN
    PERFORM append_audit(p_user, p_act, 'refused', p_origin,
      jsonb_build_object('code', 'rate_limited', 'subject', split_part(p_subject, ':', 1)));
  END IF;
  RETURN refused('rate_limited') || jsonb_build_object('retryAfterMs', greatest(1, ms(v_attempt.until) - ms(v_now)));
END $$;

CREATE FUNCTION identity.user_json(u identity.users) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('id', u.id, 'email', u.email, 'roles', u.roles, 'totp', u.totp_secret IS NOT NULL,
    'createdAt', identity.ms(u.created_at))
$$;

CREATE FUNCTION identity.granted(u identity.users, p_session uuid) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
  SELECT jsonb_build_object('status', 'ok', 'user', identity.user_json(u), 'tokenVersion', u.token_version,
    'sessionId', p_session, 'nowMs', identity.ms(identity.clock()))
$$;

CREATE FUNCTION identity.forget_session(p_session uuid) RETURNS void LANGUAGE sql VOLATILE AS $$
  DELETE FROM identity.tickets WHERE session_id = p_session;
  DELETE FROM identity.step_ups WHERE session_id = p_session;
$$;

-- Ends the sessions; `p_seq` is the audit entry of the reason.
CREATE FUNCTION identity.end_sessions(p_user uuid, p_sessions uuid[], p_reason text, p_seq bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  v_session uuid;
  v_place integer := 0;
BEGIN
  FOR v_session IN
    UPDATE sessions SET ended_at = clock(), end_reason = p_reason
    WHERE id = ANY (p_sessions) AND user_id = p_user AND ended_at IS NULL RETURNING id
  LOOP
    v_place := v_place + 1;
    PERFORM forget_session(v_session);
    INSERT INTO revocations (seq, place, user_id, session_id, created_at) VALUES (p_seq, v_place, p_user, v_session, clock());
  END LOOP;
END $$;

-- Also ends the sessions that are too many, those first that were not used for the longest time. The user's row is locked.
CREATE FUNCTION identity.open_session(u identity.users, p jsonb, p_act text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_now timestamptz := clock();
  v_session uuid := (p ->> 'sessionId')::uuid;
  v_surplus uuid[];
  v_seq bigint;
BEGIN
  INSERT INTO sessions (id, user_id, refresh_hash, device, ip, user_agent, created_at, last_used_at, idle_until, ends_at)
  VALUES (v_session, u.id, bytes(p ->> 'refreshHash'), p ->> 'device', p -> 'origin' ->> 'ip',
    p -> 'origin' ->> 'userAgent', v_now, v_now, after((p ->> 'idleMs')::bigint), after((p ->> 'absoluteMs')::bigint));
  IF p ->> 'newDeviceHash' IS NOT NULL THEN
    DELETE FROM devices WHERE hash IN (
      SELECT hash FROM devices WHERE user_id = u.id ORDER BY created_at DESC OFFSET (p ->> 'devicesLimit')::integer - 1);
    INSERT INTO devices (hash, user_id, created_at, expires_at)
    VALUES (bytes(p ->> 'newDeviceHash'), u.id, v_now, after((p ->> 'deviceMs')::bigint));
  END IF;
  SELECT coalesce(array_agg(id), '{}') INTO v_surplus FROM (
    SELECT id FROM sessions WHERE user_id = u.id AND ended_at IS NULL AND id <> v_session
    ORDER BY last_used_at DESC OFFSET (p ->> 'sessionsLimit')::integer - 1) AS old;
  v_seq := append_audit(u.id, p_act, 'ok', p -> 'origin',
    jsonb_build_object('sessionId', v_session, 'newDevice', p ->> 'newDeviceHash' IS NOT NULL));
  PERFORM end_sessions(u.id, v_surplus, 'too_many', v_seq);
  RETURN granted(u, v_session);
END $$;

CREATE FUNCTION identity.begin_register(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  RETURN coalesce(
    take_attempt('register:' || (p ->> 'ipSubject'), p -> 'ipLimit', NULL, 'register', p -> 'origin'),
    jsonb_build_object('status', 'ok'));
END $$;

CREATE FUNCTION identity.register(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_user users;
BEGIN
  INSERT INTO users (id, email, password_hash, roles, created_at)
  VALUES ((p ->> 'userId')::uuid, p ->> 'email', p ->> 'passwordHash', '{user}', clock())
  ON CONFLICT DO NOTHING RETURNING * INTO v_user;
  IF FOUND THEN
    RETURN open_session(v_user, p, 'register');
  END IF;
  SELECT * INTO v_user FROM users WHERE id = (p ->> 'userId')::uuid;
  IF FOUND THEN
    -- The same registration, sent again because its answer was lost.
    RETURN granted(v_user, (p ->> 'sessionId')::uuid);
  END IF;
  RETURN refuse(NULL, 'register', 'email_taken', p -> 'origin');
END $$;

-- Answers what the password is to be compared with, or that there is nothing. A device known to the account has a count of
-- its own, so that it is neither locked out by strangers nor by others behind its address.
CREATE FUNCTION identity.begin_login(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_user users;
  v_subject text := 'account:' || (p ->> 'email');
  v_known boolean;
  v_refusal jsonb;
BEGIN
  SELECT * INTO v_user FROM users WHERE email = p ->> 'email';
  SELECT EXISTS (SELECT FROM devices
    WHERE hash = bytes(p ->> 'deviceHash') AND user_id = v_user.id AND expires_at > clock()) INTO v_known;
  IF v_known THEN
    v_subject := 'device:' || (p ->> 'deviceHash');
  ELSE
    v_refusal := take_attempt('login:' || (p ->> 'ipSubject'), p -> 'ipLimit', NULL, 'login', p -> 'origin');
  END IF;
  v_refusal := coalesce(v_refusal, take_attempt(v_subject, p -> 'accountLimit', v_user.id, 'login', p -> 'origin'));
  IF v_refusal IS NOT NULL THEN
    RETURN v_refusal;
  END IF;
  RETURN jsonb_build_object('status', 'ok', 'subject', v_subject, 'knownDevice', v_known, 'userId', v_user.id,
    'passwordHash', v_user.password_hash, 'totpSecret', v_user.totp_secret);
END $$;

CREATE FUNCTION identity.refuse_login(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  RETURN refuse((p ->> 'userId')::uuid, p ->> 'act', 'invalid_credentials', p -> 'origin');
END $$;

-- Uses up a step or a recovery code. The user's row is locked.
CREATE FUNCTION identity.spend_code(p_user uuid, p jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF p ->> 'step' IS NOT NULL THEN
    UPDATE users SET totp_step = (p ->> 'step')::bigint WHERE id = p_user AND totp_step < (p ->> 'step')::bigint;
    RETURN FOUND;
  END IF;
  UPDATE recovery_codes SET used_at = clock()
  WHERE hash = bytes(p ->> 'recoveryHash') AND user_id = p_user AND used_at IS NULL;
  RETURN FOUND;
END $$;

-- The password was right when it was looked at; what changed since then is looked at again under the lock.
CREATE FUNCTION identity.finish_login(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_user users;
  v_code jsonb := nullif(p -> 'code', 'null');
  v_refusal jsonb;
BEGIN
  SELECT * INTO v_user FROM users WHERE id = (p ->> 'userId')::uuid FOR UPDATE;
  IF EXISTS (SELECT FROM sessions WHERE id = (p ->> 'sessionId')::uuid) THEN
    RETURN granted(v_user, (p ->> 'sessionId')::uuid);
  END IF;
  IF v_code IS NOT NULL THEN
    v_refusal := take_attempt('code:' || (p ->> 'subject'), p -> 'codeLimit', v_user.id, 'login', p -> 'origin');
    IF v_refusal IS NOT NULL THEN
      RETURN v_refusal;
    END IF;
  END IF;
  IF v_user.password_hash <> p ->> 'passwordHash' OR cardinality(v_user.roles) = 0 THEN
    RETURN refuse(v_user.id, 'login', 'invalid_credentials', p -> 'origin');
  END IF;
  IF v_user.totp_secret IS NOT NULL THEN
    IF v_code IS NULL THEN
      RETURN refuse(v_user.id, 'login', 'second_factor_required', p -> 'origin');
    END IF;
    IF v_user.totp_secret IS DISTINCT FROM p ->> 'totpSecret' OR NOT spend_code(v_user.id, v_code) THEN
      RETURN refuse(v_user.id, 'login', 'invalid_code', p -> 'origin');
    END IF;
  END IF;
  IF NOT (p ->> 'knownDevice')::boolean THEN
    UPDATE attempts SET count = greatest(count - 1, 0) WHERE subject = 'login:' || (p ->> 'ipSubject');
  END IF;
  DELETE FROM attempts WHERE subject = p ->> 'subject';
  DELETE FROM attempts WHERE subject = 'code:' || (p ->> 'subject');
  RETURN open_session(v_user, p, 'login');
END $$;

-- The token is one of ours and was given out for this session; only the newest is good. Two requests that overlap with the
-- same token are one client in a hurry: one wins, the other is refused and nothing else happens. They overlap when the second
-- still saw the token unused, or had arrived before it was used. A token that comes later is in two hands: the session ends.
CREATE FUNCTION identity.refresh(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_before sessions;
  v_session sessions;
  v_user users;
  v_generation integer := (p ->> 'generation')::integer;
  v_now timestamptz;
BEGIN
  SELECT * INTO v_before FROM sessions WHERE id = (p ->> 'sessionId')::uuid;
  IF NOT FOUND THEN
    RETURN refused('unauthorized');
  END IF;
  SELECT * INTO v_user FROM users WHERE id = v_before.user_id FOR SHARE;
  SELECT * INTO v_session FROM sessions WHERE id = v_before.id FOR UPDATE;
  v_now := clock();
  IF v_session.ended_at IS NOT NULL OR v_session.idle_until <= v_now OR v_session.ends_at <= v_now
    OR cardinality(v_user.roles) = 0 THEN
    RETURN refused('unauthorized');
  END IF;
  IF v_session.refresh_hash = bytes(p ->> 'newHash') THEN
    -- The same refresh, sent again because its answer was lost.
    RETURN granted(v_user, v_session.id);
  END IF;
  IF v_session.generation = v_generation AND v_session.refresh_hash = bytes(p ->> 'hash') THEN
    UPDATE sessions SET refresh_hash = bytes(p ->> 'newHash'), generation = generation + 1, last_used_at = v_now, rotated_at = v_now,
      idle_until = after((p ->> 'idleMs')::bigint), ip = p -> 'origin' ->> 'ip', user_agent = p -> 'origin' ->> 'userAgent'
    WHERE id = v_session.id;
    RETURN granted(v_user, v_session.id);
  END IF;
  IF v_before.generation = v_generation
    OR (v_session.generation = v_generation + 1 AND (p ->> 'arrivedMs')::bigint < ms(v_session.rotated_at)) THEN
    RETURN refused('unauthorized');
  END IF;
  PERFORM end_sessions(v_user.id, ARRAY[v_session.id], 'refresh_reuse',
    append_audit(v_user.id, 'refresh_reuse', 'refused', p -> 'origin',
      jsonb_build_object('sessionId', v_session.id, 'generation', v_generation, 'newest', v_session.generation)));
  RETURN refused('unauthorized') || jsonb_build_object('reused', true);
END $$;

-- `logout` of one's own session, `session_revoke` of another of the same user.
CREATE FUNCTION identity.end_session(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_user uuid := (p ->> 'userId')::uuid;
  v_session uuid := (p ->> 'sessionId')::uuid;
BEGIN
  PERFORM FROM users WHERE id = v_user FOR UPDATE;
  PERFORM FROM sessions WHERE id = v_session AND user_id = v_user AND ended_at IS NULL FOR UPDATE;
  IF NOT FOUND THEN
    RETURN refused('not_found');
  END IF;
  PERFORM end_sessions(v_user, ARRAY[v_session], p ->> 'act',
    append_audit(v_user, p ->> 'act', 'ok', p -> 'origin', jsonb_build_object('sessionId', v_session)));
  RETURN jsonb_build_object('status', 'ok');
END $$;

-- Before a signed-in user proves again who it is. Counted by session, so that whoever holds one cannot lock out the others.
CREATE FUNCTION identity.begin_proof(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_user users;
  v_refusal jsonb := take_attempt('proof:' || (p ->> 'sessionId'), p -> 'limit', (p ->> 'userId')::uuid, p ->> 'act',
    p -> 'origin');
BEGIN
  IF v_refusal IS NOT NULL THEN
    RETURN v_refusal;
  END IF;
  SELECT * INTO STRICT v_user FROM users WHERE id = (p ->> 'userId')::uuid;
  RETURN jsonb_build_object('status', 'ok', 'userId', v_user.id, 'passwordHash', v_user.password_hash,
    'totpSecret', v_user.totp_secret, 'totpPending', v_user.totp_pending, 'email', v_user.email);
END $$;

CREATE FUNCTION identity.refuse_proof(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  RETURN refuse((p ->> 'userId')::uuid, p ->> 'act', p ->> 'code', p -> 'origin');
END $$;

-- Locks the user's row and answers whether the session may still act for the user.
CREATE FUNCTION identity.lock_user(p jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM users WHERE id = (p ->> 'userId')::uuid AND cardinality(roles) > 0 FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  RETURN EXISTS (SELECT FROM sessions WHERE id = (p ->> 'sessionId')::uuid AND user_id = (p ->> 'userId')::uuid
    AND ended_at IS NULL AND ends_at > clock());
END $$;

-- The password or the code was looked at already; the step or recovery code is used up here.
CREATE FUNCTION identity.step_up(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_user uuid := (p ->> 'userId')::uuid;
  v_live boolean := lock_user(p);
  v_expires timestamptz := after((p ->> 'stepUpMs')::bigint);
  v_code jsonb := nullif(p -> 'code', 'null');
BEGIN
  SELECT expires_at INTO v_expires FROM step_ups WHERE hash = bytes(p ->> 'hash');
  IF FOUND THEN
    RETURN jsonb_build_object('status', 'ok', 'expiresAtMs', ms(v_expires));
  END IF;
  v_expires := after((p ->> 'stepUpMs')::bigint);
  IF NOT v_live OR NOT EXISTS (SELECT FROM users WHERE id = v_user AND totp_secret IS NOT DISTINCT FROM p ->> 'totpSecret'
    AND password_hash = p ->> 'passwordHash') THEN
    RETURN refuse(v_user, 'step_up', 'invalid_credentials', p -> 'origin');
  END IF;
  IF p ->> 'totpSecret' IS NOT NULL AND NOT spend_code(v_user, v_code) THEN
    RETURN refuse(v_user, 'step_up', 'invalid_code', p -> 'origin');
  END IF;
  DELETE FROM step_ups WHERE hash IN (
    SELECT hash FROM step_ups WHERE user_id = v_user ORDER BY expires_at DESC OFFSET (p ->> 'stepUpsLimit')::integer - 1);
  INSERT INTO step_ups (hash, user_id, session_id, act, operation, expires_at)
  VALUES (bytes(p ->> 'hash'), v_user, (p ->> 'sessionId')::uuid, p ->> 'act', bytes(p ->> 'operation'), v_expires);
  DELETE FROM attempts WHERE subject = 'proof:' || (p ->> 'sessionId');
  PERFORM append_audit(v_user, 'step_up', 'ok', p -> 'origin', jsonb_build_object('for', p ->> 'act'));
  RETURN jsonb_build_object('status', 'ok', 'expiresAtMs', ms(v_expires));
END $$;

-- Good once, for this act of this session with exactly this operation.
CREATE FUNCTION identity.spend_step_up(p jsonb, p_act text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM step_ups WHERE hash = bytes(p -> 'stepUp' ->> 'hash') AND user_id = (p ->> 'userId')::uuid
    AND session_id = (p ->> 'sessionId')::uuid AND act = p_act AND operation = bytes(p -> 'stepUp' ->> 'operation')
    AND expires_at > clock();
  RETURN FOUND;
END $$;

-- Every other session ends, and no device is known any more; the session that did it goes on.
CREATE FUNCTION identity.change_password(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_user uuid := (p ->> 'userId')::uuid;
  v_live boolean := lock_user(p);
  v_others uuid[];
BEGIN
  IF EXISTS (SELECT FROM users WHERE id = v_user AND password_hash = p ->> 'newHash') THEN
    RETURN jsonb_build_object('status', 'ok');
  END IF;
  IF NOT v_live OR NOT spend_step_up(p, 'password_change') THEN
    RETURN refuse(v_user, 'password_change', 'step_up_required', p -> 'origin');
  END IF;
  UPDATE users SET password_hash = p ->> 'newHash' WHERE id = v_user AND password_hash = p ->> 'oldHash';
  IF NOT FOUND THEN
    RETURN refuse(v_user, 'password_change', 'invalid_credentials', p -> 'origin');
  END IF;
  DELETE FROM devices WHERE user_id = v_user;
  DELETE FROM attempts WHERE subject = 'proof:' || (p ->> 'sessionId');
  SELECT coalesce(array_agg(id), '{}') INTO v_others FROM sessions
  WHERE user_id = v_user AND ended_at IS NULL AND id <> (p ->> 'sessionId')::uuid;
  PERFORM end_sessions(v_user, v_others, 'password_change',
    append_audit(v_user, 'password_change', 'ok', p -> 'origin', jsonb_build_object('endedSessions', cardinality(v_others))));
  RETURN jsonb_build_object('status', 'ok');
END $$;

CREATE FUNCTION identity.begin_totp(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_user uuid := (p ->> 'userId')::uuid;
BEGIN
  UPDATE users SET totp_pending = p ->> 'sealed' WHERE id = v_user AND totp_secret IS NULL;
  IF NOT FOUND THEN
    RETURN refuse(v_user, 'totp_begin', 'already_done', p -> 'origin');
  END IF;
  PERFORM append_audit(v_user, 'totp_begin', 'ok', p -> 'origin', '{}');
  RETURN jsonb_build_object('status', 'ok');
END $$;

CREATE FUNCTION identity.replace_recovery_codes(p_user uuid, p_hashes text[]) RETURNS void LANGUAGE sql VOLATILE AS $$
  DELETE FROM identity.recovery_codes WHERE user_id = p_user;
  INSERT INTO identity.recovery_codes (hash, user_id) SELECT identity.bytes(h), p_user FROM unnest(p_hashes) AS h;
$$;

CREATE FUNCTION identity.has_recovery_codes(p_user uuid, p_hashes text[]) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT FROM identity.recovery_codes WHERE user_id = p_user AND hash = identity.bytes(p_hashes[1]))
$$;

CREATE FUNCTION identity.confirm_totp(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_user uuid := (p ->> 'userId')::uuid;
  v_hashes text[] := list(p -> 'recoveryHashes');
  v_live boolean := lock_user(p);
BEGIN
  IF has_recovery_codes(v_user, v_hashes) THEN
    RETURN jsonb_build_object('status', 'ok');
  END IF;
  IF NOT v_live THEN
    RETURN refuse(v_user, 'totp_enable', 'not_found', p -> 'origin');
  END IF;
  IF EXISTS (SELECT FROM users WHERE id = v_user AND totp_secret IS NOT NULL) THEN
    RETURN refuse(v_user, 'totp_enable', 'already_done', p -> 'origin');
  END IF;
  UPDATE users SET totp_secret = totp_pending, totp_pending = NULL, totp_step = (p ->> 'step')::bigint
  WHERE id = v_user AND totp_pending = p ->> 'totpPending' AND totp_step < (p ->> 'step')::bigint;
  IF NOT FOUND THEN
    RETURN refuse(v_user, 'totp_enable', 'invalid_code', p -> 'origin');
  END IF;
  PERFORM replace_recovery_codes(v_user, v_hashes);
  DELETE FROM attempts WHERE subject = 'proof:' || (p ->> 'sessionId');
  PERFORM append_audit(v_user, 'totp_enable', 'ok', p -> 'origin', '{}');
  RETURN jsonb_build_object('status', 'ok');
END $$;

CREATE FUNCTION identity.disable_totp(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_user uuid := (p ->> 'userId')::uuid;
  v_live boolean := lock_user(p);
BEGIN
  IF NOT EXISTS (SELECT FROM users WHERE id = v_user AND totp_secret IS NOT NULL) THEN
    RETURN refused('not_found');
  END IF;
  IF NOT v_live OR NOT spend_step_up(p, 'totp_disable') THEN
    RETURN refuse(v_user, 'totp_disable', 'step_up_required', p -> 'origin');
  END IF;
  -- The last step stays, so that its code is not good again after the factor is set up anew with the same secret.
  UPDATE users SET totp_secret = NULL, totp_pending = NULL WHERE id = v_user;
  PERFORM replace_recovery_codes(v_user, '{}');
  PERFORM append_audit(v_user, 'totp_disable', 'ok', p -> 'origin', '{}');
  RETURN jsonb_build_object('status', 'ok');
END $$;

CREATE FUNCTION identity.renew_recovery_codes(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_user uuid := (p ->> 'userId')::uuid;
  v_hashes text[] := list(p -> 'recoveryHashes');
  v_live boolean := lock_user(p);
BEGIN
  IF has_recovery_codes(v_user, v_hashes) THEN
    RETURN jsonb_build_object('status', 'ok');
  END IF;
  IF NOT EXISTS (SELECT FROM users WHERE id = v_user AND totp_secret IS NOT NULL) THEN
    RETURN refused('not_found');
  END IF;
  IF NOT v_live OR NOT spend_step_up(p, 'recovery_codes') THEN
    RETURN refuse(v_user, 'recovery_codes', 'step_up_required', p -> 'origin');
  END IF;
  PERFORM replace_recovery_codes(v_user, v_hashes);
  PERFORM append_audit(v_user, 'recovery_codes', 'ok', p -> 'origin', '{}');
  RETURN jsonb_build_object('status', 'ok');
END $$;

CREATE FUNCTION identity.key_json(k identity.api_keys) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('id', k.id, 'label', k.label, 'scopes', k.scopes, 'ipAllowList', k.ip_allow_list,
    'algorithm', k.algorithm, 'createdAt', identity.ms(k.created_at), 'expiresAt', identity.ms(k.expires_at),
    'lastUsedAt', identity.ms(k.last_used_at), 'lastUsedIp', k.last_used_ip, 'lastUsedRoute', k.last_used_route)
$$;

CREATE FUNCTION identity.create_key(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_user uuid := (p ->> 'userId')::uuid;
  v_live boolean := lock_user(p);
  v_key api_keys;
BEGIN
  SELECT * INTO v_key FROM api_keys WHERE id = p ->> 'keyId';
  IF FOUND THEN
    RETURN jsonb_build_object('status', 'ok', 'key', key_json(v_key));
  END IF;
  IF NOT v_live OR NOT spend_step_up(p, 'key_create') THEN
    RETURN refuse(v_user, 'key_create', 'step_up_required', p -> 'origin');
  END IF;
  IF (SELECT count(*) FROM api_keys WHERE user_id = v_user AND revoked_at IS NULL
    AND (expires_at IS NULL OR expires_at > clock())) >= (p ->> 'keysLimit')::integer THEN
    RETURN refuse(v_user, 'key_create', 'above_maximum', p -> 'origin');
  END IF;
  INSERT INTO api_keys (id, user_id, label, scopes, ip_allow_list, algorithm, public_key, secret, created_at, expires_at)
  VALUES (p ->> 'keyId', v_user, p ->> 'label', list(p -> 'scopes'), list(p -> 'ipAllowList'), p ->> 'algorithm',
    p ->> 'publicKey', p ->> 'sealed', clock(), after((p ->> 'lifeMs')::bigint))
  RETURNING * INTO v_key;
  PERFORM append_audit(v_user, 'key_create', 'ok', p -> 'origin', jsonb_build_object('keyId', v_key.id,
    'scopes', v_key.scopes, 'ipAllowList', v_key.ip_allow_list, 'algorithm', v_key.algorithm));
  RETURN jsonb_build_object('status', 'ok', 'key', key_json(v_key));
END $$;

CREATE FUNCTION identity.revoke_key(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_user uuid := (p ->> 'userId')::uuid;
  v_seq bigint;
BEGIN
  UPDATE api_keys SET revoked_at = clock() WHERE id = p ->> 'keyId' AND user_id = v_user AND revoked_at IS NULL;
  IF NOT FOUND THEN
    RETURN refused('not_found');
  END IF;
  DELETE FROM tickets WHERE key_id = p ->> 'keyId';
  v_seq := append_audit(v_user, 'key_revoke', 'ok', p -> 'origin', jsonb_build_object('keyId', p ->> 'keyId'));
  INSERT INTO revocations (seq, place, user_id, key_id, created_at) VALUES (v_seq, 0, v_user, p ->> 'keyId', clock());
  RETURN jsonb_build_object('status', 'ok');
END $$;

-- The signature was right. Nothing but the use itself, once a minute, is logged to disk, so that this costs no wait for it.
CREATE FUNCTION identity.use_key(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_now timestamptz := clock();
  v_key api_keys;
  v_user users;
  v_since timestamptz;
BEGIN
  SELECT * INTO v_key FROM api_keys WHERE id = p ->> 'keyId' AND revoked_at IS NULL
    AND (expires_at IS NULL OR expires_at > v_now);
  SELECT * INTO v_user FROM users WHERE id = v_key.user_id AND cardinality(roles) > 0;
  IF v_user.id IS NULL THEN
    RETURN refused('invalid_signature');
  END IF;
  SELECT since INTO v_since FROM nonce_memory;
  IF NOT FOUND THEN
    -- The server crashed and forgot the nonces: whatever could have been received before is refused.
    INSERT INTO nonce_memory (since) VALUES (v_now + (p ->> 'futureMs')::integer * interval '1 millisecond')
    ON CONFLICT DO NOTHING;
    SELECT since INTO STRICT v_since FROM nonce_memory;
  END IF;
  IF to_timestamp((p ->> 'timestampMs')::bigint / 1000.0) <= v_since THEN
    RETURN refused('invalid_signature');
  END IF;
  INSERT INTO nonces (key_id, nonce, use_id, expires_at)
  VALUES (v_key.id, p ->> 'nonce', (p ->> 'useId')::uuid, to_timestamp((p ->> 'nonceUntilMs')::bigint / 1000.0))
  ON CONFLICT DO NOTHING;
  IF NOT FOUND AND NOT EXISTS (SELECT FROM nonces
    WHERE key_id = v_key.id AND nonce = p ->> 'nonce' AND use_id = (p ->> 'useId')::uuid) THEN
    RETURN refused('replayed');
  END IF;
  IF v_key.last_used_at IS NULL OR v_key.last_used_at < v_now - interval '1 minute' THEN
    UPDATE api_keys SET last_used_at = v_now, last_used_ip = p ->> 'ip', last_used_route = p ->> 'route'
    WHERE id = v_key.id AND last_used_at IS NOT DISTINCT FROM v_key.last_used_at;
  END IF;
  RETURN jsonb_build_object('status', 'ok', 'userId', v_user.id, 'roles', v_user.roles, 'scopes', v_key.scopes,
    'nowMs', ms(v_now));
END $$;

CREATE FUNCTION identity.issue_ticket(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_user uuid := (p ->> 'userId')::uuid;
  v_expires timestamptz := after((p ->> 'ticketMs')::bigint);
BEGIN
  DELETE FROM tickets WHERE hash IN (
    SELECT hash FROM tickets WHERE user_id = v_user ORDER BY expires_at DESC OFFSET (p ->> 'ticketsLimit')::integer - 1
    FOR UPDATE SKIP LOCKED);
  INSERT INTO tickets (hash, user_id, session_id, key_id, expires_at)
  VALUES (bytes(p ->> 'hash'), v_user, (p ->> 'sessionId')::uuid, p ->> 'keyId', v_expires) ON CONFLICT DO NOTHING;
  RETURN jsonb_build_object('status', 'ok', 'expiresAtMs', ms(v_expires));
END $$;

CREATE FUNCTION identity.redeem_ticket(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_now timestamptz := clock();
  v_ticket tickets;
  v_user users;
  v_session sessions;
  v_key api_keys;
BEGIN
  DELETE FROM tickets WHERE hash = bytes(p ->> 'hash') RETURNING * INTO v_ticket;
  IF NOT FOUND THEN
    RETURN refused('unauthorized');
  END IF;
  SELECT * INTO v_user FROM users WHERE id = v_ticket.user_id AND cardinality(roles) > 0;
  SELECT * INTO v_session FROM sessions WHERE id = v_ticket.session_id AND user_id = v_user.id AND ended_at IS NULL
    AND idle_until > v_now AND ends_at > v_now;
  SELECT * INTO v_key FROM api_keys WHERE id = v_ticket.key_id AND user_id = v_user.id AND revoked_at IS NULL
    AND (expires_at IS NULL OR expires_at > v_now);
  IF v_ticket.expires_at <= v_now OR v_user.id IS NULL OR (v_session.id IS NULL AND v_key.id IS NULL) THEN
    RETURN refused('unauthorized');
  END IF;
  RETURN jsonb_build_object('status', 'ok', 'userId', v_user.id, 'roles', v_user.roles, 'sessionId', v_session.id,
    'keyId', v_key.id, 'scopes', v_key.scopes, 'nowMs', ms(v_now),
    'endsAtMs', ms(least(v_session.ends_at, v_session.idle_until, v_key.expires_at)));
END $$;

-- A change voids the user's access tokens; without any role left, the sessions end too.
CREATE FUNCTION identity.set_roles(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_by uuid := (p ->> 'by')::uuid;
  v_roles text[] := ARRAY(SELECT DISTINCT role FROM unnest(list(p -> 'roles')) AS role ORDER BY role DESC);
  v_user users;
  v_sessions uuid[];
  v_seq bigint;
BEGIN
  IF v_by IS NOT NULL AND NOT EXISTS (SELECT FROM users WHERE id = v_by AND 'admin' = ANY (roles)) THEN
    RETURN refuse(v_by, 'roles_set', 'forbidden', p -> 'origin');
  END IF;
  SELECT * INTO v_user FROM users WHERE email = p ->> 'email' FOR UPDATE;
  IF NOT FOUND THEN
    RETURN refuse(v_by, 'roles_set', 'not_found', p -> 'origin');
  END IF;
  IF v_user.roles = v_roles THEN
    RETURN jsonb_build_object('status', 'ok', 'user', user_json(v_user), 'changed', false);
  END IF;
  SELECT CASE WHEN cardinality(v_roles) > 0 THEN '{}' ELSE coalesce(array_agg(id), '{}') END INTO v_sessions
  FROM sessions WHERE user_id = v_user.id AND ended_at IS NULL;
  UPDATE users SET roles = v_roles, token_version = token_version + 1 WHERE id = v_user.id RETURNING * INTO v_user;
  v_seq := append_audit(v_user.id, 'roles_set', 'ok', p -> 'origin', jsonb_build_object('roles', v_roles, 'by', v_by));
  INSERT INTO revocations (seq, place, user_id, token_version, created_at)
  VALUES (v_seq, 0, v_user.id, v_user.token_version, clock());
  PERFORM end_sessions(v_user.id, v_sessions, 'suspended', v_seq);
  RETURN jsonb_build_object('status', 'ok', 'user', user_json(v_user), 'changed', true);
END $$;

-- Removes what nobody can use any more. Rows that somebody has locked are left for the next time.
CREATE FUNCTION identity.sweep(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_left integer := (p ->> 'limit')::integer;
  v_count integer;
  v_rule text[];
BEGIN
  FOREACH v_rule SLICE 1 IN ARRAY ARRAY[
    ['nonces', 'expires_at', '0'], ['tickets', 'expires_at', '0'], ['step_ups', 'expires_at', '0'],
    ['attempts', 'until', '0'], ['devices', 'expires_at', '0'],
    ['revocations', 'created_at', p ->> 'revocationMs'], ['sessions', 'ends_at', p ->> 'sessionMs'],
    ['api_keys', 'expires_at', p ->> 'keyMs'], ['api_keys', 'revoked_at', p ->> 'keyMs']]
  LOOP
    EXECUTE format('DELETE FROM identity.%1$I WHERE ctid IN (SELECT ctid FROM identity.%1$I '
      'WHERE %2$I <= identity.clock() - $1 * interval ''1 millisecond'' LIMIT $2 FOR UPDATE SKIP LOCKED)', v_rule[1], v_rule[2])
    USING v_rule[3]::bigint, v_left;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_left := v_left - v_count;
  END LOOP;
  RETURN jsonb_build_object('status', 'ok', 'count', (p ->> 'limit')::integer - v_left);
END $$;

CREATE FUNCTION identity.act(p_act text, p jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = identity, pg_temp AS $$
DECLARE
  v_answer jsonb;
BEGIN
  PERFORM set_config('tidewire.identity', p_act, true);
  v_answer := CASE p_act
    WHEN 'audit' THEN audit(p)
    WHEN 'begin_register' THEN begin_register(p)
    WHEN 'register' THEN register(p)
    WHEN 'begin_login' THEN begin_login(p)
    WHEN 'refuse_login' THEN refuse_login(p)
    WHEN 'finish_login' THEN finish_login(p)
    WHEN 'refresh' THEN refresh(p)
    WHEN 'end_session' THEN end_session(p)
    WHEN 'begin_proof' THEN begin_proof(p)
    WHEN 'refuse_proof' THEN refuse_proof(p)
    WHEN 'step_up' THEN step_up(p)
    WHEN 'change_password' THEN change_password(p)
    WHEN 'begin_totp' THEN begin_totp(p)
    WHEN 'confirm_totp' THEN confirm_totp(p)
    WHEN 'disable_totp' THEN disable_totp(p)
    WHEN 'renew_recovery_codes' THEN renew_recovery_codes(p)
    WHEN 'create_key' THEN create_key(p)
    WHEN 'revoke_key' THEN revoke_key(p)
    WHEN 'use_key' THEN use_key(p)
    WHEN 'issue_ticket' THEN issue_ticket(p)
    WHEN 'redeem_ticket' THEN redeem_ticket(p)
    WHEN 'set_roles' THEN set_roles(p)
    WHEN 'sweep' THEN sweep(p)
  END;
  IF v_answer IS NULL THEN
    RAISE EXCEPTION 'identity: no such act, or one without an answer: %', p_act;
  END IF;
  PERFORM set_config('tidewire.identity', '', true);
  RETURN v_answer;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA identity FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.act(text, jsonb), identity.clock(), identity.ms(timestamptz),
  identity.audit_text(identity.audit_log), identity.user_json(identity.users),
  identity.key_json(identity.api_keys) TO app_rw;
