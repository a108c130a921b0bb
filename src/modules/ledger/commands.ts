import { accepted, refused } from '../../kernel/outcome.ts';
import type { Outcome } from '../../kernel/outcome.ts';
import { assert } from '../../kernel/assert.ts';
import type { Command, Database } from '../../platform/postgres.ts';
import { SCALE_LIMIT } from './amounts.ts';
import type { UserEvent } from './events.ts';
import { readExpiredHolds } from './queries.ts';
import { ASSET_CODE, decideCommand, decideTrade, isUserId } from './rules.ts';
import type { CommandOrigin, HoldRequest, LedgerCommand, LedgerRefusal, Leg, Party, Release, Trade } from './rules.ts';
import {
  answerOf,
  countOf,
  defineAssetStatement,
  grantPaperStatement,
  openAccountsStatement,
  postStatement,
  rollUpStatement,
} from './store.ts';
import type { StoredAnswer } from './store.ts';

export type LedgerDeps = Readonly<{
  database: Database;
  /** Told after commit, once per event as a rule; the log in the database is the truth. Must not throw. */
  tell: (events: readonly UserEvent[]) => void;
}>;

export type PostedBalance = Readonly<{ owner: string; asset: string; posted: bigint; held: bigint; version: number }>;
export type PlacedHold = Readonly<{ id: string; purpose: string; reference: string; amount: bigint }>;
/** What a command did. `repeated`: an earlier try of the same key did it, and this is what it was told. */
export type Posting = Readonly<{
  journalId: string;
  repeated: boolean;
  /** Users' balances right after the command, smallest units. */
  balances: readonly PostedBalance[];
  holds: readonly PlacedHold[];
}>;
export type Posted = Promise<Outcome<Posting, LedgerRefusal>>;

const ASSETS_LIMIT = 200;
const BATCH_LIMIT = 1_000;

/**
 * The one way of every money command into the database: one statement, whole or not at all. A refusal changed nothing and
 * leaves the key free. Rejects with `DatabaseFailure`; after `outcome_unknown`, the same command with the same key tells.
 */
export async function post(deps: LedgerDeps, command: LedgerCommand): Posted {
  const sound = decideCommand(command);
  return sound.ok ? send(deps, postStatement(command)) : sound;
}

async function send(deps: LedgerDeps, statement: Command): Posted {
  const answer = answerOf(await deps.database.runCommand(statement));
  if (answer.status === 'refused') return refused(answer.code, answer.message);
  assert('journalId' in answer, 'ledger: post answers with a journal');
  if (answer.events.length > 0) deps.tell(answer.events);
  return accepted(postingOf(answer));
}

function postingOf(answer: Extract<StoredAnswer, { journalId: string }>): Posting {
  return {
    journalId: answer.journalId,
    repeated: answer.status === 'repeated',
    balances: answer.balances.map((each) => ({ ...each, posted: BigInt(each.posted), held: BigInt(each.held) })),
    holds: answer.holds.map((each) => ({ ...each, amount: BigInt(each.amount) })),
  };
}

type Money = Readonly<{ asset: string; amount: bigint }>;

/** Into what a user owns, from a house account: a deposit, a grant of paper money. */
export function credit(
  deps: LedgerDeps,
  input: CommandOrigin & Money & Readonly<{ owner: string; from: Party }>,
): Posted {
  const { owner, from, asset, amount, ...origin } = input;
  const leg = { asset, amount, code: 'credit', from, to: { owner } };
  return post(deps, { ...origin, kind: 'credit', legs: [leg] });
}

/** Paper money from nowhere, only while the user's balance stays within `limit` (smallest units); else `above_limit`. */
export async function grantPaper(
  deps: LedgerDeps,
  input: CommandOrigin & Money & Readonly<{ owner: string; limit: bigint }>,
): Posted {
  const { owner, asset, amount, limit, ...origin } = input;
  const leg: Leg = { asset, amount, code: 'grant', from: { house: 'equity' }, to: { owner } };
  const command: LedgerCommand = { ...origin, kind: 'grant', legs: [leg] };
  const sound = decideCommand(command);
  return sound.ok ? send(deps, grantPaperStatement(command, limit)) : sound;
}

/** Out of what a user owns and has available, into a house account. */
export function debit(deps: LedgerDeps, input: CommandOrigin & Money & Readonly<{ owner: string; to: Party }>): Posted {
  const { owner, to, asset, amount, ...origin } = input;
  const leg = { asset, amount, code: 'debit', from: { owner }, to };
  return post(deps, { ...origin, kind: 'debit', legs: [leg] });
}

