-- Orders: what users asked for, what became of it step by step, and the fills. An order's row is the projection of its
-- events; money lives in the ledger alone, the row only remembers which hold is for it and what that hold has left.
CREATE SCHEMA orders;

-- The state machine as data. `src/modules/orders/machine.ts` says the same; a test holds the two together.
CREATE TABLE orders.statuses (
  status text PRIMARY KEY,
  -- Nothing is held for it any more.
  ended boolean NOT NULL,
  -- Waits for an answer and remembers in `before_status` what it was.
  pending boolean NOT NULL,
  UNIQUE (status, ended)
);
INSERT INTO orders.statuses (status, ended, pending) VALUES
  ('submitted', false, false), ('accepted', false, false), ('held', false, false), ('triggered', false, false),
  ('partially_filled', false, false), ('pending_cancel', false, true), ('pending_update', false, true),
  ('submit_unknown', false, false), ('filled', true, false), ('canceled', true, false), ('expired', true, false),
  ('expired_in_match', true, false), ('rejected', true, false), ('denied', true, false);

CREATE TABLE orders.transitions (
  event text NOT NULL,
  from_status text NOT NULL REFERENCES orders.statuses (status),
  -- `before`: back to what it was before it became pending.
  to_status text NOT NULL,
  -- What a pending order will go back to from now on; null: as it was.
  becomes text REFERENCES orders.statuses (status),
  PRIMARY KEY (event, from_status)
);
INSERT INTO orders.transitions (event, from_status, to_status, becomes)
SELECT event, from_status, coalesce(to_status, from_status), becomes FROM (VALUES
  ('accept', ARRAY['submitted', 'submit_unknown'], 'accepted', NULL),
  ('accept', ARRAY['pending_cancel'], NULL, 'accepted'),
  ('hold', ARRAY['submitted', 'submit_unknown'], 'held', NULL),
  ('hold', ARRAY['pending_cancel'], NULL, 'held'),
  ('lose', ARRAY['submitted'], 'submit_unknown', NULL),
  ('arm', ARRAY['held'], 'submitted', NULL),
  ('trigger', ARRAY['held', 'accepted'], 'triggered', NULL),
  ('trigger', ARRAY['pending_cancel', 'pending_update'], NULL, 'triggered'),
  ('fill_part', ARRAY['submitted', 'submit_unknown', 'accepted', 'held', 'triggered', 'partially_filled'],
    'partially_filled', NULL),
  ('fill_part', ARRAY['pending_cancel', 'pending_update'], NULL, 'partially_filled'),
  ('fill_part', ARRAY['canceled', 'expired'], NULL, NULL),
  ('fill_all', ARRAY['submitted', 'submit_unknown', 'accepted', 'held', 'triggered', 'partially_filled',
    'pending_cancel', 'pending_update', 'canceled', 'expired'], 'filled', NULL),
  ('request_cancel', ARRAY['submitted', 'submit_unknown', 'accepted', 'triggered', 'partially_filled', 'pending_update',
    'pending_cancel'], 'pending_cancel', NULL),
  ('refuse_cancel', ARRAY['pending_cancel'], 'before', NULL),
  ('cancel', ARRAY['submitted', 'submit_unknown', 'accepted', 'held', 'triggered', 'partially_filled', 'pending_cancel',
    'pending_update'], 'canceled', NULL),
  ('request_amend', ARRAY['accepted', 'triggered', 'partially_filled'], 'pending_update', NULL),
  ('amend', ARRAY['pending_update'], 'before', NULL),
  ('amend', ARRAY['held'], NULL, NULL),
  ('refuse_amend', ARRAY['pending_update'], 'before', NULL),
  ('resize', ARRAY['submitted', 'submit_unknown', 'accepted', 'held', 'triggered', 'partially_filled', 'pending_cancel',
    'pending_update'], NULL, NULL),
  ('prevent', ARRAY['submitted', 'accepted', 'triggered', 'partially_filled', 'pending_cancel', 'pending_update'],
    NULL, NULL),
  ('wait', ARRAY['submitted', 'submit_unknown', 'accepted', 'held', 'triggered', 'partially_filled', 'pending_cancel',
    'pending_update'], NULL, NULL),
  ('expire', ARRAY['submitted', 'submit_unknown', 'accepted', 'held', 'triggered', 'partially_filled', 'pending_cancel',
    'pending_update'], 'expired', NULL),
  ('expire_in_match', ARRAY['submitted', 'accepted', 'triggered', 'partially_filled', 'pending_cancel',
    'pending_update'], 'expired_in_match', NULL),
  ('reject', ARRAY['submitted', 'submit_unknown', 'accepted', 'triggered', 'pending_cancel', 'pending_update'],
    'rejected', NULL),
  ('deny', ARRAY['held'], 'denied', NULL)
) AS rule (event, from_statuses, to_status, becomes), unnest(rule.from_statuses) AS from_status;

