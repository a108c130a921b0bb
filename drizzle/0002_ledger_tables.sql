-- Double entry. A transfer takes one amount of one asset from one account to another, so every row balances by itself, and
-- the postings of an asset sum to zero over all accounts. Amounts are whole numbers of the asset's smallest unit.
-- Sign: a credit raises `posted`. What users own is positive; where it came from (equity, venues, chains) is negative.
CREATE SCHEMA ledger;

CREATE TABLE ledger.assets (
  code text PRIMARY KEY,
  -- Decimal places between the whole unit and the smallest one.
  scale smallint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  -- Paper money has names of its own, so that no account and no transfer can join it with real money.
  CONSTRAINT assets_code CHECK (code ~ '^(PAPER:)?[A-Z0-9][A-Z0-9._-]{0,31}$'),
  CONSTRAINT assets_scale CHECK (scale BETWEEN 0 AND 18)
);

CREATE TABLE ledger.account_kinds (
  kind text PRIMARY KEY,
  owned boolean NOT NULL,
  -- May go below zero: the other side of what users own.
  overdraft boolean NOT NULL,
  -- Never refused and therefore never locked: legs are queued and rolled up later.
  deferred boolean NOT NULL,
  meaning text NOT NULL,
  UNIQUE (kind, owned, overdraft, deferred),
  CONSTRAINT account_kinds_deferred CHECK (overdraft OR NOT deferred),
  CONSTRAINT account_kinds_owned CHECK (NOT (owned AND overdraft))
);
INSERT INTO ledger.account_kinds (kind, owned, overdraft, deferred, meaning) VALUES
  ('user', true, false, false, 'what a user owns'),
  ('escrow', false, false, false, 'money between two users; the label names the deal'),
  ('fee', false, true, true, 'fees earned'),
  ('rounding', false, true, true, 'what rounding leaves to the house'),
  ('clearing', false, true, true, 'the other side of trades that no user of ours took'),
  ('equity', false, true, true, 'where funds that we grant come from, such as paper money'),
  ('venue', false, true, true, 'mirror of a balance at an exchange; the label names it'),
  ('chain_hot', false, true, true, 'mirror of hot wallets'),
  ('chain_cold', false, true, true, 'mirror of cold wallets'),
  ('psp', false, true, true, 'mirror of a payment provider; the label names it'),
  ('network_fee', false, true, true, 'network fees paid'),
  ('suspense', false, true, true, 'what is not explained yet');

CREATE TABLE ledger.accounts (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  owner_id uuid,
  asset text NOT NULL REFERENCES ledger.assets (code),
  kind text NOT NULL,
  label text NOT NULL DEFAULT '',
  owned boolean NOT NULL GENERATED ALWAYS AS (owner_id IS NOT NULL) STORED,
  overdraft boolean NOT NULL,
  deferred boolean NOT NULL,
  posted numeric(38, 0) NOT NULL DEFAULT 0,
  held numeric(38, 0) NOT NULL DEFAULT 0,
  -- Rises by one with every change; the number of the account's last entry.
  version bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  FOREIGN KEY (kind, owned, overdraft, deferred)
    REFERENCES ledger.account_kinds (kind, owned, overdraft, deferred),
  CONSTRAINT accounts_party UNIQUE NULLS NOT DISTINCT (owner_id, asset, kind, label),
  CONSTRAINT accounts_asset UNIQUE (id, asset),
  -- Bounded on both sides: NaN is greater than every number and would pass a lower bound.
  CONSTRAINT accounts_posted CHECK (posted > -1e36 AND posted < 1e36),
  CONSTRAINT accounts_held CHECK (held >= 0 AND held < 1e36),
  CONSTRAINT accounts_available CHECK (overdraft OR posted - held >= 0),
  CONSTRAINT accounts_deferred_holds_nothing CHECK (NOT deferred OR held = 0)
) WITH (fillfactor = 70);

CREATE SEQUENCE ledger.journal_ids;
CREATE TABLE ledger.journals (
  id bigint PRIMARY KEY,
  -- Whose key it is: nobody can see or spend another scope's keys.
  scope text NOT NULL,
  key text NOT NULL,
  request_hash bytea NOT NULL,
  kind text NOT NULL,
  reference_type text,
  reference_id text,
  actor text NOT NULL,
  request_id text,
  reverses bigint REFERENCES ledger.journals (id),
  -- What the caller was told, and is told again when the key is repeated.
  answer jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT journals_key UNIQUE (scope, key)
);
CREATE UNIQUE INDEX journals_reversed_once ON ledger.journals (reverses) WHERE reverses IS NOT NULL;

