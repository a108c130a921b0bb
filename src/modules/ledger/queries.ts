import { and, asc, desc, eq, gt, gte, lt, lte, sql } from 'drizzle-orm';
import { assert } from '../../kernel/assert.ts';
import type { Database, Queries } from '../../platform/postgres.ts';
import type { HouseKind } from './rules.ts';
import { accounts, assets, balances, entries, holds, journals } from './tables.ts';

/** Smallest units. `available` is what can be spent: posted without what is held. */
export type Balance = Readonly<{ asset: string; posted: bigint; held: bigint; available: bigint; version: bigint }>;
/** One held amount and why it is held. `open` is what is left of it. */
export type OpenHold = Readonly<{
  id: string;
  asset: string;
  purpose: string;
  reference: string;
  amount: bigint;
  open: bigint;
  placedAtMs: number;
  expiresAtMs: number | null;
}>;
/** One line of an account's statement: what a command changed and what stood there afterwards. */
export type StatementLine = Readonly<{
  version: bigint;
  journalId: string;
  kind: string;
  referenceType: string | null;
  referenceId: string | null;
  postedChange: bigint;
  heldChange: bigint;
  posted: bigint;
  held: bigint;
  atMs: number;
}>;
const PAGE_LIMIT = 1_000;

export function readBalances(database: Database, owner: string): Promise<Balance[]> {
  return database.read('ledger.balances', (queries) => selectBalances(queries, owner));
}

/** Part of whatever else is read with `queries`, at the same instant when that is a snapshot. */
export async function selectBalances(queries: Queries, owner: string): Promise<Balance[]> {
  const rows = await queries
    .select()
    .from(accounts)
    .where(and(eq(accounts.ownerId, owner), eq(accounts.kind, 'user')))
    .orderBy(asc(accounts.asset));
  return rows.map(({ asset, posted, held, version }) => ({ asset, posted, held, available: posted - held, version }));
}

/** What a kind of house account holds, by asset and label; negative where it is the other side of what users own. */
export function readHouseBalances(
  database: Database,
  house: HouseKind,
): Promise<Readonly<{ asset: string; label: string; posted: bigint }>[]> {
  return database.read('ledger.house_balances', async (queries) => {
    const rows = await queries
      .select()
      .from(balances)
      .where(eq(balances.kind, house))
      .orderBy(asc(balances.asset), asc(balances.label));
    return rows.map(({ asset, label, posted }) => ({ asset, label, posted }));
  });
}

/** Every unit that a user cannot spend, with its reason. */
export function readOpenHolds(database: Database, owner: string): Promise<OpenHold[]> {
  return database.read('ledger.open_holds', (queries) => selectOpenHolds(queries, owner));
}

async function selectOpenHolds(queries: Queries, owner: string): Promise<OpenHold[]> {
  const rows = await queries
    .select({ hold: holds, asset: accounts.asset })
    .from(holds)
    .innerJoin(accounts, eq(accounts.id, holds.accountId))
    .where(and(eq(accounts.ownerId, owner), sql`${holds.captured} + ${holds.released} < ${holds.amount}`))
    .orderBy(asc(holds.id))
    .limit(PAGE_LIMIT);
  return rows.map(({ hold, asset }) => ({
    id: hold.id.toString(),
    asset,
    purpose: hold.purpose,
    reference: hold.referenceId,
    amount: hold.amount,
    open: hold.amount - hold.captured - hold.released,
    placedAtMs: hold.createdAt.getTime(),
    expiresAtMs: hold.expiresAt?.getTime() ?? null,
  }));
}

/** What is held on a user's accounts, and the holds that explain it, at one instant. */
export type HeldMoney = Readonly<{
  holds: readonly OpenHold[];
  held: readonly Readonly<{ asset: string; held: bigint }>[];
}>;

export function readHeldMoney(database: Database, owner: string): Promise<HeldMoney> {
  return database.transaction({ name: 'ledger.held_money', mode: 'snapshot' }, (queries) =>
    selectHeldMoney(queries, owner),
  );
}

/** One instant only when `queries` are of a snapshot. */
async function selectHeldMoney(queries: Queries, owner: string): Promise<HeldMoney> {
  const held = await queries
    .select({ asset: accounts.asset, held: accounts.held })
    .from(accounts)
    .where(and(eq(accounts.ownerId, owner), eq(accounts.kind, 'user'), gt(accounts.held, 0n)))
    .orderBy(asc(accounts.asset));
  return { held, holds: await selectOpenHolds(queries, owner) };
}

export type ExpiredHold = Readonly<{ id: string; owner: string; asset: string; purpose: string; reference: string }>;