-- One row per user who ever ordered. Every command locks it first, then accounts, then the event log: whatever happens to
-- the orders of one user happens one after the other, and no two commands wait for each other in a circle.
CREATE TABLE orders.traders (
  user_id uuid PRIMARY KEY,
  fee_group text,
  open_orders integer NOT NULL DEFAULT 0,
  -- Dead-man switch: all orders are cancelled at this time.
  dead_man_at_ms bigint,
  CONSTRAINT traders_open_orders CHECK (open_orders >= 0),
  CONSTRAINT traders_fee_group CHECK (fee_group ~ '^[a-z0-9_-]{1,32}$')
) WITH (fillfactor = 70);
CREATE INDEX traders_dead_man ON orders.traders (dead_man_at_ms) WHERE dead_man_at_ms IS NOT NULL;

-- The most specific rule counts: group and market, group, market, any.
CREATE TABLE orders.fee_rules (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  fee_group text,
  venue text,
  symbol text,
  maker numeric NOT NULL,
  taker numeric NOT NULL,
  -- In whole units of the quote asset, once per order.
  flat numeric NOT NULL,
  updated_by text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT fee_rules_scope UNIQUE NULLS NOT DISTINCT (fee_group, venue, symbol),
  CONSTRAINT fee_rules_market CHECK ((venue IS NULL) = (symbol IS NULL)),
  -- Bounded on both sides: NaN is greater than every number.
  CONSTRAINT fee_rules_rates CHECK (maker >= 0 AND maker < 1 AND taker >= 0 AND taker < 1),
  CONSTRAINT fee_rules_flat CHECK (flat >= 0 AND flat < 1e12 AND scale(flat) <= 18)
);
INSERT INTO orders.fee_rules (maker, taker, flat, updated_by) VALUES (0.001, 0.001, 0, 'migration');

-- `*` stands for all venues. `reducing`: only sales; cancelling is always allowed.
CREATE TABLE orders.switches (
  scope text PRIMARY KEY,
  state text NOT NULL,
  reason text NOT NULL,
  updated_by text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT switches_scope CHECK (scope ~ '^(\*|[a-z0-9_]{2,32})$'),
  CONSTRAINT switches_state CHECK (state IN ('active', 'reducing', 'halted'))
);
INSERT INTO orders.switches (scope, state, reason, updated_by) VALUES ('*', 'active', '', 'migration');

-- What a request was answered, under the key that its user chose. `key`: Idempotency-Key; `order`, `list`: clientOrderId.
CREATE TABLE orders.requests (
  user_id uuid NOT NULL,
  kind text NOT NULL,
  key text NOT NULL,
  hash text NOT NULL,
  answer jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (user_id, kind, key)
);

CREATE TABLE orders.lists (
  id uuid PRIMARY KEY,
  user_id uuid NOT NULL,
  kind text NOT NULL,
  client_order_id text,
  created_at_ms bigint NOT NULL,
  CONSTRAINT lists_kind CHECK (kind IN ('oco', 'bracket'))
);

