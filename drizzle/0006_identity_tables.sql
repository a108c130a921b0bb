-- Who may act: users, sessions, API keys, and the log of what they did. Secrets are stored as hashes, or sealed under a key
-- that the database does not have.
CREATE SCHEMA identity;

-- The one clock of everything here, so that no two processes disagree about what has expired.
CREATE FUNCTION identity.clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$ SELECT clock_timestamp() $$;

CREATE TABLE identity.users (
  id uuid PRIMARY KEY,
  -- Lower case; made so by the application, because the database's idea of it depends on its locale.
  email text NOT NULL,
  password_hash text NOT NULL,
  -- Without any role the user is suspended.
  roles text[] NOT NULL,
  -- Access tokens of lower versions are void.
  token_version integer NOT NULL DEFAULT 1,
  totp_secret text,
  -- Shown to the user, but not proved by a code yet.
  totp_pending text,
  -- The last step whose code was accepted: no step counts twice, whatever it was for.
  totp_step bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL,
  CONSTRAINT users_email_once UNIQUE (email),
  CONSTRAINT users_email CHECK (length(email) BETWEEN 3 AND 512),
  CONSTRAINT users_password_hash CHECK (password_hash LIKE '$argon2id$%'),
  CONSTRAINT users_roles CHECK (roles <@ ARRAY['user', 'admin'])
) WITH (fillfactor = 80);

