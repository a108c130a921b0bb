import { decimalsOf, trimZeros } from '../book-levels.ts';
import { ABSENT, grouped } from '../format.ts';

const PAPER = 'PAPER:';
/** The ledger keeps 18; nobody reads them all. The whole text stands in the cell's title. */
const SHOWN_DECIMALS = 8;

/** `PAPER:USDT` -> `USDT`: the page says elsewhere that all of it is paper. */
export function assetName(asset: string): string {
  return asset.startsWith(PAPER) ? asset.slice(PAPER.length) : asset;
}

/** An amount in few digits, cut and never rounded up, so that nobody is shown money that is not there. */
export function amountText(decimal: string | null): string {
  if (decimal === null) return ABSENT;
  const cut = decimalsOf(decimal) > SHOWN_DECIMALS ? decimal.slice(0, SHOWN_DECIMALS - decimalsOf(decimal)) : decimal;
  return grouped(trimZeros(cut));
}

/** With its sign, for profits. */
export function signedText(decimal: string | null): string {
  if (decimal === null) return ABSENT;
  return decimal.startsWith('-') ? `−${amountText(decimal.slice(1))}` : `+${amountText(decimal)}`;
}

export function toneOfAmount(decimal: string | null): 'up' | 'down' | '' {
  if (decimal === null || /^-?0(?:\.0*)?$/.test(decimal)) return '';
  return decimal.startsWith('-') ? 'down' : 'up';
}

/** A fraction such as `0.0123` as a percentage, for the eye. */
export function percentText(fraction: string | null): string {
  return fraction === null ? ABSENT : `${(Number(fraction) * 100).toFixed(2)} %`;
}