-- Prices, quantities and rates are decimals of whole units, exactly as given; `*_units` are the ledger's smallest units,
-- of which a paper asset has 1e18 in one.
CREATE TABLE orders.orders (
  id uuid PRIMARY KEY,
  -- A row in `traders`, which every placement locks; a foreign key would look it up once more (measured: 3 % of a placement).
  user_id uuid NOT NULL,
  client_order_id text,
  list_id uuid REFERENCES orders.lists (id),
  role text,
  account text NOT NULL,
  venue text NOT NULL,
  symbol text NOT NULL,
  -- Codes of the ledger's assets.
  base text NOT NULL,
  quote text NOT NULL,
  side text NOT NULL,
  type text NOT NULL,
  status text NOT NULL,
  ended boolean NOT NULL,
  before_status text REFERENCES orders.statuses (status),
  reason_code text,
  reason_message text,
  quantity numeric,
  quote_quantity numeric,
  price numeric,
  stop_price numeric,
  trigger text,
  trailing_delta integer,
  activation_price numeric,
  time_in_force text NOT NULL,
  expire_at_ms bigint,
  post_only boolean NOT NULL,
  protection_price numeric,
  -- The user named it; else it is ours and follows the book when a stop is triggered.
  protection_given boolean NOT NULL,
  stp text NOT NULL,
  lot_size numeric,
  filled_quantity numeric NOT NULL,
  prevented_quantity numeric NOT NULL,
  -- The exact sum of price x quantity.
  filled_quote numeric NOT NULL,
  fee_base_units numeric(38, 0) NOT NULL,
  fee_quote_units numeric(38, 0) NOT NULL,
  maker_rate numeric NOT NULL,
  taker_rate numeric NOT NULL,
  flat_fee numeric NOT NULL,
  flat_due_units numeric(38, 0) NOT NULL,
  -- Reference of the ledger's hold (purpose `order`). Legs of a list share one; it stands on one of them.
  hold_reference text,
  hold_asset text,
  hold_units numeric(38, 0) NOT NULL,
  -- The ledger never enlarges a hold: it is given back and placed anew under the next number.
  hold_number integer NOT NULL,
  simulated boolean NOT NULL,
  model_version text,
  waiting text,
  amendment jsonb,
  memo jsonb NOT NULL,
  version bigint NOT NULL,
  -- Of the engine's last step or the user's last amendment, so that a statement that is sent twice is known again.
  token uuid,
  commanded_at_ms bigint NOT NULL,
  -- Which transaction last gave an engine something to do about it; see `orders.commands_since`.
  commanded_in xid8 NOT NULL,
  created_at_ms bigint NOT NULL,
  updated_at_ms bigint NOT NULL,
  FOREIGN KEY (status, ended) REFERENCES orders.statuses (status, ended),
  CONSTRAINT orders_side CHECK (side IN ('buy', 'sell')),
  CONSTRAINT orders_one_amount CHECK ((quantity IS NULL) <> (quote_quantity IS NULL)),
  -- An exit of a bracket begins with nothing and grows with the entry.
  CONSTRAINT orders_quantity CHECK (quantity >= 0 AND quantity < 1e18),
  CONSTRAINT orders_quote_quantity CHECK (quote_quantity > 0 AND quote_quantity < 1e18),
  CONSTRAINT orders_prices CHECK (price > 0 AND price < 1e20 AND stop_price > 0 AND stop_price < 1e20
    AND protection_price > 0 AND protection_price < 1e20),
  CONSTRAINT orders_filled CHECK (filled_quantity >= 0 AND prevented_quantity >= 0
    AND filled_quantity + prevented_quantity < 1e18 AND filled_quantity + prevented_quantity <= quantity),
  CONSTRAINT orders_fees CHECK (fee_base_units >= 0 AND fee_quote_units >= 0 AND flat_due_units >= 0),
  CONSTRAINT orders_hold CHECK (hold_units >= 0 AND (hold_reference IS NULL) = (hold_asset IS NULL)
    AND (hold_reference IS NOT NULL OR hold_units = 0)),
  -- Money locked for an order that is over is the oldest leak of all.
  CONSTRAINT orders_ended_hold_nothing CHECK (NOT ended OR hold_reference IS NULL),
  CONSTRAINT orders_version CHECK (version > 0)
) WITH (fillfactor = 75);
CREATE INDEX orders_of_user ON orders.orders (user_id, id);
CREATE UNIQUE INDEX orders_client_id ON orders.orders (user_id, client_order_id) WHERE client_order_id IS NOT NULL;
CREATE INDEX orders_open_of_user ON orders.orders (user_id, venue, symbol) WHERE NOT ended;
CREATE INDEX orders_open_of_market ON orders.orders (venue, symbol) WHERE NOT ended;
CREATE INDEX orders_list ON orders.orders (list_id) WHERE list_id IS NOT NULL;
CREATE INDEX orders_commanded ON orders.orders (commanded_in, id);
CREATE INDEX orders_expiring ON orders.orders (expire_at_ms) WHERE NOT ended AND expire_at_ms IS NOT NULL;

