-- The only way to write orders. Each command and each step of an engine is one call, so money, order and news are one
-- statement. Order of every function: lock the user's row, look, decide, let the ledger book (it may refuse), then write.
-- Functions in two groups: those that the application calls, which set the mark and the search path, and helpers of theirs.

CREATE FUNCTION orders.now_ms() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
$$;
-- Shortest plain text.
CREATE FUNCTION orders.plain(p_value numeric) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT trim_scale(p_value)::text
$$;
CREATE FUNCTION orders.plain_units(p_units numeric) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT trim_scale(p_units * 0.000000000000000001)::text
$$;

CREATE FUNCTION orders.fees_of(o orders.orders) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF o.fee_base_units = 0 AND o.fee_quote_units = 0 THEN
    RETURN '[]';
  END IF;
  RETURN CASE WHEN o.fee_base_units > 0 THEN
      jsonb_build_array(jsonb_build_object('asset', o.base, 'amount', orders.plain_units(o.fee_base_units)))
    ELSE '[]' END
    || CASE WHEN o.fee_quote_units > 0 THEN
      jsonb_build_array(jsonb_build_object('asset', o.quote, 'amount', orders.plain_units(o.fee_quote_units)))
    ELSE '[]' END;
END $$;

-- The order as users see it: `OrderSchema` of src/protocol/trading.ts.
CREATE FUNCTION orders.project(o orders.orders) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN jsonb_build_object(
    'id', o.id, 'clientOrderId', o.client_order_id, 'listId', o.list_id, 'role', o.role, 'account', o.account,
    'venue', o.venue, 'symbol', o.symbol, 'side', o.side, 'type', o.type, 'status', o.status,
    'reason', CASE WHEN o.reason_code IS NOT NULL
      THEN jsonb_build_object('code', o.reason_code, 'message', o.reason_message) END,
    'quantity', orders.plain(o.quantity), 'quoteQuantity', orders.plain(o.quote_quantity),
    'price', orders.plain(o.price), 'stopPrice', orders.plain(o.stop_price), 'trigger', o.trigger,
    'trailingDelta', o.trailing_delta, 'activationPrice', orders.plain(o.activation_price),
    'timeInForce', o.time_in_force, 'expireAt', o.expire_at_ms, 'postOnly', o.post_only,
    'protectionPrice', orders.plain(o.protection_price), 'selfTradePrevention', o.stp,
    'filledQuantity', orders.plain(o.filled_quantity), 'preventedQuantity', orders.plain(o.prevented_quantity),
    'remainingQuantity', orders.plain(o.quantity - o.filled_quantity - o.prevented_quantity),
    'filledQuote', orders.plain(o.filled_quote),
    'averagePrice', CASE WHEN o.filled_quantity > 0
      THEN orders.plain(round(round(o.filled_quote, 40) / o.filled_quantity, 18)) END,
    'fees', orders.fees_of(o),
    'feeRates', jsonb_build_object('maker', orders.plain(o.maker_rate), 'taker', orders.plain(o.taker_rate),
      'flat', orders.plain(o.flat_fee)),
    'hold', CASE WHEN o.hold_units > 0
      THEN jsonb_build_object('asset', o.hold_asset, 'amount', orders.plain_units(o.hold_units)) END,
    'heldAt', 'us', 'simulated', o.simulated, 'modelVersion', o.model_version, 'waiting', o.waiting,
    'version', o.version, 'createdAt', o.created_at_ms, 'updatedAt', o.updated_at_ms);
END $$;

-- `WorkingOrder` of src/modules/orders/desk.ts.
CREATE FUNCTION orders.work(o orders.orders) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN jsonb_build_object('userId', o.user_id, 'order', orders.project(o), 'amendment', o.amendment,
    'before', o.before_status, 'commandedAtMs', o.commanded_at_ms, 'memo', o.memo);
END $$;

