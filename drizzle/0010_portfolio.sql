-- What users hold through trading, what it cost them and what they made of it. Positions follow from fills alone and change in
-- the statement of the fill.
CREATE SCHEMA portfolio;

-- Decimals of whole units, without trailing zeros. Amounts of the quote asset have at most 18 places.
CREATE TABLE portfolio.positions (
  user_id uuid NOT NULL,
  account text NOT NULL,
  base text NOT NULL,
  quote text NOT NULL,
  -- Bought and not sold again, net of fees in the base asset.
  quantity numeric NOT NULL,
  -- What was paid for it, fees included, by average cost.
  cost numeric NOT NULL,
  realized_pnl numeric NOT NULL,
  fees_paid numeric NOT NULL,
  fills bigint NOT NULL,
  updated_at_ms bigint NOT NULL,
  PRIMARY KEY (user_id, account, base, quote),
  -- Bounded on both sides: NaN is greater than every number.
  CONSTRAINT positions_quantity CHECK (quantity >= 0 AND quantity < 1e36),
  CONSTRAINT positions_cost CHECK (cost >= 0 AND cost < 1e40 AND (quantity > 0 OR cost = 0)),
  CONSTRAINT positions_realized CHECK (realized_pnl > -1e40 AND realized_pnl < 1e40),
  CONSTRAINT positions_fees CHECK (fees_paid >= 0 AND fees_paid < 1e40)
) WITH (fillfactor = 70);

-- One row for each sale that closed a position or part of one.
CREATE TABLE portfolio.closings (
  fill_id bigint PRIMARY KEY REFERENCES orders.fills (id),
  user_id uuid NOT NULL,
  account text NOT NULL,
  base text NOT NULL,
  quote text NOT NULL,
  quantity numeric NOT NULL,
  -- Received for it after fees, and what it had cost.
  proceeds numeric NOT NULL,
  cost numeric NOT NULL,
  ts_ms bigint NOT NULL
);
CREATE INDEX closings_of_user ON portfolio.closings (user_id, ts_ms);

CREATE TYPE portfolio.closing AS (quantity numeric, proceeds numeric, cost numeric);

CREATE FUNCTION portfolio.whole_units(p_units numeric, p_asset text) RETURNS numeric LANGUAGE sql STABLE AS $$
  -- A product is exact, where a quotient would be cut to sixteen digits.
  SELECT p_units * ('1e-' || scale)::numeric FROM ledger.assets WHERE code = p_asset
$$;

