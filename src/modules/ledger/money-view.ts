import { assert } from '../../kernel/assert.ts';
import { formatAmount } from './amounts.ts';
import type { Ledger } from './index.ts';
import type { EntryPage, OpenHold } from './queries.ts';

/** What a user's money looks like from outside: decimals as text, in the asset's own units. */
export type BalanceView = Readonly<{ asset: string; total: string; available: string; held: string }>;
export type HoldView = Readonly<{
  id: string;
  asset: string;
  amount: string;
  purpose: string;
  reference: string;
  expiresAt: number | null;
  createdAt: number;
}>;
export type HoldsView = Readonly<{
  holds: readonly HoldView[];
  totals: readonly Readonly<{ asset: string; held: string; explained: string }>[];
}>;
export type EntryView = Readonly<{
  asset: string;
  version: number;
  journalId: string;
  kind: string;
  reference: Readonly<{ type: string; id: string }> | null;
  totalChange: string;
  heldChange: string;
  total: string;
  held: string;
  at: number;
}>;
export type StatementFilter = Omit<EntryPage, 'before'> & Readonly<{ before?: EntryPosition }>;
/** Where a page of the statement ended, to be handed back as `before`. */
export type EntryPosition = Readonly<{ journalId: string; accountId: string; version: string }>;

export type MoneyView = Readonly<{
  balances(owner: string): Promise<BalanceView[]>;
  holds(owner: string): Promise<HoldsView>;
  /** Newest first. `next` is null on the last page. */
  statement(filter: StatementFilter): Promise<Readonly<{ entries: EntryView[]; next: EntryPosition | null }>>;
}>;

/** Scales of assets never change and are read once; one that is not known yet makes it look again. */
export function createMoneyView(ledger: Ledger): MoneyView {
  let scales = new Map<string, number>();
  const load = async (assets: readonly string[]): Promise<(units: bigint, asset: string) => string> => {
    if (assets.some((asset) => !scales.has(asset))) scales = await ledger.assets();
    return (units, asset) => {
      const scale = scales.get(asset);
      assert(scale !== undefined, 'ledger: an account is of a known asset');
      return formatAmount(units, scale);
    };
  };
  return {
    async balances(owner) {
      const balances = await ledger.balances(owner);
      const text = await load(balances.map(({ asset }) => asset));
      return balances.map(({ asset, posted, available, held }) => ({
        asset,
        total: text(posted, asset),
        available: text(available, asset),
        held: text(held, asset),
      }));
    },
    async holds(owner) {
      const { holds, held } = await ledger.heldMoney(owner);
      const text = await load(held.map(({ asset }) => asset));
      return {
        holds: holds.map((hold) => holdView(hold, text(hold.open, hold.asset))),
        totals: held.map(({ asset, held: units }) => {
          const explained = holds.filter((hold) => hold.asset === asset).reduce((sum, { open }) => sum + open, 0n);
          return { asset, held: text(units, asset), explained: text(explained, asset) };
        }),
      };
    },
    async statement({ before, limit, ...filter }) {
      const position = before && {
        journalId: BigInt(before.journalId),
        accountId: BigInt(before.accountId),
        version: BigInt(before.version),
      };
      const rows = await ledger.ownEntries({ ...filter, limit: limit + 1, ...(position && { before: position }) });
      const page = rows.slice(0, limit);
      const text = await load(page.map(({ asset }) => asset));
      const last = page.at(-1);
      return {
        entries: page.map((entry) => ({
          asset: entry.asset,
          version: Number(entry.version),
          journalId: entry.journalId,
          kind: entry.kind,
          reference:
            entry.referenceType === null || entry.referenceId === null
              ? null
              : { type: entry.referenceType, id: entry.referenceId },
          totalChange: text(entry.postedChange, entry.asset),
          heldChange: text(entry.heldChange, entry.asset),
          total: text(entry.posted, entry.asset),
          held: text(entry.held, entry.asset),
          at: entry.atMs,
        })),
        next: rows.length <= limit || last === undefined ? null : positionOf(last),
      };
    },
  };
}

function holdView(hold: OpenHold, amount: string): HoldView {
  const { id, asset, purpose, reference, expiresAtMs, placedAtMs } = hold;
  return { id, asset, amount, purpose, reference, expiresAt: expiresAtMs, createdAt: placedAtMs };
}

function positionOf(entry: Readonly<{ journalId: string; accountId: bigint; version: bigint }>): EntryPosition {
  return { journalId: entry.journalId, accountId: String(entry.accountId), version: String(entry.version) };
}
