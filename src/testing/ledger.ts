import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import type { Outcome } from '../kernel/outcome.ts';
import { createLedger, verifyLedger } from '../modules/ledger/index.ts';
import type { CommandOrigin, HoldReason, Ledger, Posting, UserEvent } from '../modules/ledger/index.ts';
import type { Database } from '../platform/postgres.ts';

/** Four assets with 0, 2, 8 and 18 decimals. */
export const TEST_ASSETS = { 'PAPER:SHARE': 0, 'PAPER:USDT': 2, 'PAPER:BTC': 8, 'PAPER:ETH': 18 } as const;
export type TestAsset = keyof typeof TEST_ASSETS;
export const USDT = 'PAPER:USDT';
export const BTC = 'PAPER:BTC';

export type TestLedger = Readonly<{ ledger: Ledger; database: Database; told: UserEvent[] }>;

export async function createTestLedger(database: Database): Promise<TestLedger> {
  const told: UserEvent[] = [];
  const ledger = createLedger({ database, tell: (events) => told.push(...events) });
  for (const [code, scale] of Object.entries(TEST_ASSETS)) await ledger.defineAsset({ code, scale });
  return { ledger, database, told };
}

/** A fresh key for a command of nobody in particular. */
export function origin(key: string = randomUUID(), scope = 'test'): CommandOrigin {
  return { key: { scope, key }, actor: 'test' };
}

export function reason(reference: string = randomUUID()): HoldReason {
  return { purpose: 'order', reference };
}

/** A user with what is named, in smallest units. */
export async function createFundedUser(ledger: Ledger, funds: Partial<Record<TestAsset, bigint>>): Promise<string> {
  const owner = randomUUID();
  for (const [asset, amount] of Object.entries(funds)) {
    done(await ledger.credit({ ...origin(), owner, asset, amount, from: { house: 'equity' } }));
  }
  return owner;
}

export function done(outcome: Outcome<Posting>): Posting {
  expect(outcome).toMatchObject({ ok: true });
  if (!outcome.ok) throw new Error(outcome.code);
  return outcome.value;
}

export function codeOf(outcome: Outcome<unknown>): string {
  return outcome.ok ? 'accepted' : outcome.code;
}

export async function balanceOf(ledger: Ledger, owner: string, asset: string): Promise<string> {
  const balance = (await ledger.balances(owner)).find((each) => each.asset === asset);
  return balance ? `${balance.posted}/${balance.held}` : 'none';
}

export async function expectSound(database: Database): Promise<void> {
  expect((await verifyLedger(database)).breaches).toEqual([]);
}