-- The share of an amount that `p_part` of `p_whole` has, cut to 18 places.
CREATE FUNCTION portfolio.share_of(p_amount numeric, p_part numeric, p_whole numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN p_part = p_whole THEN p_amount ELSE div(p_amount * p_part * 1e18, p_whole) * 1e-18 END
$$;

-- A position after one more fill, and what the fill closed of it. A sale of more than was bought closes what there is: the
-- rest came from elsewhere, and nobody knows what it cost.
CREATE FUNCTION portfolio.after_fill(
  p_position portfolio.positions, p_fill orders.fills,
  OUT after portfolio.positions, OUT closing portfolio.closing)
LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_quote numeric := portfolio.whole_units(p_fill.quote_units, p_fill.quote);
  v_flat numeric := portfolio.whole_units(p_fill.flat_fee_units, p_fill.quote);
  v_fee numeric;
BEGIN
  after := p_position;
  IF p_fill.side = 'buy' THEN
    v_fee := portfolio.whole_units(p_fill.fee_units, p_fill.base);
    after.quantity := trim_scale(after.quantity + greatest(p_fill.quantity - v_fee, 0));
    IF after.quantity > 0 THEN
      after.cost := trim_scale(after.cost + v_quote + v_flat);
    ELSE
      -- The fee took all of it: what was paid is lost.
      after.realized_pnl := trim_scale(after.realized_pnl - v_quote - v_flat);
    END IF;
    after.fees_paid := trim_scale(after.fees_paid + round(v_fee * p_fill.price, 18) + v_flat);
  ELSE
    v_fee := portfolio.whole_units(p_fill.fee_units, p_fill.quote);
    IF after.quantity > 0 THEN
      closing.quantity := least(p_fill.quantity, after.quantity);
      closing.proceeds := trim_scale(portfolio.share_of(v_quote - v_fee - v_flat, closing.quantity, p_fill.quantity));
      closing.cost := trim_scale(portfolio.share_of(after.cost, closing.quantity, after.quantity));
      after.quantity := trim_scale(after.quantity - closing.quantity);
      after.cost := trim_scale(after.cost - closing.cost);
      after.realized_pnl := trim_scale(after.realized_pnl + closing.proceeds - closing.cost);
    END IF;
    after.fees_paid := trim_scale(after.fees_paid + v_fee + v_flat);
  END IF;
  after.fills := after.fills + 1;
  after.updated_at_ms := greatest(after.updated_at_ms, p_fill.ts_ms);
END $$;

CREATE FUNCTION portfolio.empty_position(p_fill orders.fills) RETURNS portfolio.positions LANGUAGE sql IMMUTABLE AS $$
  SELECT ROW(p_fill.user_id, p_fill.account, p_fill.base, p_fill.quote, 0, 0, 0, 0, 0, 0)::portfolio.positions
$$;

-- As it is told outside.
CREATE FUNCTION portfolio.position_json(p portfolio.positions) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_build_object('account', p.account, 'base', p.base, 'quote', p.quote, 'quantity', p.quantity::text,
    'averageCost', CASE WHEN p.quantity > 0 THEN trim_scale(div(p.cost * 1e18, p.quantity) * 1e-18)::text END,
    'cost', p.cost::text, 'realizedPnl', p.realized_pnl::text, 'feesPaid', p.fees_paid::text, 'updatedAt', p.updated_at_ms)
$$;

-- Locks: whoever writes fills has locked accounts and then the user's log before (`ledger.post` does both), so that positions of
-- one user are written by one transaction at a time and come last.
CREATE FUNCTION portfolio.apply_fills() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  v_fill orders.fills;
  v_position portfolio.positions;
  v_next record;
  v_changed portfolio.positions[] := '{}';
  v_journal bigint;
  v_user uuid;
BEGIN
  PERFORM set_config('tidewire.portfolio', 'fill', true);
  FOR v_fill IN SELECT * FROM written ORDER BY id LOOP
    SELECT * INTO v_position FROM portfolio.positions
    WHERE user_id = v_fill.user_id AND account = v_fill.account AND base = v_fill.base AND quote = v_fill.quote
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
      v_position := portfolio.empty_position(v_fill);
    END IF;
    SELECT * INTO v_next FROM portfolio.after_fill(v_position, v_fill);
    v_position := v_next.after;
    INSERT INTO portfolio.positions SELECT (v_position).*
    ON CONFLICT (user_id, account, base, quote) DO UPDATE SET quantity = excluded.quantity, cost = excluded.cost,
      realized_pnl = excluded.realized_pnl, fees_paid = excluded.fees_paid, fills = excluded.fills,
      updated_at_ms = excluded.updated_at_ms
    -- Two transactions that both found no row would otherwise lose one of two fills.
    WHERE positions.fills = excluded.fills - 1;
    IF NOT FOUND THEN
      RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'the position was opened meanwhile';
    END IF;
    IF (v_next.closing).quantity IS NOT NULL THEN
      INSERT INTO portfolio.closings VALUES (v_fill.id, v_fill.user_id, v_fill.account, v_fill.base, v_fill.quote,
        (v_next.closing).quantity, (v_next.closing).proceeds, (v_next.closing).cost, v_fill.ts_ms);
    END IF;
    -- One event tells of all fills of a statement.
    v_changed := array(SELECT each FROM unnest(v_changed) AS each WHERE (each.user_id, each.account, each.base, each.quote)
      <> (v_fill.user_id, v_fill.account, v_fill.base, v_fill.quote)) || v_position;
    v_journal := v_fill.journal_id;
  END LOOP;
  PERFORM set_config('tidewire.portfolio', '', true);
  FOR v_user IN SELECT DISTINCT each.user_id FROM unnest(v_changed) AS each ORDER BY 1 LOOP
    PERFORM ledger.append_events(v_user, v_journal, (SELECT jsonb_agg(
      jsonb_build_object('type', 'position', 'payload', portfolio.position_json(each)) ORDER BY each.base, each.quote)
      FROM unnest(v_changed) AS each WHERE each.user_id = v_user));
  END LOOP;
  RETURN NULL;
END $$;
CREATE TRIGGER c_apply_fills AFTER INSERT ON orders.fills REFERENCING NEW TABLE AS written
  FOR EACH STATEMENT EXECUTE FUNCTION portfolio.apply_fills();
ALTER TABLE orders.fills ENABLE ALWAYS TRIGGER c_apply_fills;

-- The positions that a user's fills make, in the order in which they were written; all users without one. Changes nothing.
CREATE FUNCTION portfolio.recompute(p_user uuid DEFAULT NULL) RETURNS SETOF portfolio.positions
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = portfolio, pg_temp AS $$
DECLARE
  v_fill orders.fills;
  v_position positions;
BEGIN
  FOR v_fill IN SELECT * FROM orders.fills WHERE p_user IS NULL OR user_id = p_user
    ORDER BY user_id, account, base, quote, id LOOP
    IF (v_position.user_id, v_position.account, v_position.base, v_position.quote)
      IS DISTINCT FROM (v_fill.user_id, v_fill.account, v_fill.base, v_fill.quote) THEN
      IF v_position.user_id IS NOT NULL THEN
        RETURN NEXT v_position;
      END IF;
      v_position := empty_position(v_fill);
    END IF;
    v_position := (after_fill(v_position, v_fill)).after;
  END LOOP;
  IF v_position.user_id IS NOT NULL THEN
    RETURN NEXT v_position;
  END IF;
END $$;

SELECT platform.protect(name::regclass, 'portfolio') FROM unnest(ARRAY['portfolio.positions', 'portfolio.closings']) AS name;
SELECT platform.append_only('portfolio.closings');
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA portfolio FROM PUBLIC;
GRANT USAGE ON SCHEMA portfolio TO app_rw, app_ro;
GRANT SELECT ON ALL TABLES IN SCHEMA portfolio TO app_rw, app_ro;
GRANT EXECUTE ON FUNCTION portfolio.position_json(portfolio.positions), portfolio.recompute(uuid) TO app_rw, app_ro;
