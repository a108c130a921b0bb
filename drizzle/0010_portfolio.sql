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
  -- One smallest unit of each asset. A product with it is exact, where a quotient would be cut to sixteen digits.
  v_base_unit numeric;
  v_quote_unit numeric;
  v_quote numeric;
  v_flat numeric;
  v_fee numeric;
BEGIN
  SELECT ('1e-' || b.scale)::numeric, ('1e-' || q.scale)::numeric INTO STRICT v_base_unit, v_quote_unit
  FROM ledger.assets b, ledger.assets q WHERE b.code = p_fill.base AND q.code = p_fill.quote;
  v_quote := p_fill.quote_units * v_quote_unit;
  v_flat := p_fill.flat_fee_units * v_quote_unit;
  after := p_position;
  IF p_fill.side = 'buy' THEN
    v_fee := p_fill.fee_units * v_base_unit;
    after.quantity := trim_scale(after.quantity + greatest(p_fill.quantity - v_fee, 0));
    IF after.quantity > 0 THEN
      after.cost := trim_scale(after.cost + v_quote + v_flat);
    ELSE
      -- The fee took all of it: what was paid is lost.
      after.realized_pnl := trim_scale(after.realized_pnl - v_quote - v_flat);
    END IF;
    after.fees_paid := trim_scale(after.fees_paid + round(v_fee * p_fill.price, 18) + v_flat);
  ELSE
    v_fee := p_fill.fee_units * v_quote_unit;
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