/** Holds past their time that still hold something, by the database's clock. */
export function readExpiredHolds(database: Database, limit: number): Promise<ExpiredHold[]> {
  assertLimit(limit);
  return database.read('ledger.expired_holds', async (queries) => {
    const rows = await queries
      .select({ hold: holds, owner: accounts.ownerId, asset: accounts.asset })
      .from(holds)
      .innerJoin(accounts, eq(accounts.id, holds.accountId))
      .where(sql`${holds.expiresAt} <= clock_timestamp() and ${holds.captured} + ${holds.released} < ${holds.amount}`)
      .orderBy(asc(holds.expiresAt))
      .limit(limit);
    return rows.map(({ hold, owner, asset }) => {
      assert(owner !== null, 'ledger: only users have holds');
      return { id: hold.id.toString(), owner, asset, purpose: hold.purpose, reference: hold.referenceId };
    });
  });
}

/** Newest first; `before` is the version of the last line of the page before. */
export function readStatement(
  database: Database,
  page: Readonly<{ owner: string; asset: string; before?: bigint; limit: number }>,
): Promise<StatementLine[]> {
  assertLimit(page.limit);
  return database.read('ledger.statement', async (queries) => {
    const rows = await queries
      .select({ entry: entries, journal: journals })
      .from(accounts)
      .innerJoin(entries, eq(entries.accountId, accounts.id))
      .innerJoin(journals, eq(journals.id, entries.journalId))
      .where(
        and(
          eq(accounts.ownerId, page.owner),
          eq(accounts.asset, page.asset),
          eq(accounts.kind, 'user'),
          page.before === undefined ? undefined : lt(entries.version, page.before),
        ),
      )
      .orderBy(desc(entries.version))
      .limit(page.limit);
    return rows.map(({ entry, journal }) => lineOf(entry, journal));
  });
}

/** One change of one of a user's balances. */
export type OwnEntry = StatementLine & Readonly<{ asset: string; accountId: bigint }>;
export type EntryPage = Readonly<{
  owner: string;
  asset?: string;
  kind?: string;
  /** Unix milliseconds, both inclusive. */
  fromMs?: number;
  toMs?: number;
  /** The last entry of the page before. */
  before?: Readonly<{ journalId: bigint; accountId: bigint; version: bigint }>;
  limit: number;
}>;

/** Over all of a user's accounts, newest journal first. */
export function readOwnEntries(database: Database, page: EntryPage): Promise<OwnEntry[]> {
  assertLimit(page.limit);
  const { before } = page;
  return database.read('ledger.own_entries', async (queries) => {
    const rows = await queries
      .select({ entry: entries, journal: journals, asset: accounts.asset })
      .from(accounts)
      .innerJoin(entries, eq(entries.accountId, accounts.id))
      .innerJoin(journals, eq(journals.id, entries.journalId))
      .where(
        and(
          eq(accounts.ownerId, page.owner),
          eq(accounts.kind, 'user'),
          page.asset === undefined ? undefined : eq(accounts.asset, page.asset),
          page.kind === undefined ? undefined : eq(journals.kind, page.kind),
          page.fromMs === undefined ? undefined : gte(journals.createdAt, new Date(page.fromMs)),
          page.toMs === undefined ? undefined : lte(journals.createdAt, new Date(page.toMs)),
          before === undefined
            ? undefined
            : sql`(${entries.journalId}, ${entries.accountId}, ${entries.version}) < (${before.journalId}::bigint, ${before.accountId}::bigint, ${before.version}::bigint)`,
        ),
      )
      .orderBy(desc(entries.journalId), desc(entries.accountId), desc(entries.version))
      .limit(page.limit);
    return rows.map(({ entry, journal, asset }) => ({ ...lineOf(entry, journal), asset, accountId: entry.accountId }));
  });
}

function lineOf(entry: typeof entries.$inferSelect, journal: typeof journals.$inferSelect): StatementLine {
  return {
    version: entry.version,
    journalId: entry.journalId.toString(),
    kind: journal.kind,
    referenceType: journal.referenceType,
    referenceId: journal.referenceId,
    postedChange: entry.postedChange,
    heldChange: entry.heldChange,
    posted: entry.posted,
    held: entry.held,
    atMs: journal.createdAt.getTime(),
  };
}

/** Decimals of every known asset. */
export function readAssets(database: Database): Promise<Map<string, number>> {
  return database.read('ledger.assets', async (queries) => {
    const rows = await queries.select().from(assets);
    return new Map(rows.map(({ code, scale }) => [code, scale]));
  });
}

function assertLimit(limit: number): void {
  assert(Number.isInteger(limit) && limit > 0 && limit <= PAGE_LIMIT, `ledger: a page has 1 to ${PAGE_LIMIT} rows`);
}
