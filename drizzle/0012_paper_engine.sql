-- Which process fills the paper orders of which market. A row is a lease: it counts until it expires, by the database's clock.
-- It keeps two engines from doing the same work and from sharing one book's liquidity twice; that no fill happens twice is
-- the orders' own doing (versions, trade ids), so that a lease which is lost unnoticed costs nothing but conflicts.
CREATE TABLE orders.paper_leases (
  venue text NOT NULL,
  symbol text NOT NULL,
  owner uuid NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (venue, symbol)
) WITH (fillfactor = 50);
SELECT platform.protect('orders.paper_leases', 'orders');

-- True: the market is this owner's for `p_ttl_ms` from now. Free markets and expired leases go to the first who asks.
CREATE FUNCTION orders.take_paper_lease(p_venue text, p_symbol text, p_owner uuid, p_ttl_ms integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  v_owner uuid;
BEGIN
  PERFORM set_config('tidewire.orders', 'paper_lease', true);
  INSERT INTO paper_leases AS held (venue, symbol, owner, expires_at)
  VALUES (p_venue, p_symbol, p_owner, clock_timestamp() + p_ttl_ms * interval '1 millisecond')
  ON CONFLICT (venue, symbol) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at
  WHERE held.owner = excluded.owner OR held.expires_at <= clock_timestamp()
  RETURNING owner INTO v_owner;
  PERFORM set_config('tidewire.orders', '', true);
  RETURN v_owner IS NOT NULL;
END $$;

-- Extends all leases of this owner and answers them. One that has expired is extended too, as long as nobody took it.
CREATE FUNCTION orders.renew_paper_leases(p_owner uuid, p_ttl_ms integer) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  v_held jsonb;
BEGIN
  PERFORM set_config('tidewire.orders', 'paper_lease', true);
  WITH renewed AS (
    UPDATE paper_leases SET expires_at = clock_timestamp() + p_ttl_ms * interval '1 millisecond'
    WHERE owner = p_owner RETURNING venue, symbol)
  SELECT coalesce(jsonb_agg(jsonb_build_object('venue', venue, 'symbol', symbol)), '[]') INTO v_held FROM renewed;
  PERFORM set_config('tidewire.orders', '', true);
  RETURN v_held;
END $$;

CREATE FUNCTION orders.release_paper_lease(p_venue text, p_symbol text, p_owner uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
BEGIN
  PERFORM set_config('tidewire.orders', 'paper_lease', true);
  DELETE FROM paper_leases WHERE venue = p_venue AND symbol = p_symbol AND owner = p_owner;
  PERFORM set_config('tidewire.orders', '', true);
END $$;

CREATE INDEX paper_leases_owner ON orders.paper_leases (owner);
GRANT SELECT ON orders.paper_leases TO app_rw, app_ro;
GRANT EXECUTE ON FUNCTION orders.take_paper_lease(text, text, uuid, integer),
  orders.renew_paper_leases(uuid, integer), orders.release_paper_lease(text, text, uuid) TO app_rw;
