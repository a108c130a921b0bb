-- Paper money on request. Like `ledger.post` for one leg to a user, but only while the balance stays within `p_limit` smallest
-- units. Answers as `ledger.post` does, and `above_limit` besides.
CREATE FUNCTION ledger.grant_paper(p_command jsonb, p_limit numeric) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ledger, pg_temp AS $$
DECLARE
  v_leg jsonb := p_command -> 'legs' -> 0;
  v_owner uuid := (v_leg ->> 'toOwner')::uuid;
  v_asset text := v_leg ->> 'asset';
BEGIN
  IF jsonb_array_length(p_command -> 'legs') <> 1 OR v_owner IS NULL OR v_asset NOT LIKE 'PAPER:%' THEN
    RETURN refused('invalid_command', 'a grant is one leg of paper money to a user');
  END IF;
  -- The account may not exist yet, so that there is no row to lock. Only grants take this lock, and before all others.
  PERFORM pg_advisory_xact_lock(hashtextextended('ledger.grant_paper ' || v_owner || ' ' || v_asset, 0));
  IF NOT EXISTS (SELECT FROM journals WHERE scope = p_command ->> 'scope' AND key = p_command ->> 'key')
    AND coalesce((SELECT posted FROM accounts WHERE id = find_account(v_owner, v_asset, 'user', '')), 0)
      + (v_leg ->> 'amount')::numeric > p_limit
  THEN
    RETURN refused('above_limit', 'the balance would be more than paper money is given for');
  END IF;
  RETURN post(p_command);
END $$;
REVOKE ALL ON FUNCTION ledger.grant_paper(jsonb, numeric) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.grant_paper(jsonb, numeric) TO app_rw;