-- Stores a position and tells its user. `p_known`: how many fills were in it when it was read.
CREATE FUNCTION portfolio.keep_position(p portfolio.positions, p_known bigint, p_journal bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF p_known = 0 THEN
    INSERT INTO portfolio.positions VALUES (p.*) ON CONFLICT DO NOTHING;
  ELSE
    UPDATE portfolio.positions SET quantity = p.quantity, cost = p.cost, realized_pnl = p.realized_pnl,
      fees_paid = p.fees_paid, fills = p.fills, updated_at_ms = p.updated_at_ms
    WHERE user_id = p.user_id AND account = p.account AND base = p.base AND quote = p.quote AND fills = p_known;
  END IF;
  IF NOT FOUND THEN
    -- Two transactions that both found no row would otherwise lose the fills of one.
    RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'the position was opened meanwhile';
  END IF;
  PERFORM ledger.append_events(p.user_id, p_journal,
    jsonb_build_array(jsonb_build_object('type', 'position', 'payload', portfolio.position_json(p))));
END $$;

-- Locks: whoever writes fills has locked accounts and then the user's log before (`ledger.post` does both), so that positions of
-- one user are written by one transaction at a time and come last. Users in ascending order. All fills of a statement in one
-- market are one change and one event.
CREATE FUNCTION portfolio.apply_fills() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  v_fill orders.fills;
  v_position portfolio.positions;
  v_known bigint;
  v_journal bigint;
  v_next record;
  v_mark text := coalesce(current_setting('tidewire.portfolio', true), '');
BEGIN
  PERFORM set_config('tidewire.portfolio', 'fill', true);
  FOR v_fill IN SELECT * FROM written ORDER BY user_id, account, base, quote, id LOOP
    IF v_position.user_id IS DISTINCT FROM v_fill.user_id OR v_position.account IS DISTINCT FROM v_fill.account
      OR v_position.base IS DISTINCT FROM v_fill.base OR v_position.quote IS DISTINCT FROM v_fill.quote THEN
      IF v_position.user_id IS NOT NULL THEN
        PERFORM portfolio.keep_position(v_position, v_known, v_journal);
      END IF;
      SELECT * INTO v_position FROM portfolio.positions
      WHERE user_id = v_fill.user_id AND account = v_fill.account AND base = v_fill.base AND quote = v_fill.quote
      FOR NO KEY UPDATE;
      IF NOT FOUND THEN
        v_position := portfolio.empty_position(v_fill);
      END IF;
      v_known := v_position.fills;
    END IF;
    v_next := portfolio.after_fill(v_position, v_fill);
    v_position := v_next.after;
    v_journal := v_fill.journal_id;
    IF (v_next.closing).quantity IS NOT NULL THEN
      INSERT INTO portfolio.closings VALUES (v_fill.id, v_fill.user_id, v_fill.account, v_fill.base, v_fill.quote,
        (v_next.closing).quantity, (v_next.closing).proceeds, (v_next.closing).cost, v_fill.ts_ms);
    END IF;
  END LOOP;
  IF v_position.user_id IS NOT NULL THEN
    PERFORM portfolio.keep_position(v_position, v_known, v_journal);
  END IF;
  PERFORM set_config('tidewire.portfolio', v_mark, true);
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

-- What each user was worth, as far as it could be told. `flow`: what came from outside since the point before (a grant, a
-- deposit; negative when it left) at the prices of this point, so that nobody's skill is measured by it.
CREATE TABLE portfolio.equity_history (
  user_id uuid NOT NULL,
  account text NOT NULL,
  at_ms bigint NOT NULL,
  equity numeric NOT NULL,
  flow numeric NOT NULL,
  -- False: something held had no fresh price and is not in it.
  complete boolean NOT NULL,
  PRIMARY KEY (user_id, account, at_ms),
  CONSTRAINT equity_history_bounds CHECK (equity > -1e60 AND equity < 1e60 AND flow > -1e60 AND flow < 1e60)
);
CREATE TABLE portfolio.equity_marks (
  user_id uuid NOT NULL,
  account text NOT NULL,
  at_ms bigint NOT NULL,
  -- By asset: the number of the last change of the balance that is in a point.
  versions jsonb NOT NULL,
  PRIMARY KEY (user_id, account)
);
CREATE INDEX equity_marks_oldest ON portfolio.equity_marks (account, at_ms);

-- Balances of those whose last point is older, and what came to each from outside since then. Users who have no point yet come
-- first, without anything from outside. One row per balance.
CREATE FUNCTION portfolio.due_equity(p_before_ms bigint, p_limit integer)
RETURNS TABLE (user_id uuid, asset text, version bigint, posted numeric, outside numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = portfolio, pg_temp AS $$
  WITH due AS (
    SELECT h.user_id, NULL::jsonb AS versions FROM ledger.event_heads h
    WHERE NOT EXISTS (SELECT FROM equity_marks m WHERE m.user_id = h.user_id AND m.account = 'paper')
    UNION ALL
    (SELECT m.user_id, m.versions FROM equity_marks m WHERE m.account = 'paper' AND m.at_ms <= p_before_ms
      ORDER BY m.at_ms LIMIT p_limit)
    LIMIT p_limit
  )
  SELECT due.user_id, a.asset, a.version, portfolio.whole_units(a.posted, a.asset),
    CASE WHEN due.versions IS NULL THEN 0 ELSE coalesce((
      SELECT portfolio.whole_units(sum(e.posted_change), a.asset)
      FROM ledger.entries e JOIN ledger.journals j ON j.id = e.journal_id
      WHERE e.account_id = a.id AND e.version > coalesce((due.versions ->> a.asset)::bigint, 0) AND e.version <= a.version
        AND j.kind <> 'trade' AND j.reference_type IS DISTINCT FROM 'order'), 0) END
  FROM due LEFT JOIN ledger.accounts a ON a.owner_id = due.user_id AND a.kind = 'user' AND a.asset LIKE 'PAPER:%'
  ORDER BY due.user_id, a.asset
$$;

-- Takes [{userId, atMs, equity, flow, complete, versions}]; who has a point since `p_before_ms` keeps it. Answers how many.
CREATE FUNCTION portfolio.add_equity(p_points jsonb, p_before_ms bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = portfolio, pg_temp AS $$
DECLARE
  v_count integer;
BEGIN
  PERFORM set_config('tidewire.portfolio', 'equity', true);
  WITH given AS (
    SELECT * FROM jsonb_to_recordset(p_points)
      AS point ("userId" uuid, "atMs" bigint, equity numeric, flow numeric, complete boolean, versions jsonb)
    ORDER BY "userId"
  ), marked AS (
    INSERT INTO equity_marks AS mark (user_id, account, at_ms, versions)
    SELECT "userId", 'paper', "atMs", versions FROM given
    ON CONFLICT (user_id, account) DO UPDATE SET at_ms = excluded.at_ms, versions = excluded.versions
    WHERE mark.at_ms <= p_before_ms
    RETURNING user_id
  )
  INSERT INTO equity_history (user_id, account, at_ms, equity, flow, complete)
  SELECT "userId", 'paper', "atMs", equity, flow, complete FROM given
  -- Without anything there is nothing to show.
  WHERE "userId" IN (SELECT user_id FROM marked) AND versions <> '{}';
  GET DIAGNOSTICS v_count = ROW_COUNT;
  PERFORM set_config('tidewire.portfolio', '', true);
  RETURN v_count;
END $$;

-- How trading went, by quote asset: amounts are in that asset.
CREATE FUNCTION portfolio.trade_sums(p_user uuid, p_account text, p_from_ms bigint, p_to_ms bigint)
RETURNS TABLE (quote text, fills bigint, volume numeric, fees numeric, realized numeric, closed bigint, wins bigint,
  won numeric, losses bigint, lost numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = portfolio, pg_temp AS $$
  SELECT f.quote, count(*), portfolio.whole_units(sum(f.quote_units), f.quote),
    trim_scale(sum(CASE WHEN f.side = 'buy' THEN round(f.fee_units * ('1e-' || b.scale)::numeric * f.price, 18) ELSE 0 END)
      + portfolio.whole_units(sum(CASE WHEN f.side = 'sell' THEN f.fee_units ELSE 0 END + f.flat_fee_units), f.quote)),
    coalesce(sum(c.proceeds - c.cost), 0), count(c.fill_id),
    count(*) FILTER (WHERE c.proceeds > c.cost), coalesce(sum(c.proceeds - c.cost) FILTER (WHERE c.proceeds > c.cost), 0),
    count(*) FILTER (WHERE c.proceeds < c.cost), coalesce(sum(c.proceeds - c.cost) FILTER (WHERE c.proceeds < c.cost), 0)
  FROM orders.fills f JOIN ledger.assets b ON b.code = f.base LEFT JOIN closings c ON c.fill_id = f.id
  WHERE f.user_id = p_user AND f.account = p_account AND f.ts_ms BETWEEN p_from_ms AND p_to_ms
  GROUP BY f.quote ORDER BY f.quote
$$;

CREATE FUNCTION portfolio.orders_placed(p_user uuid, p_account text, p_from_ms bigint, p_to_ms bigint) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = portfolio, pg_temp AS $$
  SELECT count(*) FROM orders.orders
  WHERE user_id = p_user AND account = p_account AND created_at_ms BETWEEN p_from_ms AND p_to_ms
$$;

-- Largest fall from a peak as a fraction of it, and mean by deviation of daily returns (UTC) times the root of 365, both of
-- complete points and without what came from outside. Null where too little is known.
CREATE FUNCTION portfolio.risk(p_user uuid, p_account text, p_from_ms bigint, p_to_ms bigint,
  OUT max_drawdown numeric, OUT sharpe numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = portfolio, pg_temp AS $$
  WITH own AS (
    SELECT at_ms, equity, complete, sum(flow) OVER (ORDER BY at_ms) AS flows FROM equity_history
    WHERE user_id = p_user AND account = p_account AND at_ms BETWEEN p_from_ms AND p_to_ms
  ), point AS (
    SELECT at_ms, equity, flows, equity - flows AS earned FROM own WHERE complete
  ), fall AS (
    SELECT earned, max(earned) OVER (ORDER BY at_ms) AS peak FROM point
  ), day AS (
    SELECT DISTINCT ON (at_ms / 86400000) at_ms / 86400000 AS day, equity, flows FROM point
    ORDER BY at_ms / 86400000, at_ms DESC
  ), step AS (
    SELECT (equity - (flows - lag(flows) OVER by_day)) / nullif(lag(equity) OVER by_day, 0) - 1 AS gain
    FROM day WINDOW by_day AS (ORDER BY day)
  )
  SELECT (SELECT round(max((peak - earned) / peak), 18) FROM fall WHERE peak > 0),
    (SELECT round(avg(gain) / nullif(stddev_samp(gain), 0) * sqrt(365::numeric), 6) FROM step WHERE gain IS NOT NULL
      HAVING count(*) >= 2)
$$;

SELECT platform.protect(name::regclass, 'portfolio') FROM unnest(ARRAY['portfolio.positions', 'portfolio.closings',
  'portfolio.equity_history', 'portfolio.equity_marks']) AS name;
SELECT platform.append_only(name::regclass) FROM unnest(ARRAY['portfolio.closings', 'portfolio.equity_history']) AS name;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA portfolio FROM PUBLIC;
GRANT USAGE ON SCHEMA portfolio TO app_rw, app_ro;
GRANT SELECT ON ALL TABLES IN SCHEMA portfolio TO app_rw, app_ro;
GRANT EXECUTE ON FUNCTION portfolio.position_json(portfolio.positions), portfolio.recompute(uuid),
  portfolio.trade_sums(uuid, text, bigint, bigint), portfolio.orders_placed(uuid, text, bigint, bigint),
  portfolio.risk(uuid, text, bigint, bigint), portfolio.due_equity(bigint, integer) TO app_rw, app_ro;
GRANT EXECUTE ON FUNCTION portfolio.add_equity(jsonb, bigint) TO app_rw;
