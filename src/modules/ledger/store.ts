import { sql } from 'drizzle-orm';
import type { SQL } from 'drizzle-orm';
import { assert } from '../../kernel/assert.ts';
import type { Command, Row } from '../../platform/postgres.ts';
import type { UserEvent } from './events.ts';
import { LEDGER_REFUSALS } from './rules.ts';
import type { HoldRequest, LedgerCommand, LedgerRefusal, Leg, Party, Release } from './rules.ts';

/** Each statement is one call of a function of the migrations; the database does the rest. */
export function postStatement(command: LedgerCommand): Command {
  return callOf('ledger.post', sql`select ledger.post(${encodeCommand(command)}::text::jsonb) as answer`);
}

/** `limit` in smallest units: what the user's balance may come to. */
export function grantPaperStatement(command: LedgerCommand, limit: bigint): Command {
  const encoded = encodeCommand(command);
  return callOf(
    'ledger.grant_paper',
    sql`select ledger.grant_paper(${encoded}::text::jsonb, ${limit.toString()}::numeric) as answer`,
  );
}

export function openAccountsStatement(owner: string, assets: readonly string[]): Command {
  const list = `{${assets.map((asset) => JSON.stringify(asset)).join(',')}}`;
  return callOf('ledger.open_accounts', sql`select ledger.open_accounts(${owner}::uuid, ${list}::text[]) as answer`);
}

export function defineAssetStatement(code: string, scale: number): Command {
  return callOf('ledger.define_asset', sql`select ledger.define_asset(${code}, ${scale}) as answer`);
}

export function rollUpStatement(limit: number): Command {
  return callOf('ledger.roll_up', sql`select ledger.roll_up(${limit}) as answer`);
}

/** All of them may run twice: by their key, or because the second run finds nothing left to do. */
function callOf(name: string, statement: SQL): Command {
  return { name, statement, repeatable: true };
}

/** The command's meaning as JSON. Only this is compared when a key comes again, so nothing in it may differ between two tries. */
export function encodeCommand(command: LedgerCommand): string {
  return JSON.stringify({
    scope: command.key.scope,
    key: command.key.key,
    kind: command.kind,
    actor: command.actor,
    requestId: command.requestId,
    referenceType: command.reference?.type,
    referenceId: command.reference?.id,
    reverses: command.reverses,
    legs: encodeAll(command.legs, encodeLeg),
    holds: encodeAll(command.holds, encodeHold),
    releases: encodeAll(command.releases, encodeRelease),
  });
}

/** Nothing and an empty list mean the same and are written the same. */
function encodeAll<T, E>(items: readonly T[] | undefined, encode: (item: T) => E): E[] | undefined {
  return items && items.length > 0 ? items.map(encode) : undefined;
}

function encodeLeg(leg: Leg) {
  const [fromOwner, fromKind, fromLabel] = encodeParty(leg.from);
  const [toOwner, toKind, toLabel] = encodeParty(leg.to);
  return {
    asset: leg.asset,
    amount: leg.amount.toString(),
    code: leg.code,
    fromOwner,
    fromKind,
    fromLabel,
    toOwner,
    toKind,
    toLabel,
    holdPurpose: leg.hold?.purpose,
    holdReference: leg.hold?.reference,
  };
}

function encodeParty(party: Party): [owner: string | null, kind: string, label: string] {
  return 'owner' in party ? [party.owner, 'user', ''] : [null, party.house, party.label ?? ''];
}

function encodeHold({ owner, asset, amount, reason, expiresAtMs }: HoldRequest) {
  return { owner, asset, amount: amount.toString(), ...reason, expiresAtMs };
}

function encodeRelease({ owner, asset, amount, reason }: Release) {
  return { owner, asset, amount: amount?.toString(), ...reason };
}

export type StoredBalance = Readonly<{ owner: string; asset: string; posted: string; held: string; version: number }>;
export type StoredHold = Readonly<{ id: string; purpose: string; reference: string; amount: string }>;
/** The answer of a function as the database gives it. */
export type StoredAnswer =
  | Readonly<{ status: 'refused'; code: LedgerRefusal; message: string }>
  | Readonly<{
      status: 'posted' | 'repeated';
      journalId: string;
      balances: readonly StoredBalance[];
      holds: readonly StoredHold[];
      events: readonly UserEvent[];
    }>
  | Readonly<{ status: 'opened' | 'defined' }>;

export function answerOf(rows: readonly Row[]): StoredAnswer {
  const answer = rows[0]?.answer;
  const parsed = (typeof answer === 'string' ? JSON.parse(answer) : answer) as StoredAnswer | undefined;
  assert(parsed !== undefined && rows.length === 1, 'ledger: a function answers exactly once');
  // Written by our own migration; a code that this list lacks would be a refusal that nobody can understand.
  assert(
    parsed.status !== 'refused' || LEDGER_REFUSALS.includes(parsed.code),
    'ledger: unknown refusal of the database',
  );
  return parsed;
}

export function countOf(rows: readonly Row[]): number {
  return Number(rows[0]?.answer);
}
