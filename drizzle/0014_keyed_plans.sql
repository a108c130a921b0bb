-- The money commands read by key only. Their plans are generic and kept for as long as a connection lasts, and one that was made
-- when a table was nearly empty scans it, row by row, until it has been analysed next (measured: half of a placement's time after
-- 2,000 orders). So they are planned as if every table was large from the beginning.
ALTER FUNCTION ledger.post(jsonb) SET enable_seqscan = off;
ALTER FUNCTION ledger.append_events(uuid, bigint, jsonb) SET enable_seqscan = off;
ALTER FUNCTION ledger.check_journal() SET enable_seqscan = off;
ALTER FUNCTION orders.place(jsonb) SET enable_seqscan = off;
ALTER FUNCTION orders.advance(jsonb) SET enable_seqscan = off;
ALTER FUNCTION orders.remember(jsonb) SET enable_seqscan = off;
ALTER FUNCTION orders.fill(jsonb) SET enable_seqscan = off;
ALTER FUNCTION orders.cancel(jsonb) SET enable_seqscan = off;
ALTER FUNCTION orders.amend(jsonb) SET enable_seqscan = off;
ALTER FUNCTION orders.decide_amendment(jsonb) SET enable_seqscan = off;
ALTER FUNCTION orders.trigger(jsonb) SET enable_seqscan = off;