-- `FillSchema` of src/protocol/trading.ts.
CREATE FUNCTION orders.project_fill(f orders.fills, p_client_order_id text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN jsonb_build_object('id', f.id::text, 'orderId', f.order_id, 'clientOrderId', p_client_order_id,
    'account', f.account, 'venue', f.venue, 'symbol', f.symbol, 'side', f.side, 'liquidity', f.liquidity,
    'price', orders.plain(f.price), 'quantity', orders.plain(f.quantity), 'quote', orders.plain_units(f.quote_units),
    'fee', jsonb_build_object('asset', CASE f.side WHEN 'buy' THEN f.base ELSE f.quote END,
      'amount', orders.plain_units(f.fee_units)),
    'flatFee', CASE WHEN f.flat_fee_units > 0
      THEN jsonb_build_object('asset', f.quote, 'amount', orders.plain_units(f.flat_fee_units)) END,
    'simulated', f.simulated, 'market', f.market, 'ts', f.ts_ms);
END $$;

CREATE FUNCTION orders.project_list(l orders.lists, p_orders jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('id', l.id, 'kind', l.kind, 'clientOrderId', l.client_order_id,
    'status', CASE WHEN EXISTS (SELECT FROM orders.orders WHERE list_id = l.id AND NOT ended) THEN 'open' ELSE 'closed' END,
    'orders', p_orders, 'createdAt', l.created_at_ms)
$$;
CREATE FUNCTION orders.read_list(p_user uuid, p_list uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = orders, pg_temp AS $$
DECLARE
  v_list lists;
BEGIN
  SELECT * INTO v_list FROM lists WHERE id = p_list AND user_id = p_user;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  RETURN project_list(v_list,
    (SELECT jsonb_agg(project(o) ORDER BY o.id) FROM orders.orders o WHERE o.list_id = p_list));
END $$;

-- What an order can still cost, in smallest units of what it pays with. Cumulative rounding, as its fills are booked: what
-- was paid so far and this never exceed the rounded whole.
CREATE FUNCTION orders.need(o orders.orders) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF o.side = 'sell' THEN
    RETURN (o.quantity - o.filled_quantity - o.prevented_quantity) * 1e18;
  END IF;
  IF o.quote_quantity IS NOT NULL THEN
    RETURN (o.quote_quantity - o.flat_fee) * 1e18 - ceil(o.filled_quote * 1e18) + o.flat_due_units;
  END IF;
  RETURN ceil((o.filled_quote + (o.quantity - o.filled_quantity - o.prevented_quantity)
      * coalesce(o.price, o.protection_price)) * 1e18)
    - ceil(o.filled_quote * 1e18) + o.flat_due_units;
END $$;

CREATE FUNCTION orders.lock_trader(p_user uuid) RETURNS orders.traders LANGUAGE plpgsql AS $$
DECLARE
  v_trader orders.traders;
BEGIN
  SELECT * INTO v_trader FROM orders.traders WHERE user_id = p_user FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    PERFORM set_config('tidewire.orders', 'trader', true);
    INSERT INTO orders.traders (user_id) VALUES (p_user) ON CONFLICT DO NOTHING;
    PERFORM set_config('tidewire.orders', '', true);
    SELECT * INTO v_trader FROM orders.traders WHERE user_id = p_user FOR NO KEY UPDATE;
  END IF;
  RETURN v_trader;
END $$;

-- Null: the keys are new. A key is looked up under the user's lock, so the first request with it has ended by now.
CREATE FUNCTION orders.answered(p_user uuid, p_keys jsonb, p_hash text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_found orders.requests;
BEGIN
  FOR v_index IN 0 .. jsonb_array_length(p_keys) - 1 LOOP
    SELECT * INTO v_found FROM orders.requests
    WHERE user_id = p_user AND kind = p_keys -> v_index ->> 'kind' AND key = p_keys -> v_index ->> 'key';
    CONTINUE WHEN NOT FOUND;
    IF v_found.hash <> p_hash THEN
      RETURN ledger.refused('key_reused', format('%s belongs to another request',
        CASE v_found.kind WHEN 'key' THEN 'this idempotency key' ELSE 'this client order id' END));
    END IF;
    RETURN jsonb_build_object('status', 'repeated', 'answer', v_found.answer);
  END LOOP;
  RETURN NULL;
END $$;

CREATE FUNCTION orders.remember_answer(p_user uuid, p_keys jsonb, p_hash text, p_answer jsonb) RETURNS void
LANGUAGE sql AS $$
  INSERT INTO orders.requests (user_id, kind, key, hash, answer)
  SELECT p_user, item ->> 'kind', item ->> 'key', p_hash, p_answer FROM jsonb_array_elements(p_keys) AS item
$$;

-- Null when trading is open for this side at this venue.
CREATE FUNCTION orders.halted(p_venue text, p_side text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_switch orders.switches;
BEGIN
  FOR v_switch IN SELECT * FROM orders.switches WHERE scope IN ('*', p_venue) AND state <> 'active' ORDER BY state LOOP
    IF v_switch.state = 'halted' OR p_side = 'buy' THEN
      RETURN ledger.refused('trading_halted', concat_ws(': ',
        CASE v_switch.state WHEN 'halted' THEN 'trading is halted' ELSE 'only sales are taken at the moment' END,
        nullif(v_switch.reason, '')));
    END IF;
  END LOOP;
  RETURN NULL;
END $$;

CREATE FUNCTION orders.fee_rule(p_group text, p_venue text, p_symbol text) RETURNS orders.fee_rules
LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_rule orders.fee_rules;
BEGIN
  SELECT * INTO v_rule FROM orders.fee_rules
  WHERE (fee_group IS NULL OR fee_group = p_group) AND (venue IS NULL OR venue = p_venue AND symbol = p_symbol)
  ORDER BY fee_group IS NOT NULL DESC, venue IS NOT NULL DESC LIMIT 1;
  RETURN v_rule;
END $$;

-- What a quote needs to know about the user: rates, what is available of the asset to pay with, why not (halted), open orders.
CREATE FUNCTION orders.quote_facts(p_user uuid, p_venue text, p_symbol text, p_side text, p_asset text) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = orders, pg_temp AS $$
  SELECT jsonb_build_object(
    'rates', jsonb_build_object('maker', plain(rule.maker), 'taker', plain(rule.taker), 'flat', plain(rule.flat)),
    'available', plain_units(coalesce((SELECT posted - held FROM ledger.accounts
      WHERE owner_id = p_user AND asset = p_asset AND kind = 'user' AND label = ''), 0)),
    'halted', halted(p_venue, p_side),
    'open', coalesce((SELECT open_orders FROM traders WHERE user_id = p_user), 0),
    'openInMarket', (SELECT count(*) FROM orders
      WHERE user_id = p_user AND venue = p_venue AND symbol = p_symbol AND NOT ended))
  FROM fee_rule((SELECT fee_group FROM traders WHERE user_id = p_user), p_venue, p_symbol) AS rule
$$;

CREATE FUNCTION orders.missing_funds(p_user uuid, p_asset text, p_units numeric) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT ledger.refused('insufficient_funds', format('%s %s is needed and %s is available',
    orders.plain_units(p_units), p_asset, orders.plain_units(coalesce((SELECT posted - held FROM ledger.accounts
      WHERE owner_id = p_user AND asset = p_asset AND kind = 'user' AND label = ''), 0))))
$$;

-- Takes {userId, actor, requestId, keys: [{kind, key}], hash, limits: {user, market}, orders: [columns of orders.orders],
-- list: {id, kind, clientOrderId} | absent}. Answers {status: 'placed', answer, money, firstSeq, atMs}, 'repeated' or 'refused'.
-- Takes the search path of `orders.place`.
CREATE FUNCTION orders.place_once(p_request jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_user uuid := (p_request ->> 'userId')::uuid;
  v_list jsonb := p_request -> 'list';
  v_items jsonb := p_request -> 'orders';
  v_count integer := jsonb_array_length(v_items);
  v_trader orders.traders := lock_trader(v_user);
  v_answer jsonb;
  v_rule orders.fee_rules;
  v_order orders.orders;
  v_orders orders.orders[] := '{}';
  v_needs numeric[] := '{}';
  v_holds jsonb := '[]';
  v_posted jsonb;
  v_now bigint := now_ms();
  v_events jsonb := '[]';
  v_list_row orders.lists;
  v_seq bigint;
BEGIN
  v_answer := answered(v_user, p_request -> 'keys', p_request ->> 'hash');
  IF v_answer IS NOT NULL THEN
    RETURN v_answer;
  END IF;
  v_order := jsonb_populate_record(NULL::orders.orders, v_items -> 0);
  v_answer := halted(v_order.venue, v_order.side);
  IF v_answer IS NOT NULL THEN
    RETURN v_answer;
  END IF;
  IF v_trader.open_orders + v_count > (p_request -> 'limits' ->> 'user')::integer THEN
    RETURN ledger.refused('too_many_orders',
      format('at most %s orders may be open at a time', p_request -> 'limits' ->> 'user'));
  END IF;
  IF v_trader.open_orders > 0 AND v_count + (SELECT count(*) FROM orders
    WHERE user_id = v_user AND venue = v_order.venue AND symbol = v_order.symbol AND NOT ended)
    > (p_request -> 'limits' ->> 'market')::integer THEN
    RETURN ledger.refused('too_many_orders',
      format('at most %s orders may be open in one market', p_request -> 'limits' ->> 'market'));
  END IF;
  v_rule := fee_rule(v_trader.fee_group, v_order.venue, v_order.symbol);

  FOR v_index IN 1 .. v_count LOOP
    IF v_index > 1 THEN
      v_order := jsonb_populate_record(NULL::orders.orders, v_items -> (v_index - 1));
    END IF;
    v_order.user_id := v_user;
    v_order.status := CASE WHEN v_order.role IN ('take_profit', 'stop_loss') THEN 'held' ELSE 'submitted' END;
    v_order.ended := false;
    v_order.filled_quantity := 0;
    v_order.prevented_quantity := 0;
    v_order.filled_quote := 0;
    v_order.fee_base_units := 0;
    v_order.fee_quote_units := 0;
    v_order.maker_rate := v_rule.maker;
    v_order.taker_rate := v_rule.taker;
    v_order.flat_fee := v_rule.flat;
    v_order.flat_due_units := v_rule.flat * 1e18;
    v_order.hold_units := 0;
    v_order.hold_number := 1;
    v_order.memo := '{}';
    v_order.version := 1;
    v_order.commanded_at_ms := v_now;
    v_order.commanded_in := pg_current_xact_id();
    v_order.created_at_ms := v_now;
    v_order.updated_at_ms := v_now;
    v_needs := v_needs || need(v_order);
    v_orders := v_orders || v_order;
  END LOOP;

  v_orders := place_holds(v_orders, v_needs, v_list ->> 'kind');
  FOREACH v_order IN ARRAY v_orders LOOP
    CONTINUE WHEN v_order.hold_reference IS NULL;
    IF v_order.hold_units >= 1e36 THEN
      RETURN ledger.refused('above_maximum', 'the order is worth more than can be kept');
    END IF;
    IF v_order.quote_quantity <= v_order.flat_fee THEN
      RETURN ledger.refused('below_minimum', format('the flat fee alone is %s', plain(v_order.flat_fee)));
    END IF;
    v_holds := v_holds || jsonb_build_object('owner', v_user, 'asset', v_order.hold_asset,
      'amount', v_order.hold_units::text, 'purpose', 'order', 'reference', v_order.hold_reference);
  END LOOP;
  IF v_list ->> 'kind' = 'bracket' THEN
    -- What the entry buys is held for the exits in the statement that credits it, so there must be an account by then.
    PERFORM ledger.open_account(v_user, v_orders[1].base, 'user', '');
  END IF;
  v_posted := ledger.post(jsonb_build_object('scope', 'orders', 'key', 'place ' || v_orders[1].id, 'kind', 'order_placed',
    'actor', p_request ->> 'actor', 'requestId', p_request ->> 'requestId', 'referenceType', 'order',
    'referenceId', v_orders[1].id, 'holds', v_holds));
  IF v_posted ->> 'status' = 'repeated' THEN
    -- The same statement again, after a connection was lost; it had no key of its user's.
    RETURN jsonb_build_object('status', 'repeated', 'answer', CASE WHEN v_list IS NULL
      THEN (SELECT project(o) FROM orders.orders o WHERE o.id = v_orders[1].id)
      ELSE read_list(v_user, (v_list ->> 'id')::uuid) END);
  END IF;
  IF v_posted ->> 'status' <> 'posted' THEN
    IF v_posted ->> 'code' = 'insufficient_funds' THEN
      RETURN missing_funds(v_user, v_orders[1].hold_asset, v_orders[1].hold_units);
    END IF;
    RETURN v_posted;
  END IF;

  PERFORM set_config('tidewire.orders', 'place', true);
  UPDATE traders SET open_orders = open_orders + v_count WHERE user_id = v_user;
  IF v_list IS NOT NULL THEN
    INSERT INTO lists (id, user_id, kind, client_order_id, created_at_ms)
    VALUES ((v_list ->> 'id')::uuid, v_user, v_list ->> 'kind', v_list ->> 'clientOrderId', v_now)
    RETURNING * INTO v_list_row;
  END IF;
  FOREACH v_order IN ARRAY v_orders LOOP
    INSERT INTO orders VALUES (v_order.*);
    INSERT INTO order_events (order_id, seq, event, to_status, actor, request_id, detail)
    VALUES (v_order.id, 1, 'submit', v_order.status, p_request ->> 'actor', p_request ->> 'requestId', '{}');
    v_answer := project(v_order);
    v_events := v_events || jsonb_build_object('type', 'order', 'payload', v_answer);
  END LOOP;
  IF v_list IS NOT NULL THEN
    v_answer := project_list(v_list_row, jsonb_path_query_array(v_events, '$[*].payload'));
  END IF;
  IF p_request -> 'keys' <> '[]' THEN
    PERFORM remember_answer(v_user, p_request -> 'keys', p_request ->> 'hash', v_answer);
  END IF;
  PERFORM set_config('tidewire.orders', '', true);
  v_seq := ledger.append_events(v_user, (v_posted ->> 'journalId')::bigint, v_events);
  RETURN jsonb_build_object('status', 'placed', 'answer', v_answer, 'money', v_posted -> 'events', 'firstSeq', v_seq,
    'atMs', floor(extract(epoch FROM now()) * 1000));
END $$;

-- A statement is sent again when its answer was lost, and what it meets then is what it has done itself: the last free place
-- taken, the money held, trading halted since. An order that is there was placed, whatever the second try is refused for.
CREATE FUNCTION orders.place(p_request jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  v_answer jsonb := place_once(p_request);
  v_order orders;
BEGIN
  IF v_answer ->> 'status' = 'refused' THEN
    SELECT * INTO v_order FROM orders WHERE id = (p_request -> 'orders' -> 0 ->> 'id')::uuid
      AND user_id = (p_request ->> 'userId')::uuid;
    IF FOUND THEN
      RETURN jsonb_build_object('status', 'repeated', 'answer', CASE WHEN v_order.list_id IS NULL THEN project(v_order)
        ELSE read_list(v_order.user_id, v_order.list_id) END);
    END IF;
  END IF;
  RETURN v_answer;
END $$;

-- Which of the new orders carry a hold, and how much. A single order its own; the legs of an OCO one between them; an entry
-- its own, and the exits of a bracket that sells first what buying back may cost, because the entry's fills cannot be refused
-- for lack of it. Two legs that share a hold round by themselves: one unit more than the larger need.
CREATE FUNCTION orders.place_holds(p_orders orders.orders[], p_needs numeric[], p_kind text) RETURNS orders.orders[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_exit orders.orders;
  v_carriers integer[] := ARRAY[1];
  v_units numeric[] := ARRAY[p_needs[1]];
BEGIN
  IF p_kind = 'oco' THEN
    v_units := ARRAY[CASE p_orders[1].side WHEN 'buy' THEN greatest(p_needs[1], p_needs[2]) + 1 ELSE p_needs[1] END];
  ELSIF p_kind = 'bracket' AND p_orders[1].side = 'sell' THEN
    FOR v_index IN 2 .. 3 LOOP
      v_exit := p_orders[v_index];
      v_exit.quantity := p_orders[1].quantity;
      p_needs[v_index] := orders.need(v_exit);
    END LOOP;
    v_carriers := ARRAY[1, 2];
    v_units := ARRAY[p_needs[1], greatest(p_needs[2], p_needs[3]) + 1];
  END IF;
  FOR v_place IN 1 .. cardinality(v_carriers) LOOP
    p_orders[v_carriers[v_place]].hold_reference := p_orders[v_carriers[v_place]].id::text;
    p_orders[v_carriers[v_place]].hold_asset := CASE p_orders[v_carriers[v_place]].side
      WHEN 'buy' THEN p_orders[v_carriers[v_place]].quote ELSE p_orders[v_carriers[v_place]].base END;
    p_orders[v_carriers[v_place]].hold_units := trunc(v_units[v_place]);
  END LOOP;
  RETURN p_orders;
END $$;

-- One step of one order that is about to be written: the row with what changes already in it, except status and version.
-- `told`: an engine has something to do about it.
CREATE TYPE orders.change AS (o orders.orders, event text, detail jsonb, told boolean);

CREATE FUNCTION orders.can(p_status text, p_event text) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT FROM orders.transitions WHERE event = p_event AND from_status = p_status)
$$;
CREATE FUNCTION orders.ends(p_change orders.change) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT coalesce((SELECT s.ended FROM orders.transitions t JOIN orders.statuses s ON s.status = t.to_status
    WHERE t.event = p_change.event AND t.from_status = (p_change.o).status), false)
$$;

-- Writes one step. Callers have asked `can` before; what is not in the table raises.
CREATE FUNCTION orders.step(p_change orders.change, p_origin jsonb) RETURNS orders.orders LANGUAGE plpgsql AS $$
DECLARE
  v orders.orders := p_change.o;
  v_from text := v.status;
  v_rule orders.transitions;
  v_to orders.statuses;
BEGIN
  SELECT * INTO v_rule FROM orders.transitions WHERE event = p_change.event AND from_status = v_from;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'TW010', MESSAGE = format('%s is no step of an order that is %s', p_change.event, v_from);
  END IF;
  v.status := CASE v_rule.to_status WHEN 'before' THEN v.before_status ELSE v_rule.to_status END;
  SELECT * INTO v_to FROM orders.statuses WHERE status = v.status;
  v.before_status := CASE
    WHEN NOT v_to.pending THEN NULL
    WHEN v_rule.becomes IS NOT NULL THEN v_rule.becomes
    WHEN v_from IN ('pending_cancel', 'pending_update') THEN v.before_status
    ELSE v_from END;
  IF v.status <> 'pending_update' THEN
    v.amendment := NULL;
  END IF;
  IF v_to.ended THEN
    v.waiting := NULL;
  END IF;
  IF p_change.told THEN
    v.commanded_in := pg_current_xact_id();
  END IF;
  UPDATE orders.orders SET
    status = v.status, ended = v_to.ended, before_status = v.before_status, reason_code = v.reason_code,
    reason_message = v.reason_message, quantity = v.quantity, price = v.price, stop_price = v.stop_price,
    trailing_delta = v.trailing_delta, expire_at_ms = v.expire_at_ms, protection_price = v.protection_price,
    filled_quantity = v.filled_quantity, prevented_quantity = v.prevented_quantity, filled_quote = v.filled_quote,
    fee_base_units = v.fee_base_units, fee_quote_units = v.fee_quote_units, flat_due_units = v.flat_due_units,
    hold_reference = v.hold_reference, hold_asset = v.hold_asset, hold_units = v.hold_units, hold_number = v.hold_number,
    waiting = v.waiting, amendment = v.amendment, memo = v.memo, version = v.version + 1,
    token = coalesce((p_origin ->> 'token')::uuid, v.token), commanded_at_ms = v.commanded_at_ms,
    commanded_in = v.commanded_in, updated_at_ms = orders.now_ms()
  WHERE id = v.id AND version = v.version AND status = v_from
  RETURNING * INTO v;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'the order changed meanwhile';
  END IF;
  IF v_to.ended AND NOT (p_change.o).ended THEN
    UPDATE orders.traders SET open_orders = open_orders - 1 WHERE user_id = v.user_id;
  END IF;
  INSERT INTO orders.order_events (order_id, seq, event, from_status, to_status, actor, request_id, detail)
  VALUES (v.id, v.version, p_change.event, v_from, v.status, p_origin ->> 'actor', p_origin ->> 'requestId',
    coalesce(p_change.detail, '{}'));
  RETURN v;
END $$;

-- The other leg of a list that shares the hold, while it is open: both legs of an OCO, both exits of a bracket.
CREATE FUNCTION orders.partner(o orders.orders) RETURNS orders.orders LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_partner orders.orders;
BEGIN
  IF o.list_id IS NOT NULL AND o.role <> 'entry' THEN
    SELECT * INTO v_partner FROM orders.orders
    WHERE list_id = o.list_id AND id <> o.id AND role <> 'entry' AND NOT ended;
  END IF;
  RETURN v_partner;
END $$;

CREATE FUNCTION orders.release_of(o orders.orders, p_units numeric) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_build_object('owner', o.user_id, 'asset', o.hold_asset, 'amount', trunc(p_units)::text, 'purpose', 'order',
    'reference', o.hold_reference)
$$;

-- The larger of what an order and the one that shares its hold need. Exits that buy will grow to the size of their entry while
-- that is open. Two legs that share a hold round by themselves: one unit more.
CREATE FUNCTION orders.shared_need(o orders.orders, p_partner orders.orders) RETURNS numeric LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_grown numeric;
BEGIN
  IF o.side = 'buy' AND o.role IN ('take_profit', 'stop_loss') THEN
    SELECT quantity INTO v_grown FROM orders.orders WHERE list_id = o.list_id AND role = 'entry' AND NOT ended;
    o.quantity := coalesce(v_grown, o.quantity);
    p_partner.quantity := coalesce(v_grown, p_partner.quantity);
  END IF;
  RETURN trunc(greatest(orders.need(o), CASE WHEN p_partner.id IS NOT NULL THEN orders.need(p_partner) END)
    + CASE WHEN o.side = 'buy' AND o.list_id IS NOT NULL AND o.role <> 'entry' THEN 1 ELSE 0 END);
END $$;

-- What follows from orders that end: exits that never got anything end with their entry, a shared hold goes over to the leg
-- that stays, any other hold is given back. Adds to the changes and to the releases.
CREATE FUNCTION orders.settle(INOUT p_changes orders.change[], INOUT p_releases jsonb) LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_change orders.change;
  v orders.orders;
  v_other orders.orders;
  v_carrier orders.orders;
  v_units numeric;
  v_place integer;
BEGIN
  FOR v_index IN 1 .. cardinality(p_changes) LOOP
    v := (p_changes[v_index]).o;
    CONTINUE WHEN v.role IS DISTINCT FROM 'entry' OR NOT orders.ends(p_changes[v_index]);
    v_units := 0;
    v_carrier := NULL;
    FOR v_other IN SELECT * FROM orders.orders WHERE list_id = v.list_id AND role <> 'entry' AND NOT ended ORDER BY id LOOP
      v_place := orders.place_of(p_changes, v_other.id);
      IF v_place IS NOT NULL THEN
        v_other := (p_changes[v_place]).o;
      ELSIF v_other.quantity = 0 THEN
        v_other.reason_code := 'entry_ended';
        v_other.reason_message := 'the entry ended without a fill that could be protected';
        p_changes := p_changes || ROW(v_other, 'cancel', '{}', false)::orders.change;
        CONTINUE;
      END IF;
      v_units := greatest(v_units, orders.need(v_other) + 1);
      IF v_other.hold_reference IS NOT NULL THEN
        v_carrier := v_other;
      END IF;
    END LOOP;
    -- Exits that buy were given their hold for the whole entry.
    IF v_carrier.side = 'buy' AND v_carrier.hold_units > v_units THEN
      p_releases := p_releases || orders.release_of(v_carrier, v_carrier.hold_units - v_units);
      v_carrier.hold_units := v_units;
      v_place := orders.place_of(p_changes, v_carrier.id);
      IF v_place IS NULL THEN
        p_changes := p_changes || ROW(v_carrier, 'resize', '{}', true)::orders.change;
      ELSE
        p_changes[v_place].o := v_carrier;
      END IF;
    END IF;
  END LOOP;
  FOR v_index IN 1 .. cardinality(p_changes) LOOP
    v_change := p_changes[v_index];
    v := v_change.o;
    CONTINUE WHEN v.hold_reference IS NULL OR NOT orders.ends(v_change);
    v_other := orders.partner(v);
    v_place := orders.place_of(p_changes, v_other.id);
    IF v_place IS NOT NULL THEN
      v_other := (p_changes[v_place]).o;
    END IF;
    IF v_other.id IS NOT NULL AND (v_place IS NULL OR NOT orders.ends(p_changes[v_place])) THEN
      v_other.hold_reference := v.hold_reference;
      v_other.hold_asset := v.hold_asset;
      v_other.hold_number := v.hold_number;
      v_other.hold_units := v.hold_units;
      -- What only the leg that ends could have needed.
      v_units := v.hold_units - orders.shared_need(v_other, NULL);
      IF v_units > 0 AND v_other.quantity > 0 THEN
        p_releases := p_releases || orders.release_of(v, v_units);
        v_other.hold_units := v.hold_units - v_units;
      END IF;
      IF v_place IS NULL THEN
        p_changes := p_changes || ROW(v_other, 'resize', '{}', true)::orders.change;
      ELSE
        p_changes[v_place].o := v_other;
      END IF;
    ELSIF v.hold_units > 0 THEN
      p_releases := p_releases || orders.release_of(v, v.hold_units);
    END IF;
    v.hold_reference := NULL;
    v.hold_asset := NULL;
    v.hold_units := 0;
    p_changes[v_index].o := v;
  END LOOP;
END $$;

CREATE FUNCTION orders.place_of(p_changes orders.change[], p_order uuid) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  FOR v_index IN 1 .. cardinality(p_changes) LOOP
    IF ((p_changes[v_index]).o).id = p_order THEN
      RETURN v_index;
    END IF;
  END LOOP;
  RETURN NULL;
END $$;

-- Books the money of all the changes, then writes them and tells the user: one journal, one run of events. Answers {status:
-- 'done', works, userId, money, events, firstSeq, atMs} or the ledger's refusal, with nothing written.
CREATE FUNCTION orders.commit(
  p_changes orders.change[], p_money jsonb, p_fills orders.fills[], p_kind text, p_origin jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  v_first orders.orders := (p_changes[1]).o;
  v_posted jsonb := '{}';
  v_journal bigint;
  v_change orders.change;
  v_fill orders.fills;
  v_order orders.orders;
  v_events jsonb := '[]';
  v_works jsonb := '[]';
BEGIN
  IF p_money -> 'legs' <> '[]' OR p_money -> 'holds' <> '[]' OR p_money -> 'releases' <> '[]' THEN
    v_posted := ledger.post(p_money || jsonb_build_object('scope', 'orders', 'key', v_first.id || ' ' || v_first.version,
      'kind', p_kind, 'actor', p_origin ->> 'actor', 'requestId', p_origin ->> 'requestId', 'referenceType', 'order',
      'referenceId', v_first.id));
    IF v_posted ->> 'status' = 'refused' THEN
      RETURN v_posted;
    ELSIF v_posted ->> 'status' <> 'posted' THEN
      RAISE EXCEPTION USING ERRCODE = 'TW011', MESSAGE = format('order %s has been at version %s', v_first.id, v_first.version);
    END IF;
    v_journal := (v_posted ->> 'journalId')::bigint;
  END IF;
  PERFORM set_config('tidewire.orders', p_kind, true);
  FOREACH v_fill IN ARRAY p_fills LOOP
    INSERT INTO orders.fills (order_id, user_id, account, venue, symbol, base, quote, side, liquidity, trade_id, price,
      quantity, quote_units, fee_units, flat_fee_units, simulated, market, journal_id, ts_ms)
    VALUES (v_fill.order_id, v_fill.user_id, v_fill.account, v_fill.venue, v_fill.symbol, v_fill.base, v_fill.quote,
      v_fill.side, v_fill.liquidity, v_fill.trade_id, v_fill.price, v_fill.quantity, v_fill.quote_units,
      v_fill.fee_units, v_fill.flat_fee_units, v_fill.simulated, v_fill.market, v_journal, v_fill.ts_ms)
    RETURNING * INTO v_fill;
    v_events := v_events || jsonb_build_object('type', 'fill', 'payload',
      orders.project_fill(v_fill, v_first.client_order_id));
  END LOOP;
  FOREACH v_change IN ARRAY p_changes LOOP
    v_order := orders.step(v_change, p_origin);
    v_works := v_works || orders.work(v_order);
    v_events := v_events || jsonb_build_object('type', 'order', 'payload', v_works -> -1 -> 'order');
  END LOOP;
  PERFORM set_config('tidewire.orders', '', true);
  RETURN jsonb_build_object('status', 'done', 'works', v_works, 'userId', v_first.user_id,
    'money', coalesce(v_posted -> 'events', '[]'), 'events', v_events,
    'firstSeq', ledger.append_events(v_first.user_id, v_journal, v_events),
    'atMs', floor(extract(epoch FROM now()) * 1000));
END $$;

CREATE FUNCTION orders.no_money() RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT '{"legs": [], "holds": [], "releases": []}'::jsonb
$$;
CREATE FUNCTION orders.unchanged(o orders.orders) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('status', 'unchanged', 'works', jsonb_build_array(orders.work(o)))
$$;

-- For an engine's step on {orderId, version, token}: the order under its user's lock, and an answer if that is all there is
-- to say: it does not exist, is not at that version, is nobody's work yet, or this very statement was here before.
CREATE FUNCTION orders.take(p_request jsonb, OUT o orders.orders, OUT answer jsonb) LANGUAGE plpgsql AS $$
DECLARE
  v_order uuid := (p_request ->> 'orderId')::uuid;
  v_user uuid;
BEGIN
  SELECT user_id INTO v_user FROM orders.orders WHERE id = v_order;
  IF NOT FOUND THEN
    answer := ledger.refused('not_found', 'there is no such order');
    RETURN;
  END IF;
  PERFORM orders.lock_trader(v_user);
  SELECT * INTO o FROM orders.orders WHERE id = v_order;
  IF o.token = (p_request ->> 'token')::uuid THEN
    answer := orders.unchanged(o);
  ELSIF o.version <> (p_request ->> 'version')::bigint THEN
    answer := ledger.refused('conflict', format('the order is at version %s', o.version));
  ELSIF o.quantity = 0 AND NOT o.ended THEN
    answer := ledger.refused('conflict', 'the order waits for its entry');
  END IF;
END $$;

CREATE FUNCTION orders.closed(o orders.orders, p_event text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT ledger.refused('order_closed', format('an order that is %s takes no %s', o.status, p_event))
$$;

-- An engine's steps that move no money of their own: accept, wait, remember, prevent, finish, deny.
-- Takes {orderId, version, token, actor, event, memo?, reason?, quantity?, waiting?}.
CREATE FUNCTION orders.advance(p_request jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  v_taken record := take(p_request);
  v orders := v_taken.o;
  v_event text := p_request ->> 'event';
  v_changes change[];
  v_releases jsonb := '[]';
BEGIN
  IF v_taken.answer IS NOT NULL THEN
    RETURN v_taken.answer;
  END IF;
  IF v_event = 'accept' AND v.type NOT IN ('market', 'limit') THEN
    v_event := 'hold';
  END IF;
  v.memo := coalesce(p_request -> 'memo', v.memo);
  IF p_request ? 'reason' THEN
    v.reason_code := p_request -> 'reason' ->> 'code';
    v.reason_message := p_request -> 'reason' ->> 'message';
  END IF;
  IF v_event = 'wait' THEN
    v.waiting := p_request ->> 'waiting';
  ELSIF v_event = 'prevent' THEN
    v.prevented_quantity := v.prevented_quantity + (p_request ->> 'quantity')::numeric;
    IF v.quantity IS NULL OR v.filled_quantity + v.prevented_quantity > v.quantity THEN
      RETURN ledger.refused('conflict', 'more than is open');
    ELSIF v.filled_quantity + v.prevented_quantity = v.quantity THEN
      v_event := 'expire_in_match';
      v.reason_code := 'self_trade';
      v.reason_message := 'the rest would have traded with another order of yours';
    END IF;
  END IF;
  IF NOT can(v.status, v_event) THEN
    RETURN closed(v, v_event);
  END IF;
  v_changes := ARRAY[ROW(v, v_event, CASE WHEN p_request ? 'reason' THEN p_request -> 'reason' ELSE '{}' END,
    false)::change];
  SELECT p_changes, p_releases INTO v_changes, v_releases FROM settle(v_changes, v_releases);
  RETURN commit(v_changes, no_money() || jsonb_build_object('releases', v_releases), '{}', 'order_ended', p_request);
END $$;

-- The engine's own notes: no step, nobody is told.
CREATE FUNCTION orders.remember(p_request jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  v_taken record := take(p_request);
  v orders := v_taken.o;
BEGIN
  IF v_taken.answer IS NOT NULL THEN
    RETURN v_taken.answer;
  ELSIF v.ended THEN
    RETURN closed(v, 'note');
  END IF;
  PERFORM set_config('tidewire.orders', 'remember', true);
  UPDATE orders SET memo = p_request -> 'memo', stop_price = coalesce((p_request ->> 'stopPrice')::numeric, stop_price),
    version = version + 1, token = (p_request ->> 'token')::uuid
  WHERE id = v.id AND version = v.version RETURNING * INTO v;
  PERFORM set_config('tidewire.orders', '', true);
  RETURN unchanged(v);
END $$;

CREATE FUNCTION orders.leg(
  p_asset text, p_units numeric, p_code text, p_from_owner uuid, p_from_kind text, p_from_label text, p_to_owner uuid,
  p_to_kind text, p_to_label text, p_hold text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF p_units = 0 THEN
    RETURN '[]';
  END IF;
  RETURN jsonb_build_array(jsonb_build_object('asset', p_asset, 'amount', trunc(p_units)::text, 'code', p_code,
    'fromOwner', p_from_owner, 'fromKind', p_from_kind, 'fromLabel', p_from_label, 'toOwner', p_to_owner,
    'toKind', p_to_kind, 'toLabel', p_to_label)
    || CASE WHEN p_hold IS NULL THEN '{}'
      ELSE jsonb_build_object('holdPurpose', 'order', 'holdReference', p_hold) END);
END $$;

-- What one fill does to its order, as if it were alone. Rounding is cumulative: a buyer has paid the exact sum rounded up, a
-- seller received it rounded down, however the order was cut into fills. The fee is at least the rate of what was received.
-- `house_units`: what the other side of the trade got or paid; the difference, at most one unit, is the rounding account's.
CREATE FUNCTION orders.decide_fill(
  p_item jsonb, INOUT o orders.orders, OUT f orders.fills, OUT house_units numeric, OUT refusal text)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  v_limit numeric := coalesce(o.price, o.protection_price);
  v_exact numeric;
  v_rate numeric;
  v_gross numeric;
  v_flat numeric;
BEGIN
  f.price := (p_item ->> 'price')::numeric;
  f.quantity := (p_item ->> 'quantity')::numeric;
  IF o.filled_quantity + o.prevented_quantity + f.quantity > o.quantity THEN
    refusal := 'more than is open';
    RETURN;
  ELSIF v_limit IS NOT NULL AND (o.side = 'buy' AND f.price > v_limit OR o.side = 'sell' AND f.price < v_limit) THEN
    refusal := 'worse than the price that the order allows';
    RETURN;
  END IF;
  f.order_id := o.id;
  f.user_id := o.user_id;
  f.account := o.account;
  f.venue := o.venue;
  f.symbol := o.symbol;
  f.base := o.base;
  f.quote := o.quote;
  f.side := o.side;
  f.liquidity := p_item ->> 'liquidity';
  f.trade_id := p_item ->> 'tradeId';
  f.simulated := o.simulated;
  f.market := nullif(p_item -> 'market', 'null');
  f.ts_ms := (p_item ->> 'ts')::bigint;
  v_exact := f.price * f.quantity * 1e18;
  v_rate := CASE f.liquidity WHEN 'maker' THEN o.maker_rate ELSE o.taker_rate END;
  IF o.side = 'buy' THEN
    f.quote_units := ceil(o.filled_quote * 1e18 + v_exact) - ceil(o.filled_quote * 1e18);
    house_units := least(f.quote_units, floor(v_exact));
    v_gross := f.quantity * 1e18;
    f.fee_units := least(v_gross, ceil(v_gross * v_rate));
    f.flat_fee_units := o.flat_due_units;
    o.flat_due_units := 0;
    o.fee_base_units := o.fee_base_units + f.fee_units;
    o.fee_quote_units := o.fee_quote_units + f.flat_fee_units;
  ELSE
    f.quote_units := floor(o.filled_quote * 1e18 + v_exact) - floor(o.filled_quote * 1e18);
    house_units := greatest(f.quote_units, ceil(v_exact));
    f.fee_units := least(f.quote_units, ceil(f.quote_units * v_rate));
    -- What this fill's proceeds cannot bear is taken with the next.
    v_flat := least(o.flat_due_units, f.quote_units - f.fee_units);
    o.flat_due_units := o.flat_due_units - v_flat;
    f.fee_units := f.fee_units + v_flat;
    f.flat_fee_units := 0;
    o.fee_quote_units := o.fee_quote_units + f.fee_units;
  END IF;
  o.filled_quantity := o.filled_quantity + f.quantity;
  o.filled_quote := o.filled_quote + f.price * f.quantity;
END $$;

-- Nothing more can be filled. By quoteQuantity: what is left buys no lot at the last price.
CREATE FUNCTION orders.is_complete(o orders.orders, p_price numeric) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  v_left numeric;
BEGIN
  IF o.quantity IS NOT NULL THEN
    RETURN o.filled_quantity + o.prevented_quantity = o.quantity;
  END IF;
  v_left := o.quote_quantity - o.flat_fee - o.filled_quote;
  RETURN v_left <= 0 OR v_left < p_price * coalesce(o.lot_size, 1e-18);
END $$;

-- Takes {orderId, version, token, actor, memo?, fills: [EngineFill]}. Trades that are known are left out; when all are known,
-- nothing happens again and the order is answered as it is.
CREATE FUNCTION orders.fill(p_request jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  v_taken record := take(p_request);
  v orders := v_taken.o;
  v_items jsonb := p_request -> 'fills';
  v_new jsonb := '[]';
  v_item jsonb;
  v_owner uuid;
  v_decided record;
  v_fills fills[] := '{}';
  v_quote numeric := 0;
  v_house numeric := 0;
  v_base numeric := 0;
  v_fee numeric := 0;
  v_flat numeric := 0;
  v_event text;
  v_changes change[];
  v_partner orders;
  v_carrier text;
  v_money jsonb := no_money();
  v_legs jsonb;
  v_answer jsonb;
BEGIN
  IF v.id IS NULL THEN
    RETURN v_taken.answer;
  END IF;
  FOR v_index IN 0 .. jsonb_array_length(v_items) - 1 LOOP
    v_item := v_items -> v_index;
    SELECT order_id INTO v_owner FROM fills WHERE account = v.account AND venue = v.venue AND symbol = v.symbol
      AND trade_id = v_item ->> 'tradeId';
    IF NOT FOUND THEN
      v_new := v_new || v_item;
    ELSIF v_owner <> v.id THEN
      RETURN ledger.refused('conflict', 'this trade id belongs to another order');
    END IF;
  END LOOP;
  IF v_new = '[]' THEN
    RETURN unchanged(v);
  ELSIF v_taken.answer IS NOT NULL THEN
    RETURN v_taken.answer;
  END IF;
  FOR v_index IN 0 .. jsonb_array_length(v_new) - 1 LOOP
    v_decided := decide_fill(v_new -> v_index, v);
    IF v_decided.refusal IS NOT NULL THEN
      RETURN ledger.refused('conflict', v_decided.refusal);
    END IF;
    v := v_decided.o;
    v_fills := v_fills || v_decided.f;
    v_quote := v_quote + (v_decided.f).quote_units;
    v_house := v_house + v_decided.house_units;
    v_base := v_base + (v_decided.f).quantity * 1e18;
    v_fee := v_fee + (v_decided.f).fee_units;
    v_flat := v_flat + (v_decided.f).flat_fee_units;
  END LOOP;
  v_event := CASE WHEN is_complete(v, v_fills[cardinality(v_fills)].price) THEN 'fill_all' ELSE 'fill_part' END;
  IF NOT can(v.status, v_event) THEN
    RETURN closed(v, 'fill');
  END IF;
  v.memo := coalesce(p_request -> 'memo', v.memo);
  v.waiting := NULL;

  -- A late fill of an order that has ended has no hold to pay from: it takes what is available.
  v_partner := partner(v);
  v_carrier := coalesce(v.hold_reference, v_partner.hold_reference);
  IF v.hold_reference IS NOT NULL THEN
    v.hold_units := v.hold_units - CASE v.side WHEN 'buy' THEN v_quote + v_flat ELSE v_base END;
  ELSIF v_partner.hold_reference IS NOT NULL THEN
    v_partner.hold_units := v_partner.hold_units - CASE v.side WHEN 'buy' THEN v_quote + v_flat ELSE v_base END;
  END IF;
  IF v.hold_units < 0 OR v_partner.hold_units < 0 THEN
    RETURN ledger.refused('insufficient_funds', 'more than is held for the order');
  END IF;
  v_changes := ARRAY[ROW(v, v_event, jsonb_build_object('fills', jsonb_array_length(v_new)), false)::change];
  IF v.list_id IS NOT NULL THEN
    SELECT * INTO v_changes, v_money FROM fill_list(v_changes, v_partner, v_money, v_base);
  END IF;
  SELECT p_changes, v_money || jsonb_build_object('releases', p_releases) INTO v_changes, v_money
  FROM settle(v_changes, v_money -> 'releases');

  IF v.side = 'buy' THEN
    v_legs := leg(v.quote, v_house, 'trade', v.user_id, 'user', '', NULL, 'clearing', v.venue, v_carrier)
      || leg(v.quote, v_quote - v_house, 'rounding', v.user_id, 'user', '', NULL, 'rounding', '', v_carrier)
      || leg(v.base, v_base, 'trade', NULL, 'clearing', v.venue, v.user_id, 'user', '', NULL)
      || leg(v.base, v_fee, 'fee', v.user_id, 'user', '', NULL, 'fee', '', NULL)
      || leg(v.quote, v_flat, 'fee', v.user_id, 'user', '', NULL, 'fee', '', v_carrier);
  ELSE
    v_legs := leg(v.base, v_base, 'trade', v.user_id, 'user', '', NULL, 'clearing', v.venue, v_carrier)
      || leg(v.quote, v_quote, 'trade', NULL, 'clearing', v.venue, v.user_id, 'user', '', NULL)
      || leg(v.quote, v_house - v_quote, 'rounding', NULL, 'clearing', v.venue, NULL, 'rounding', '', NULL)
      || leg(v.quote, v_fee, 'fee', v.user_id, 'user', '', NULL, 'fee', '', NULL);
  END IF;
  v_answer := commit(v_changes, v_money || jsonb_build_object('legs', v_legs), v_fills, 'trade', p_request);
  IF v_answer ->> 'status' = 'refused' THEN
    RETURN v_answer || CASE WHEN v_answer ->> 'code' IN ('insufficient_funds', 'hold_exceeded')
      THEN '{"code": "insufficient_funds"}' ELSE '{"code": "conflict"}' END::jsonb;
  END IF;
  RETURN v_answer;
END $$;

-- What a fill does to the rest of its list. OCO: the other leg ends. Bracket: the entry's fills enlarge both exits; an exit's
-- fills end the entry and make the other exit smaller.
CREATE FUNCTION orders.fill_list(
  INOUT p_changes orders.change[], p_partner orders.orders, INOUT p_money jsonb, p_base numeric)
LANGUAGE plpgsql STABLE AS $$
DECLARE
  v orders.orders := (p_changes[1]).o;
  v_other orders.orders := p_partner;
  v_entry orders.orders;
  v_carrier uuid;
  v_target numeric;
  v_armed boolean;
BEGIN
  IF v.role = 'entry' THEN
    v_target := v.filled_quantity;
    IF v.side = 'buy' THEN
      v_target := v_target - v.fee_base_units * 0.000000000000000001;
    END IF;
    v_target := floor(v_target / coalesce(v.lot_size, 1e-18)) * coalesce(v.lot_size, 1e-18);
    -- One of the exits carries the hold: whichever has it, else the take profit.
    SELECT id INTO v_carrier FROM orders.orders WHERE list_id = v.list_id AND role <> 'entry' AND NOT ended
    ORDER BY hold_reference IS NULL, role DESC LIMIT 1;
    FOR v_other IN SELECT * FROM orders.orders
      WHERE list_id = v.list_id AND role <> 'entry' AND NOT ended ORDER BY role DESC LOOP
      -- A fill that comes after the entry's end is not protected any more: an exit may be at work.
      CONTINUE WHEN v.ended OR v_target <= v_other.quantity;
      v_armed := v_other.quantity > 0;
      v_other.quantity := v_target;
      IF v.side = 'buy' AND v_other.id = v_carrier THEN
        IF v_other.hold_units > 0 THEN
          p_money := jsonb_set(p_money, '{releases}',
            (p_money -> 'releases') || orders.release_of(v_other, v_other.hold_units));
          v_other.hold_number := v_other.hold_number + 1;
        END IF;
        v_other.hold_reference := v_other.id || '.' || v_other.hold_number;
        v_other.hold_asset := v.base;
        v_other.hold_units := trunc(v_target * 1e18);
        p_money := jsonb_set(p_money, '{holds}',
          (p_money -> 'holds') || orders.release_of(v_other, v_other.hold_units));
      END IF;
      p_changes := p_changes
        || ROW(v_other, CASE WHEN v_armed THEN 'resize' ELSE 'arm' END, '{}', true)::orders.change;
    END LOOP;
    RETURN;
  END IF;
  IF v_other.id IS NOT NULL THEN
    IF v.role IN ('limit', 'stop') THEN
      v_other.reason_code := 'other_leg_filled';
      v_other.reason_message := 'the other order of the list was executed';
      p_changes := p_changes || ROW(v_other, 'cancel', '{}', true)::orders.change;
    ELSE
      v_other.quantity := v_other.quantity - p_base * 0.000000000000000001;
      IF v_other.quantity <= v_other.filled_quantity + v_other.prevented_quantity THEN
        v_other.quantity := v_other.filled_quantity + v_other.prevented_quantity;
        v_other.reason_code := 'other_leg_filled';
        v_other.reason_message := 'the other exit was executed';
        p_changes := p_changes || ROW(v_other, 'cancel', '{}', true)::orders.change;
      ELSE
        p_changes := p_changes || ROW(v_other, 'resize', '{}', true)::orders.change;
      END IF;
    END IF;
  END IF;
  SELECT * INTO v_entry FROM orders.orders WHERE list_id = v.list_id AND role = 'entry' AND NOT ended;
  IF FOUND THEN
    v_entry.reason_code := 'exit_filled';
    v_entry.reason_message := 'an exit was executed, so the position is not enlarged any more';
    p_changes := p_changes || ROW(v_entry, 'cancel', '{}', true)::orders.change;
  END IF;
END $$;

-- A user's cancellation of {orderId} (its list with it), {listId}, or all in {venue?, symbol?}. What waits with us ends at once,
-- the rest asks its engine. Answers what `commit` does, with `ids` of all that were meant.
CREATE FUNCTION orders.cancel(p_request jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  v_user uuid := (p_request ->> 'userId')::uuid;
  v_order orders;
  v_list uuid := (p_request ->> 'listId')::uuid;
  v orders;
  v_changes change[] := '{}';
  v_releases jsonb := '[]';
  v_answer jsonb;
BEGIN
  PERFORM lock_trader(v_user);
  IF p_request ? 'orderId' THEN
    SELECT * INTO v_order FROM orders WHERE id = (p_request ->> 'orderId')::uuid AND user_id = v_user;
    IF NOT FOUND THEN
      RETURN ledger.refused('not_found', 'there is no such order');
    ELSIF v_order.status = 'canceled' THEN
      RETURN unchanged(v_order);
    ELSIF v_order.ended THEN
      RETURN closed(v_order, 'cancellation');
    END IF;
    v_list := v_order.list_id;
  END IF;
  IF p_request ? 'deadMan' AND NOT EXISTS (SELECT FROM traders WHERE user_id = v_user AND dead_man_at_ms <= now_ms()) THEN
    RETURN jsonb_build_object('status', 'unchanged', 'works', '[]'::jsonb);
  END IF;
  FOR v IN SELECT * FROM orders WHERE user_id = v_user AND NOT ended
    AND (v_list IS NULL OR list_id = v_list) AND (v_list IS NOT NULL OR v_order.id IS NULL OR id = v_order.id)
    AND (p_request ->> 'venue' IS NULL OR venue = p_request ->> 'venue')
    AND (p_request ->> 'symbol' IS NULL OR symbol = p_request ->> 'symbol') ORDER BY id
  LOOP
    CONTINUE WHEN v.status = 'pending_cancel';
    v.commanded_at_ms := now_ms();
    IF v.status = 'held' THEN
      v.reason_code := coalesce(p_request -> 'reason' ->> 'code', 'canceled_by_user');
      v.reason_message := coalesce(p_request -> 'reason' ->> 'message', 'canceled as asked');
      v_changes := v_changes || ROW(v, 'cancel', '{}', true)::change;
    ELSE
      v_changes := v_changes || ROW(v, 'request_cancel', coalesce(p_request -> 'reason', '{}'), true)::change;
    END IF;
  END LOOP;
  IF p_request ? 'deadMan' THEN
    PERFORM set_config('tidewire.orders', 'dead_man', true);
    UPDATE traders SET dead_man_at_ms = NULL WHERE user_id = v_user;
    PERFORM set_config('tidewire.orders', '', true);
  END IF;
  IF cardinality(v_changes) = 0 THEN
    RETURN CASE WHEN v_order.id IS NULL THEN jsonb_build_object('status', 'unchanged', 'works', '[]'::jsonb)
      ELSE unchanged(v_order) END;
  END IF;
  SELECT p_changes, p_releases INTO v_changes, v_releases FROM settle(v_changes, v_releases);
  v_answer := commit(v_changes, no_money() || jsonb_build_object('releases', v_releases), '{}', 'order_ended', p_request);
  IF v_answer ->> 'status' = 'refused' THEN
    RAISE EXCEPTION USING ERRCODE = 'TW011', MESSAGE = 'a hold could not be given back: ' || (v_answer ->> 'message');
  END IF;
  RETURN v_answer;
END $$;

-- Carries a change of a user into the row.
CREATE FUNCTION orders.amended(o orders.orders, p_change jsonb) RETURNS orders.orders LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  o.quantity := coalesce((p_change ->> 'quantity')::numeric, o.quantity);
  o.price := coalesce((p_change ->> 'price')::numeric, o.price);
  o.stop_price := coalesce((p_change ->> 'stopPrice')::numeric, o.stop_price);
  o.trailing_delta := coalesce((p_change ->> 'trailingDelta')::integer, o.trailing_delta);
  o.expire_at_ms := coalesce((p_change ->> 'expireAt')::bigint, o.expire_at_ms);
  IF NOT o.protection_given THEN
    o.protection_price := coalesce((p_change ->> 'protectionPrice')::numeric, o.protection_price);
  END IF;
  RETURN o;
END $$;

-- Makes the hold of this order, or of the two that share it, the size that `p_units` says. Adds to the money; the order or its
-- partner, whichever carries the hold, comes back changed.
CREATE FUNCTION orders.rehold(INOUT o orders.orders, INOUT p_partner orders.orders, p_units numeric, INOUT p_money jsonb)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  v orders.orders := CASE WHEN o.hold_reference IS NOT NULL THEN o ELSE p_partner END;
BEGIN
  IF v.hold_reference IS NULL OR v.hold_units = p_units THEN
    RETURN;
  END IF;
  IF v.hold_units > p_units THEN
    p_money := jsonb_set(p_money, '{releases}',
      (p_money -> 'releases') || orders.release_of(v, v.hold_units - p_units));
  ELSE
    IF v.hold_units > 0 THEN
      p_money := jsonb_set(p_money, '{releases}', (p_money -> 'releases') || orders.release_of(v, v.hold_units));
    END IF;
    v.hold_number := v.hold_number + 1;
    v.hold_reference := v.id || '.' || v.hold_number;
    p_money := jsonb_set(p_money, '{holds}', (p_money -> 'holds') || orders.release_of(v, p_units));
  END IF;
  v.hold_units := p_units;
  IF v.id = o.id THEN
    o := v;
  ELSE
    p_partner := v;
  END IF;
END $$;

-- A user's amendment. What waits with us is changed at once; else the engine decides, with the larger hold of both states in
-- place meanwhile, so that it cannot fail for lack of funds then.
-- Takes {userId, orderId, version, token, change, actor, requestId, keys, hash}. 'stale': look again, it changed meanwhile.
CREATE FUNCTION orders.amend(p_request jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  v_user uuid := (p_request ->> 'userId')::uuid;
  v_answer jsonb;
  v orders;
  v_new orders;
  v_partner orders;
  v_held record;
  v_units numeric;
  v_money jsonb := no_money();
  v_changes change[];
BEGIN
  PERFORM lock_trader(v_user);
  v_answer := answered(v_user, p_request -> 'keys', p_request ->> 'hash');
  IF v_answer IS NOT NULL THEN
    RETURN v_answer;
  END IF;
  SELECT * INTO v FROM orders WHERE id = (p_request ->> 'orderId')::uuid AND user_id = v_user;
  IF NOT FOUND THEN
    RETURN ledger.refused('not_found', 'there is no such order');
  ELSIF v.token = (p_request ->> 'token')::uuid THEN
    -- The same statement again, after its answer was lost; it had no key of its user's.
    RETURN unchanged(v);
  ELSIF v.ended THEN
    RETURN closed(v, 'amendment');
  ELSIF v.version <> (p_request ->> 'version')::bigint THEN
    RETURN jsonb_build_object('status', 'stale');
  ELSIF v.status = 'held' AND v.quantity = 0 THEN
    RETURN ledger.refused('conflict', 'the order waits for its entry; amend it once that is filled');
  ELSIF v.status <> 'held' AND NOT can(v.status, 'request_amend') THEN
    RETURN ledger.refused('conflict', format('the order is %s; amend it once that is settled', v.status));
  END IF;
  v_answer := halted(v.venue, v.side);
  IF v_answer IS NOT NULL THEN
    RETURN v_answer;
  END IF;
  v.commanded_at_ms := now_ms();
  v_new := amended(v, p_request -> 'change');
  IF v_new.quantity <= v.filled_quantity + v.prevented_quantity THEN
    RETURN ledger.refused('invalid_order', format('%s of it are filled already', plain(v.filled_quantity)));
  END IF;
  v_partner := partner(v);
  v_units := shared_need(v_new, v_partner);
  IF v.status <> 'held' THEN
    v_units := greatest(v_units, v.hold_units, v_partner.hold_units);
    v_new := v;
    v_new.amendment := (p_request -> 'change') - 'protectionPrice';
  END IF;
  IF v_units >= 1e36 THEN
    RETURN ledger.refused('above_maximum', 'the order is worth more than can be kept');
  END IF;
  v_held := rehold(v_new, v_partner, v_units, v_money);
  v_new := v_held.o;
  v_partner := v_held.p_partner;
  v_money := v_held.p_money;
  v_changes := ARRAY[ROW(v_new, CASE v.status WHEN 'held' THEN 'amend' ELSE 'request_amend' END,
    (p_request -> 'change'), true)::change];
  IF v_partner.hold_reference IS NOT NULL AND v_money <> no_money() THEN
    v_changes := v_changes || ROW(v_partner, 'resize', '{}', true)::change;
  END IF;
  v_answer := commit(v_changes, v_money, '{}', 'order_amended', p_request);
  IF v_answer ->> 'code' = 'insufficient_funds' THEN
    RETURN missing_funds(v_user, CASE v.side WHEN 'buy' THEN v.quote ELSE v.base END,
      v_units - greatest(v.hold_units, v_partner.hold_units, 0));
  END IF;
  IF v_answer ->> 'status' = 'done' AND p_request -> 'keys' <> '[]' THEN
    PERFORM set_config('tidewire.orders', 'amend', true);
    PERFORM remember_answer(v_user, p_request -> 'keys', p_request ->> 'hash', v_answer -> 'works' -> 0 -> 'order');
    PERFORM set_config('tidewire.orders', '', true);
  END IF;
  RETURN v_answer;
END $$;

-- The engine's answer to an amendment. Takes {orderId, version, token, actor, memo?, refusal: {code, message} | null}.
CREATE FUNCTION orders.decide_amendment(p_request jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  v_taken record := take(p_request);
  v orders := v_taken.o;
  v_partner orders;
  v_held record;
  v_event text := 'amend';
  v_detail jsonb := '{}';
  v_money jsonb := no_money();
  v_units numeric;
  v_changes change[];
BEGIN
  IF v_taken.answer IS NOT NULL THEN
    RETURN v_taken.answer;
  ELSIF v.status <> 'pending_update' THEN
    RETURN closed(v, 'amendment');
  END IF;
  v_detail := v.amendment;
  IF p_request -> 'refusal' <> 'null' THEN
    v_event := 'refuse_amend';
    v_detail := p_request -> 'refusal';
  ELSIF (v.amendment ->> 'quantity')::numeric <= v.filled_quantity + v.prevented_quantity THEN
    v_event := 'refuse_amend';
    v_detail := '{"code": "too_late", "message": "as much was filled meanwhile"}';
  ELSE
    v := amended(v, v.amendment);
  END IF;
  v.memo := coalesce(p_request -> 'memo', v.memo);
  v_partner := partner(v);
  v_units := least(shared_need(v, v_partner), greatest(v.hold_units, v_partner.hold_units));
  v_held := rehold(v, v_partner, v_units, v_money);
  v := v_held.o;
  v_partner := v_held.p_partner;
  v_money := v_held.p_money;
  v_changes := ARRAY[ROW(v, v_event, v_detail, false)::change];
  IF v_partner.hold_reference IS NOT NULL AND v_money <> no_money() THEN
    v_changes := v_changes || ROW(v_partner, 'resize', '{}', true)::change;
  END IF;
  RETURN commit(v_changes, v_money, '{}', 'order_amended', p_request);
END $$;

-- The trigger of a stop was met: checked again. Takes {orderId, version, token, actor, memo?, evidence, protectionPrice | null,
-- denial: {code, message} | null}. A protection that follows the book never asks for more than the hold.
CREATE FUNCTION orders.trigger(p_request jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  v_taken record := take(p_request);
  v orders := v_taken.o;
  v_refusal jsonb;
  v_protection numeric := (p_request ->> 'protectionPrice')::numeric;
  v_event text := 'trigger';
  v_changes change[];
  v_releases jsonb := '[]';
BEGIN
  IF v_taken.answer IS NOT NULL THEN
    RETURN v_taken.answer;
  END IF;
  v_refusal := coalesce(nullif(p_request -> 'denial', 'null'), halted(v.venue, v.side));
  IF v_refusal IS NOT NULL AND can(v.status, 'deny') THEN
    v_event := 'deny';
    v.reason_code := v_refusal ->> 'code';
    v.reason_message := v_refusal ->> 'message';
  ELSIF NOT v.protection_given AND v.price IS NULL AND v_protection IS NOT NULL THEN
    v.protection_price := CASE v.side WHEN 'buy' THEN least(v.protection_price, v_protection) ELSE v_protection END;
  END IF;
  IF NOT can(v.status, v_event) THEN
    RETURN closed(v, v_event);
  END IF;
  v.memo := coalesce(p_request -> 'memo', v.memo);
  v_changes := ARRAY[ROW(v, v_event, p_request -> 'evidence', false)::change];
  SELECT p_changes, p_releases INTO v_changes, v_releases FROM settle(v_changes, v_releases);
  RETURN commit(v_changes, no_money() || jsonb_build_object('releases', v_releases), '{}', 'order_ended', p_request);
END $$;

-- Orders that an engine was told to look at, after a cursor of (transaction, order). A transaction's number is drawn before it
-- commits, so numbers become visible out of order; but below the oldest transaction that still runs, all are decided. Reading
-- only up to there, nothing can appear behind a cursor. What is cut off comes with the next call. One order is listed once,
-- as it is now: an engine works on states, not on the steps that led there.
CREATE FUNCTION orders.commands_since(p_transaction xid8, p_order uuid, p_limit integer) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = orders, pg_temp AS $$
  WITH page AS (
    SELECT o.commanded_in, o.id, work(o) AS work FROM orders o
    WHERE (o.commanded_in, o.id) > (p_transaction, p_order)
      AND o.commanded_in < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY o.commanded_in, o.id LIMIT p_limit)
  SELECT jsonb_build_object('horizon', pg_snapshot_xmin(pg_current_snapshot())::text,
    'works', coalesce(jsonb_agg(work ORDER BY commanded_in, id), '[]'),
    'last', (SELECT commanded_in || ' ' || id FROM page ORDER BY commanded_in DESC, id DESC LIMIT 1)) FROM page
$$;

-- Dead-man switch: null switches it off. Answers when it acts.
CREATE FUNCTION orders.cancel_after(p_user uuid, p_timeout_ms bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  v_at bigint := now_ms() + nullif(p_timeout_ms, 0);
BEGIN
  PERFORM lock_trader(p_user);
  PERFORM set_config('tidewire.orders', 'dead_man', true);
  UPDATE traders SET dead_man_at_ms = v_at WHERE user_id = p_user;
  PERFORM set_config('tidewire.orders', '', true);
  RETURN v_at;
END $$;

CREATE FUNCTION orders.set_switch(p_scope text, p_state text, p_reason text, p_actor text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
BEGIN
  PERFORM set_config('tidewire.orders', 'switch', true);
  INSERT INTO switches (scope, state, reason, updated_by) VALUES (p_scope, p_state, p_reason, p_actor)
  ON CONFLICT (scope) DO UPDATE SET state = p_state, reason = p_reason, updated_by = p_actor, updated_at = now();
  PERFORM set_config('tidewire.orders', '', true);
END $$;

-- Null rates remove the rule; the one for everybody stays.
CREATE FUNCTION orders.set_fee_rule(
  p_group text, p_venue text, p_symbol text, p_maker numeric, p_taker numeric, p_flat numeric, p_actor text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
BEGIN
  PERFORM set_config('tidewire.orders', 'fees', true);
  IF p_maker IS NULL THEN
    DELETE FROM fee_rules WHERE fee_group IS NOT DISTINCT FROM p_group AND venue IS NOT DISTINCT FROM p_venue
      AND symbol IS NOT DISTINCT FROM p_symbol AND (fee_group IS NOT NULL OR venue IS NOT NULL);
  ELSE
    INSERT INTO fee_rules (fee_group, venue, symbol, maker, taker, flat, updated_by)
    VALUES (p_group, p_venue, p_symbol, p_maker, p_taker, p_flat, p_actor)
    ON CONFLICT ON CONSTRAINT fee_rules_scope DO UPDATE SET maker = p_maker, taker = p_taker, flat = p_flat,
      updated_by = p_actor, updated_at = now();
  END IF;
  PERFORM set_config('tidewire.orders', '', true);
END $$;

CREATE FUNCTION orders.set_fee_group(p_user uuid, p_group text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
BEGIN
  PERFORM lock_trader(p_user);
  PERFORM set_config('tidewire.orders', 'fees', true);
  UPDATE traders SET fee_group = p_group WHERE user_id = p_user;
  PERFORM set_config('tidewire.orders', '', true);
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA orders FROM PUBLIC;
GRANT EXECUTE ON FUNCTION orders.place(jsonb), orders.cancel(jsonb), orders.amend(jsonb), orders.advance(jsonb),
  orders.remember(jsonb), orders.fill(jsonb), orders.decide_amendment(jsonb), orders.trigger(jsonb),
  orders.commands_since(xid8, uuid, integer), orders.cancel_after(uuid, bigint),
  orders.set_switch(text, text, text, text), orders.set_fee_group(uuid, text),
  orders.set_fee_rule(text, text, text, numeric, numeric, numeric, text), orders.quote_facts(uuid, text, text, text, text) TO app_rw;
-- Reads: what makes rows into what users see.
GRANT EXECUTE ON FUNCTION orders.project(orders.orders), orders.work(orders.orders), orders.fees_of(orders.orders),
  orders.project_fill(orders.fills, text), orders.read_list(uuid, uuid),
  orders.project_list(orders.lists, jsonb), orders.plain(numeric), orders.plain_units(numeric) TO app_rw, app_ro;
