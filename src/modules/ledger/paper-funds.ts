import { assert } from '../../kernel/assert.ts';
import { accepted, refused } from '../../kernel/outcome.ts';
import type { Outcome } from '../../kernel/outcome.ts';
import { parseAmount } from './amounts.ts';
import type { CommandOrigin } from './rules.ts';
import type { Ledger } from './index.ts';

/** Paper money is an asset of its own name, so that it can never meet real money. */
const PREFIX = 'PAPER:';
export const PAPER_SCALE = 18;
/** What a user's balance of one paper asset may come to by asking for more; whole units. */
export const PAPER_FUNDS_LIMIT = 10_000_000n;

export type PaperFunds = Readonly<{ code: string; amount: string }>;

/** `BTC` and `PAPER:BTC` both name `PAPER:BTC`. */
export function paperAsset(code: string): string {
  return code.startsWith(PREFIX) ? code : PREFIX + code;
}

/** What a new user begins with; the same key however often it is called, so that it happens once per user. */
export async function grantInitialFunds(
  ledger: Ledger,
  userId: string,
  funds: readonly PaperFunds[],
  actor: string,
): Promise<void> {
  for (const { code, amount } of funds) {
    const origin = { key: { scope: userId, key: `initial funds ${paperAsset(code)}` }, actor };
    const given = await givePaperFunds(ledger, { ...origin, owner: userId, asset: paperAsset(code), amount });
    assert(given.ok, `ledger: initial funds of ${code} cannot be given: ${given.ok ? '' : given.message}`);
  }
}

export type FundsRefusal = 'invalid_amount' | 'above_maximum' | 'key_reused';

/**
 * Gives a user paper money from house equity, as long as the balance stays within `PAPER_FUNDS_LIMIT`. Whoever calls has made
 * sure that the asset is one that is traded: it becomes known to the ledger for ever. `reference` is the journal's.
 */
export async function givePaperFunds(
  ledger: Ledger,
  input: CommandOrigin & Readonly<{ owner: string; asset: string; amount: string }>,
): Promise<Outcome<Readonly<{ journalId: string; repeated: boolean }>, FundsRefusal>> {
  const { amount: text, ...command } = input;
  const scale = (await ledger.assets()).get(input.asset) ?? PAPER_SCALE;
  const amount = parseAmount(text, scale);
  if (!amount.ok) return amount;
  const defined = await ledger.defineAsset({ code: input.asset, scale });
  assert(defined.ok, `ledger: ${input.asset} cannot be a paper asset`);
  const limit = PAPER_FUNDS_LIMIT * 10n ** BigInt(scale);
  const granted = await ledger.grantPaper({ ...command, amount: amount.value, limit });
  if (granted.ok) {
    const { journalId, repeated } = granted.value;
    return accepted({ journalId, repeated });
  }
  if (granted.code === 'above_limit') {
    return refused('above_maximum', `at most ${PAPER_FUNDS_LIMIT} of one paper asset can be had this way`);
  }
  assert(granted.code === 'key_reused', `ledger: a grant was refused as ${granted.code}`);
  return refused(granted.code, 'this key belongs to another request');
}