CREATE TABLE orders.order_events (
  order_id uuid NOT NULL,
  -- The order's version after it; what an engine only notes for itself raises the version without an event.
  seq bigint NOT NULL,
  event text NOT NULL,
  from_status text,
  to_status text NOT NULL,
  actor text NOT NULL,
  request_id text,
  detail jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (order_id, seq)
);

CREATE TABLE orders.fills (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  order_id uuid NOT NULL REFERENCES orders.orders (id),
  user_id uuid NOT NULL,
  account text NOT NULL,
  venue text NOT NULL,
  symbol text NOT NULL,
  base text NOT NULL,
  quote text NOT NULL,
  side text NOT NULL,
  liquidity text NOT NULL,
  -- Given by the engine, which never gives it twice.
  trade_id text NOT NULL,
  price numeric NOT NULL,
  quantity numeric NOT NULL,
  -- What a buyer paid or a seller received before fees.
  quote_units numeric(38, 0) NOT NULL,
  -- Taken from what was received: base of a buyer, quote of a seller.
  fee_units numeric(38, 0) NOT NULL,
  -- The flat part, where a buyer paid it on top in quote.
  flat_fee_units numeric(38, 0) NOT NULL,
  simulated boolean NOT NULL,
  market jsonb,
  journal_id bigint NOT NULL,
  ts_ms bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT fills_once UNIQUE (account, venue, symbol, trade_id),
  CONSTRAINT fills_amounts CHECK (price > 0 AND price < 1e20 AND quantity > 0 AND quantity < 1e18
    AND quote_units >= 0 AND fee_units >= 0 AND flat_fee_units >= 0),
  CONSTRAINT fills_liquidity CHECK (liquidity IN ('maker', 'taker'))
);
CREATE INDEX fills_of_user ON orders.fills (user_id, id);
CREATE INDEX fills_of_order ON orders.fills (order_id, id);

-- Whoever writes the row: a status only changes along the table, and an order that is over stays itself.
CREATE FUNCTION orders.check_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.version <> OLD.version + 1 OR NEW.id <> OLD.id OR NEW.user_id <> OLD.user_id OR NEW.side <> OLD.side
    OR NEW.venue <> OLD.venue OR NEW.symbol <> OLD.symbol OR NEW.base <> OLD.base OR NEW.quote <> OLD.quote
    OR NEW.filled_quantity < OLD.filled_quantity THEN
    RAISE EXCEPTION USING ERRCODE = 'TW010', MESSAGE = 'an order changes one version at a time and stays the same order';
  END IF;
  IF NEW.status <> OLD.status AND NOT EXISTS (
    SELECT FROM orders.transitions WHERE from_status = OLD.status
      AND (to_status = NEW.status OR to_status = 'before' AND NEW.status = OLD.before_status)) THEN
    RAISE EXCEPTION USING ERRCODE = 'TW010', MESSAGE = format('no step leads from %s to %s', OLD.status, NEW.status);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER b_check_step BEFORE UPDATE ON orders.orders FOR EACH ROW EXECUTE FUNCTION orders.check_step();
ALTER TABLE orders.orders ENABLE ALWAYS TRIGGER b_check_step;

SELECT platform.protect(name::regclass, 'orders') FROM unnest(ARRAY[
  'orders.statuses', 'orders.transitions', 'orders.traders', 'orders.fee_rules', 'orders.switches', 'orders.requests',
  'orders.lists', 'orders.orders', 'orders.order_events', 'orders.fills']) AS name;
SELECT platform.append_only(name::regclass) FROM unnest(ARRAY[
  'orders.statuses', 'orders.transitions', 'orders.requests', 'orders.lists', 'orders.order_events',
  'orders.fills']) AS name;

GRANT USAGE ON SCHEMA orders TO app_rw, app_ro;
GRANT SELECT ON ALL TABLES IN SCHEMA orders TO app_rw, app_ro;