-- A session is a family of refresh tokens of which only the newest is good.
CREATE TABLE identity.sessions (
  id uuid PRIMARY KEY,
  user_id uuid NOT NULL REFERENCES identity.users (id),
  refresh_hash bytea NOT NULL,
  generation integer NOT NULL DEFAULT 1,
  device text,
  ip text NOT NULL,
  user_agent text,
  created_at timestamptz NOT NULL,
  last_used_at timestamptz NOT NULL,
  rotated_at timestamptz,
  -- Ends when it is not used until then, and in any case at `ends_at`.
  idle_until timestamptz NOT NULL,
  ends_at timestamptz NOT NULL,
  ended_at timestamptz,
  end_reason text,
  CONSTRAINT sessions_refresh_hash CHECK (length(refresh_hash) = 32),
  CONSTRAINT sessions_ended CHECK ((ended_at IS NULL) = (end_reason IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX sessions_live ON identity.sessions (user_id, last_used_at) WHERE ended_at IS NULL;
CREATE INDEX sessions_over ON identity.sessions (ends_at);

-- Where a user has logged in before: strangers who guess elsewhere cannot lock these out.
CREATE TABLE identity.devices (
  hash bytea PRIMARY KEY,
  user_id uuid NOT NULL REFERENCES identity.users (id),
  created_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  CONSTRAINT devices_hash CHECK (length(hash) = 32)
);
CREATE INDEX devices_user ON identity.devices (user_id, created_at);
CREATE INDEX devices_over ON identity.devices (expires_at);

CREATE TABLE identity.recovery_codes (
  hash bytea PRIMARY KEY,
  user_id uuid NOT NULL REFERENCES identity.users (id),
  used_at timestamptz,
  CONSTRAINT recovery_codes_hash CHECK (length(hash) = 32)
);
CREATE INDEX recovery_codes_user ON identity.recovery_codes (user_id);

CREATE TABLE identity.api_keys (
  id text PRIMARY KEY,
  user_id uuid NOT NULL REFERENCES identity.users (id),
  label text NOT NULL,
  scopes text[] NOT NULL,
  ip_allow_list text[] NOT NULL,
  algorithm text NOT NULL,
  -- Ed25519: PEM (SPKI).
  public_key text,
  -- HMAC: sealed under a key that the database does not have.
  secret text,
  created_at timestamptz NOT NULL,
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz,
  last_used_ip text,
  last_used_route text,
  CONSTRAINT api_keys_scopes CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['read', 'trade']),
  CONSTRAINT api_keys_algorithm CHECK (
    algorithm = 'ed25519' AND public_key IS NOT NULL AND secret IS NULL
    OR algorithm = 'hmac-sha256' AND public_key IS NULL AND secret IS NOT NULL),
  CONSTRAINT api_keys_bound CHECK (
    NOT 'trade' = ANY (scopes) OR cardinality(ip_allow_list) > 0 OR expires_at IS NOT NULL)
) WITH (fillfactor = 80);
CREATE INDEX api_keys_user ON identity.api_keys (user_id) WHERE revoked_at IS NULL;

-- What every process hears of within 2 s. Numbered by the audit entry of the act: its lock is held until commit, so that a
-- reader who sees a number can see all before it.
CREATE TABLE identity.revocations (
  seq bigint NOT NULL,
  place integer NOT NULL,
  user_id uuid NOT NULL,
  session_id uuid,
  key_id text,
  -- Neither session nor key: all of the user's tokens below this version.
  token_version integer,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (seq, place)
);
CREATE INDEX revocations_time ON identity.revocations (created_at);

-- Each entry's hash covers the entry and the hash before it. `audit_head` is locked last by every function, and until commit.
CREATE TABLE identity.audit_head (
  single boolean PRIMARY KEY DEFAULT true,
  seq bigint NOT NULL,
  hash bytea NOT NULL,
  CONSTRAINT audit_head_single CHECK (single)
) WITH (fillfactor = 10);
INSERT INTO identity.audit_head (seq, hash) VALUES (0, sha256('tidewire audit log'));
CREATE TABLE identity.audit_log (
  seq bigint PRIMARY KEY,
  at timestamptz NOT NULL,
  user_id uuid,
  act text NOT NULL,
  outcome text NOT NULL,
  ip text,
  user_agent text,
  request_id text,
  details jsonb NOT NULL,
  hash bytea NOT NULL,
  CONSTRAINT audit_log_outcome CHECK (outcome IN ('ok', 'refused'))
);
CREATE INDEX audit_log_user ON identity.audit_log (user_id, seq);

-- What may be forgotten when the server crashes is unlogged: it costs no wait for the disk, and nothing that was used up or
-- expired comes back.
CREATE UNLOGGED TABLE identity.attempts (
  subject text PRIMARY KEY,
  count integer NOT NULL,
  until timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX attempts_over ON identity.attempts (until);
CREATE UNLOGGED TABLE identity.tickets (
  hash bytea PRIMARY KEY,
  user_id uuid NOT NULL,
  session_id uuid,
  key_id text,
  expires_at timestamptz NOT NULL
);
CREATE INDEX tickets_user ON identity.tickets (user_id, expires_at);
CREATE INDEX tickets_over ON identity.tickets (expires_at);
CREATE UNLOGGED TABLE identity.step_ups (
  hash bytea PRIMARY KEY,
  user_id uuid NOT NULL,
  session_id uuid NOT NULL,
  act text NOT NULL,
  operation bytea NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE INDEX step_ups_user ON identity.step_ups (user_id, expires_at);
CREATE INDEX step_ups_over ON identity.step_ups (expires_at);
CREATE UNLOGGED TABLE identity.nonces (
  key_id text NOT NULL,
  nonce text NOT NULL,
  -- Of one call: the same call, sent again because its answer was lost, is no replay.
  use_id uuid NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (key_id, nonce)
);
CREATE INDEX nonces_over ON identity.nonces (expires_at);
-- A crash empties this table together with `nonces`; requests signed before the new row's time are then refused, because
-- nobody remembers whether they were received.
CREATE UNLOGGED TABLE identity.nonce_memory (
  single boolean PRIMARY KEY DEFAULT true,
  since timestamptz NOT NULL,
  CONSTRAINT nonce_memory_single CHECK (single)
);
INSERT INTO identity.nonce_memory (since) VALUES ('-infinity');

SELECT platform.protect(name::regclass, 'identity') FROM unnest(ARRAY[
  'identity.users', 'identity.sessions', 'identity.devices', 'identity.recovery_codes', 'identity.api_keys',
  'identity.revocations', 'identity.audit_head', 'identity.audit_log', 'identity.attempts', 'identity.tickets',
  'identity.step_ups', 'identity.nonces', 'identity.nonce_memory']) AS name;
SELECT platform.append_only('identity.audit_log');

-- The application writes through the function of the next migration alone. Reporting sees what was done, and no hashes.
GRANT USAGE ON SCHEMA identity TO app_rw, app_ro;
GRANT SELECT ON ALL TABLES IN SCHEMA identity TO app_rw;
GRANT SELECT ON identity.audit_log, identity.audit_head TO app_ro;
GRANT SELECT (id, email, roles, created_at) ON identity.users TO app_ro;
