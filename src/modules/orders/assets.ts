import { accepted, refused } from '../../kernel/outcome.ts';
import type { Outcome } from '../../kernel/outcome.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import type { Ledger } from '../ledger/index.ts';
import { FIXED_SCALE } from './fixed.ts';

/** Defines assets in the ledger the first time that a market needs them. */
export interface AssetBook {
  ensure(codes: readonly string[]): Promise<Outcome<true, ErrorCode>>;
}

/** Assets are never removed, so what was defined once need not be asked for again. Bounded by what venues list. */
export function createAssetBook(ledger: Pick<Ledger, 'defineAsset'>): AssetBook {
  const known = new Set<string>();
  return {
    async ensure(codes) {
      for (const code of codes) {
        if (known.has(code)) continue;
        const defined = await ledger.defineAsset({ code, scale: FIXED_SCALE });
        if (!defined.ok) return refused('market_closed', `the ledger cannot keep ${code}: ${defined.message}`);
        known.add(code);
      }
      return accepted(true);
    },
  };
}