export function transfer(
  deps: LedgerDeps,
  input: CommandOrigin & Money & Readonly<{ fromOwner: string; toOwner: string }>,
): Posted {
  const { fromOwner, toOwner, asset, amount, ...origin } = input;
  const leg = { asset, amount, code: 'transfer', from: { owner: fromOwner }, to: { owner: toOwner } };
  return post(deps, { ...origin, kind: 'transfer', legs: [leg] });
}

/** Keeps money from being spent on anything but its reason. */
export function hold(deps: LedgerDeps, input: CommandOrigin & HoldRequest): Posted {
  const { owner, asset, amount, reason, expiresAtMs, ...origin } = input;
  const request = { owner, asset, amount, reason, ...(expiresAtMs === undefined ? {} : { expiresAtMs }) };
  return post(deps, { ...origin, kind: 'hold', holds: [request] });
}

/** Gives held money back to what is available; all that is left unless an amount is given. */
export function releaseHold(deps: LedgerDeps, input: CommandOrigin & Release): Posted {
  const { owner, asset, amount, reason, ...origin } = input;
  const release = { owner, asset, reason, ...(amount === undefined ? {} : { amount }) };
  return post(deps, { ...origin, kind: 'release', releases: [release] });
}

/** A fill: both assets change hands, fees are taken and the rest of a finished hold is given back, all at once. */
export async function settle(deps: LedgerDeps, input: CommandOrigin & Readonly<{ trade: Trade }>): Posted {
  const { trade, ...origin } = input;
  const decided = decideTrade(trade);
  if (!decided.ok) return decided;
  return post(deps, { ...origin, kind: 'trade', ...decided.value });
}

/** Moves back what a journal moved, once. Holds stay as they are. */
export function reverse(deps: LedgerDeps, input: CommandOrigin & Readonly<{ journalId: string }>): Posted {
  const { journalId, ...origin } = input;
  return post(deps, { ...origin, kind: 'reversal', reverses: journalId });
}

type Done = Promise<Outcome<true, LedgerRefusal>>;

/** Opens a user's accounts with nothing in them; those that are open stay as they are. Crediting opens accounts by itself. */
export async function openAccounts(
  deps: LedgerDeps,
  input: Readonly<{ owner: string; assets: readonly string[] }>,
): Done {
  const { owner, assets } = input;
  if (!isUserId(owner) || assets.length > ASSETS_LIMIT)
    return refused('invalid_command', 'no user id, or too many assets');
  const strange = assets.find((asset) => !ASSET_CODE.test(asset));
  if (strange !== undefined) return refused('unknown_asset', 'this is no asset code');
  return doneOf(answerOf(await deps.database.runCommand(openAccountsStatement(owner, assets))));
}

/** Makes an asset known, once and for ever: its scale gives every stored amount its meaning. */
export async function defineAsset(deps: LedgerDeps, input: Readonly<{ code: string; scale: number }>): Done {
  const { code, scale } = input;
  const fits = ASSET_CODE.test(code) && Number.isInteger(scale) && scale >= 0 && scale <= SCALE_LIMIT;
  if (!fits) return refused('invalid_command', `a code such as BTC or PAPER:BTC, and 0 to ${SCALE_LIMIT} decimals`);
  return doneOf(answerOf(await deps.database.runCommand(defineAssetStatement(code, scale))));
}

function doneOf(answer: StoredAnswer): Outcome<true, LedgerRefusal> {
  return answer.status === 'refused' ? refused(answer.code, answer.message) : accepted(true);
}

/**
 * Releases holds whose time is over, by the database's clock. Answers how many were found; more are waiting while it answers the
 * limit. Each is a command of its own, so that no two users' rows are ever locked together.
 */
export async function expireHolds(deps: LedgerDeps, limit: number): Promise<number> {
  assert(Number.isInteger(limit) && limit > 0 && limit <= BATCH_LIMIT, 'ledger: a batch has 1 to 1,000 holds');
  const expired = await readExpiredHolds(deps.database, limit);
  for (const { id, owner, asset, purpose, reference } of expired) {
    // Refused when it was resolved meanwhile, which is as good.
    await post(deps, {
      key: { scope: 'ledger', key: `expire ${id}` },
      actor: 'ledger',
      kind: 'expiry',
      reference: { type: purpose, id: reference },
      releases: [{ owner, asset, reason: { purpose, reference } }],
    });
  }
  return expired.length;
}

/** Adds queued legs of house accounts to their balance. Answers how many; more are waiting while it answers the limit. */
export async function rollUp(deps: LedgerDeps, limit: number): Promise<number> {
  assert(Number.isInteger(limit) && limit > 0 && limit <= BATCH_LIMIT, 'ledger: a batch has 1 to 1,000 legs');
  return countOf(await deps.database.runCommand(rollUpStatement(limit)));
}