CREATE SEQUENCE ledger.hold_ids;
CREATE TABLE ledger.holds (
  id bigint PRIMARY KEY,
  account_id bigint NOT NULL REFERENCES ledger.accounts (id),
  -- Why the money is held: the kind of thing and its id.
  purpose text NOT NULL,
  reference_id text NOT NULL,
  amount numeric(38, 0) NOT NULL,
  captured numeric(38, 0) NOT NULL DEFAULT 0,
  released numeric(38, 0) NOT NULL DEFAULT 0,
  version bigint NOT NULL DEFAULT 1,
  expires_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT holds_reason UNIQUE (account_id, purpose, reference_id),
  CONSTRAINT holds_amount CHECK (amount > 0 AND amount < 1e36),
  CONSTRAINT holds_resolved CHECK (captured >= 0 AND released >= 0 AND captured + released <= amount)
) WITH (fillfactor = 70);
CREATE INDEX holds_open ON ledger.holds (account_id) WHERE captured + released < amount;
CREATE INDEX holds_expiring ON ledger.holds (expires_at) WHERE expires_at IS NOT NULL AND captured + released < amount;

CREATE TABLE ledger.transfers (
  journal_id bigint NOT NULL REFERENCES ledger.journals (id),
  leg smallint NOT NULL,
  asset text NOT NULL,
  debit_id bigint NOT NULL,
  credit_id bigint NOT NULL,
  amount numeric(38, 0) NOT NULL,
  code text NOT NULL,
  hold_id bigint REFERENCES ledger.holds (id),
  PRIMARY KEY (journal_id, leg),
  FOREIGN KEY (debit_id, asset) REFERENCES ledger.accounts (id, asset),
  FOREIGN KEY (credit_id, asset) REFERENCES ledger.accounts (id, asset),
  CONSTRAINT transfers_amount CHECK (amount > 0 AND amount < 1e36),
  CONSTRAINT transfers_two_accounts CHECK (debit_id <> credit_id)
);

-- What happened to a hold, one row per change, written by a trigger on the hold itself.
CREATE TABLE ledger.hold_events (
  hold_id bigint NOT NULL,
  seq bigint NOT NULL,
  kind text NOT NULL,
  placed numeric(38, 0) NOT NULL,
  captured numeric(38, 0) NOT NULL,
  released numeric(38, 0) NOT NULL,
  journal_id bigint NOT NULL,
  PRIMARY KEY (hold_id, seq)
);
CREATE INDEX hold_events_journal ON ledger.hold_events (journal_id);

-- An account's statement: one row per change, written by a trigger on the account itself.
CREATE TABLE ledger.entries (
  account_id bigint NOT NULL,
  version bigint NOT NULL,
  journal_id bigint NOT NULL,
  posted_change numeric(38, 0) NOT NULL,
  held_change numeric(38, 0) NOT NULL,
  posted numeric(38, 0) NOT NULL,
  held numeric(38, 0) NOT NULL,
  PRIMARY KEY (account_id, version)
);
CREATE INDEX entries_journal ON ledger.entries (journal_id);

-- Legs on deferred accounts that are not in `posted` yet.
CREATE TABLE ledger.deferred_legs (
  journal_id bigint NOT NULL,
  account_id bigint NOT NULL REFERENCES ledger.accounts (id),
  change numeric(38, 0) NOT NULL,
  PRIMARY KEY (journal_id, account_id),
  CONSTRAINT deferred_legs_change CHECK (change > -1e36 AND change < 1e36)
);

-- Everything a user may see happen, numbered without gaps, written together with the fact itself. The row of `event_heads`
-- is locked until commit, so that a reader who sees number n has seen, or can see, all before it.
CREATE TABLE ledger.event_heads (
  user_id uuid PRIMARY KEY,
  seq bigint NOT NULL
) WITH (fillfactor = 70);
CREATE TABLE ledger.user_events (
  user_id uuid NOT NULL,
  seq bigint NOT NULL,
  type text NOT NULL,
  payload jsonb NOT NULL,
  journal_id bigint,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (user_id, seq)
);

CREATE INDEX deferred_legs_account ON ledger.deferred_legs (account_id);

SELECT platform.protect(name::regclass, 'ledger') FROM unnest(ARRAY[
  'ledger.assets', 'ledger.account_kinds', 'ledger.accounts', 'ledger.journals', 'ledger.holds', 'ledger.transfers',
  'ledger.hold_events', 'ledger.entries', 'ledger.deferred_legs', 'ledger.event_heads', 'ledger.user_events']) AS name;
SELECT platform.append_only(name::regclass) FROM unnest(ARRAY[
  'ledger.assets', 'ledger.journals', 'ledger.transfers', 'ledger.hold_events', 'ledger.entries',
  'ledger.user_events']) AS name;

-- Reading is allowed to the application; writing goes through the functions of the next migration alone.
GRANT USAGE ON SCHEMA ledger TO app_rw, app_ro;
GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO app_rw, app_ro;
