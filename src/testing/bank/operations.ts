import { seedFrom, seededRandom } from '../../kernel/random.ts';
import type { Random } from '../../kernel/random.ts';
import type { CommandOrigin, HoldReason, Ledger, Posted, Trade } from '../../modules/ledger/index.ts';

/** The bank that is robbed of its processes: 50 users, four assets with 0, 2, 8 and 18 decimals. */
export const BANK_ASSETS: Readonly<Record<string, number>> = {
  'PAPER:SHARE': 0,
  'PAPER:USDT': 2,
  'PAPER:BTC': 8,
  'PAPER:ETH': 18,
};
const ASSET_NAMES = Object.keys(BANK_ASSETS);
const USERS = 50;
export const BANK_USERS = Array.from({ length: USERS }, (_, index) => userAt(index));
export const FUNDS_WHOLE_UNITS = 1_000n;
/** How far back a release or a trade looks for a hold of the same client. */
const HOLDS_BACK = 60;
/** Most holds end by themselves, so that a long run does not end with all money held. */
const HOLD_LIFE_MS = 1_000;
const EXPIRING = 0.7;

type Money = Readonly<{ asset: string; amount: bigint }>;
type HoldOperation = Money & Readonly<{ kind: 'hold'; owner: string; reason: HoldReason; expires: boolean }>;
export type Operation =
  | HoldOperation
  | (Money & Readonly<{ kind: 'release'; owner: string; reason: HoldReason; all: boolean }>)
  | (Money & Readonly<{ kind: 'transfer'; fromOwner: string; toOwner: string }>)
  | (Money & Readonly<{ kind: 'debit' | 'credit'; owner: string }>)
  | Readonly<{ kind: 'settle'; trade: Trade }>
  | Readonly<{ kind: 'read'; owner: string }>
  | Readonly<{ kind: 'housekeeping' }>;

/** Whose operations these are: one seed and one client always do the same in the same order. */
export type Stream = Readonly<{ seed: number; client: string }>;

function userAt(index: number): string {
  return `00000000-0000-7000-8000-${(index + 1).toString(16).padStart(12, '0')}`;
}

function pick<T>(list: readonly T[], random: Random): T {
  return list[Math.floor(random() * list.length)]!;
}

function amountOf(asset: string, random: Random, wholeUnits = 60): bigint {
  const scale = BigInt(BANK_ASSETS[asset]!);
  return 1n + (BigInt(Math.floor(random() * 1e9)) * BigInt(wholeUnits) * 10n ** scale) / 1_000_000_000n;
}

/** A pure function, so that a client that was killed knows what it had been doing. */
export function operationAt(stream: Stream, number: number): Operation {
  const random = seededRandom(seedFrom(`${stream.seed}/${stream.client}/${number}`));
  const chance = random();
  const owner = pick(BANK_USERS, random);
  const asset = pick(ASSET_NAMES, random);
  const money = { asset, amount: amountOf(asset, random) };
  if (number % 97 === 96) return { kind: 'housekeeping' };
  if (chance < 0.35) {
    return { kind: 'hold', owner, ...money, reason: reasonAt(stream, number), expires: random() < EXPIRING };
  }
  const held = chance < 0.7 ? findHold(stream, number, random) : null;
  if (held && chance < 0.53) {
    const all = random() < 0.7;
    return {
      kind: 'release',
      owner: held.owner,
      asset: held.asset,
      amount: 1n + held.amount / 3n,
      reason: held.reason,
      all,
    };
  }
  if (held) return { kind: 'settle', trade: tradeFrom(held, random) };
  if (chance < 0.85) return { kind: 'transfer', ...money, fromOwner: owner, toOwner: pick(BANK_USERS, random) };
  if (chance < 0.95) return { kind: random() < 0.5 ? 'debit' : 'credit', owner, ...money };
  return { kind: 'read', owner };
}

function reasonAt(stream: Stream, number: number): HoldReason {
  return { purpose: 'order', reference: `${stream.client}-${number}` };
}

/** Only looks at numbers that make holds without looking further back, so it always ends. */
function findHold(stream: Stream, number: number, random: Random): HoldOperation | null {
  for (let tries = 0; tries < 12; tries++) {
    const earlier = number - 1 - Math.floor(random() * HOLDS_BACK);
    if (earlier < 0 || earlier % 97 === 96) continue;
    if (seededRandom(seedFrom(`${stream.seed}/${stream.client}/${earlier}`))() >= 0.35) continue;
    const operation = operationAt(stream, earlier);
    if (operation.kind === 'hold') return operation;
  }
  return null;
}

/** A fill that captures part of the hold: sometimes the last one, sometimes with a unit left by rounding. */
function tradeFrom(held: HoldOperation, random: Random): Trade {
  const base = pick(
    ASSET_NAMES.filter((asset) => asset !== held.asset),
    random,
  );
  const fee = 1n + held.amount / 1_000n;
  const paid = 1n + ((held.amount - fee) * BigInt(Math.floor(random() * 100))) / 100n;
  const seller =
    random() < 0.5 ? { party: { owner: pick(BANK_USERS, random) } } : { party: { house: 'clearing' as const } };
  return {
    base: { asset: base, amount: amountOf(base, random, 20) },
    quote: { asset: held.asset, paid, received: random() < 0.5 ? paid : paid - 1n },
    buyer: {
      party: { owner: held.owner },
      hold: held.reason,
      releaseRest: random() < 0.5,
      fee: random() < 0.5 ? { asset: held.asset, amount: fee } : { asset: base, amount: 1n },
    },
    seller,
  };
}

/** What the intent has to remember because it is not in the operation: it depends on when it was first tried. */
export type Remembered = Readonly<{ expiresAtMs?: number }>;

export function rememberFor(operation: Operation, nowMs: number): Remembered {
  return operation.kind === 'hold' && operation.expires ? { expiresAtMs: nowMs + HOLD_LIFE_MS } : {};
}

export type MoneyOperation = Exclude<Operation, { kind: 'read' | 'housekeeping' }>;

export function perform(
  ledger: Ledger,
  origin: CommandOrigin,
  operation: MoneyOperation,
  remembered: Remembered,
): Posted {
  switch (operation.kind) {
    case 'hold': {
      const { owner, asset, amount, reason } = operation;
      return ledger.hold({ ...origin, owner, asset, amount, reason, ...remembered });
    }
    case 'release': {
      const { owner, asset, amount, reason, all } = operation;
      return ledger.releaseHold({ ...origin, owner, asset, reason, ...(all ? {} : { amount }) });
    }
    case 'transfer': {
      const { fromOwner, toOwner, asset, amount } = operation;
      return ledger.transfer({ ...origin, fromOwner, toOwner, asset, amount });
    }
    case 'debit':
      return ledger.debit({ ...origin, ...moneyOf(operation), to: { house: 'psp', label: 'bank' } });
    case 'credit':
      return ledger.credit({ ...origin, ...moneyOf(operation), from: { house: 'psp', label: 'bank' } });
    case 'settle':
      return ledger.settle({ ...origin, trade: operation.trade });
  }
}

function moneyOf({ owner, asset, amount }: Money & Readonly<{ owner: string }>) {
  return { owner, asset, amount };
}
