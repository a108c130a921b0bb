import { accepted, refused } from '../../kernel/outcome.ts';
import type { Outcome } from '../../kernel/outcome.ts';
import { AMOUNT_LIMIT } from './amounts.ts';

/** Kinds of account that belong to the house; `ledger.account_kinds` says what each means. */
export const HOUSE_KINDS = [
  'escrow',
  'fee',
  'rounding',
  'clearing',
  'equity',
  'venue',
  'chain_hot',
  'chain_cold',
  'psp',
  'network_fee',
  'suspense',
] as const;
export type HouseKind = (typeof HOUSE_KINDS)[number];
/** One side of a transfer. `label` sets several house accounts of one kind apart, such as the exchange's name. */
export type Party = Readonly<{ owner: string }> | Readonly<{ house: HouseKind; label?: string }>;

/** Why money is held: a kind of thing and its id, such as `order` and the order's id. */
export type HoldReason = Readonly<{ purpose: string; reference: string }>;

/** One amount of one asset from one account to another; from the hold when there is one, else from what is available. */
export type Leg = Readonly<{
  asset: string;
  /** Smallest units. */
  amount: bigint;
  /** What the leg is for, such as `trade` or `fee`. */
  code: string;
  from: Party;
  to: Party;
  hold?: HoldReason;
}>;
export type HoldRequest = Readonly<{
  owner: string;
  asset: string;
  amount: bigint;
  reason: HoldReason;
  /** Unix milliseconds on the database's clock. Absent: until it is captured or released. */
  expiresAtMs?: number;
}>;
/** No amount: all that is left. */
export type Release = Readonly<{ owner: string; asset: string; reason: HoldReason; amount?: bigint }>;

/** The scope is whose key it is (a user, a job); the key is theirs to choose, and the same for every try of one command. */
export type CommandKey = Readonly<{ scope: string; key: string }>;
export type CommandOrigin = Readonly<{
  key: CommandKey;
  /** Who does it, for the audit trail. */
  actor: string;
  requestId?: string;
  /** What it is about, such as `order` and its id. */
  reference?: Readonly<{ type: string; id: string }>;
}>;
/** Everything that happens together: money moved, held and given back. */
export type LedgerCommand = CommandOrigin &
  Readonly<{
    kind: string;
    legs?: readonly Leg[];
    holds?: readonly HoldRequest[];
    releases?: readonly Release[];
    /** Id of a journal; then nothing else is given. */
    reverses?: string;
  }>;

export const LEDGER_REFUSALS = [
  'invalid_command',
  'invalid_amount',
  'unknown_asset',
  'mixed_money',
  'nothing_to_do',
  'same_account',
  'key_reused',
  'insufficient_funds',
  'hold_not_found',
  'hold_closed',
  'hold_exceeded',
  'hold_expired',
  'hold_exists',
  'already_reversed',
  'not_reversible',
  'asset_differs',
  'above_limit',
] as const;
export type LedgerRefusal = (typeof LEDGER_REFUSALS)[number];

const LEGS_LIMIT = 64;
const HOLDS_LIMIT = 16;
const RELEASES_LIMIT = 16;
const USER_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
export const ASSET_CODE = /^(?:PAPER:)?[A-Z0-9][A-Z0-9._-]{0,31}$/;
const JOURNAL_ID = /^[1-9][0-9]{0,17}$/;
/** Postgres has no NUL in texts; the other control characters have no business in an id. Lone surrogates are no Unicode. */
const UNFIT_TEXT = /[\p{Cc}\p{Cs}]/u;
const TEXT_LIMITS_CHARS = { scope: 100, key: 200, actor: 100, requestId: 200, name: 40, id: 200, label: 64 } as const;
const LATEST_TIME_MS = 253_402_300_799_999;

type Verdict = Outcome<true, LedgerRefusal>;
const SOUND: Verdict = accepted(true);

/** What can be told without the database. The types are not believed: a number or a fraction of a unit stops here. */
export function decideCommand(command: LedgerCommand): Verdict {
  const { legs = [], holds = [], releases = [] } = command;
  if (legs.length > LEGS_LIMIT || holds.length > HOLDS_LIMIT || releases.length > RELEASES_LIMIT) {
    return refused(
      'invalid_command',
      `at most ${LEGS_LIMIT} legs, ${HOLDS_LIMIT} holds and ${RELEASES_LIMIT} releases`,
    );
  }
  if (command.reverses !== undefined) {
    if (!JOURNAL_ID.test(command.reverses)) return refused('invalid_command', 'this is no id of a journal');
    if (legs.length + holds.length + releases.length > 0)
      return refused('invalid_command', 'a reversal has no legs of its own');
  }
  return firstRefusal([
    originVerdict(command),
    ...legs.map(legVerdict),
    ...holds.map(holdVerdict),
    ...releases.map(releaseVerdict),
  ]);
}

function firstRefusal(verdicts: readonly Verdict[]): Verdict {
  return verdicts.find((verdict) => !verdict.ok) ?? SOUND;
}

function originVerdict({ key, kind, actor, requestId, reference }: LedgerCommand): Verdict {
  const fits =
    isText(key.scope, TEXT_LIMITS_CHARS.scope) &&
    isText(key.key, TEXT_LIMITS_CHARS.key) &&
    isText(kind, TEXT_LIMITS_CHARS.name) &&
    isText(actor, TEXT_LIMITS_CHARS.actor) &&
    (requestId === undefined || isText(requestId, TEXT_LIMITS_CHARS.requestId)) &&
    (reference === undefined ||
      (isText(reference.type, TEXT_LIMITS_CHARS.name) && isText(reference.id, TEXT_LIMITS_CHARS.id)));
  return fits
    ? SOUND
    : refused('invalid_command', 'a text of the command is empty, too long or holds control characters');
}

function legVerdict(leg: Leg): Verdict {
  if (!isText(leg.code, TEXT_LIMITS_CHARS.name)) return refused('invalid_command', 'a leg says what it is for');
  if (leg.hold !== undefined && !('owner' in leg.from)) return refused('invalid_command', 'only users have holds');
  return firstRefusal([
    moneyVerdict(leg),
    partyVerdict(leg.from),
    partyVerdict(leg.to),
    leg.hold ? reasonVerdict(leg.hold) : SOUND,
  ]);
}

function holdVerdict(hold: HoldRequest): Verdict {
  const { expiresAtMs } = hold;
  if (
    expiresAtMs !== undefined &&
    !(Number.isInteger(expiresAtMs) && expiresAtMs > 0 && expiresAtMs <= LATEST_TIME_MS)
  ) {
    return refused('invalid_command', 'a hold expires at a time in Unix milliseconds');
  }
  return firstRefusal([moneyVerdict(hold), partyVerdict(hold), reasonVerdict(hold.reason)]);
}

function releaseVerdict({ owner, asset, amount, reason }: Release): Verdict {
  return firstRefusal([moneyVerdict({ asset, amount: amount ?? 1n }), partyVerdict({ owner }), reasonVerdict(reason)]);
}

function moneyVerdict({ asset, amount }: Readonly<{ asset: string; amount: bigint }>): Verdict {
  if (typeof asset !== 'string' || !ASSET_CODE.test(asset)) return refused('unknown_asset', 'this is no asset code');
  if (typeof amount !== 'bigint' || amount <= 0n || amount >= AMOUNT_LIMIT) {
    return refused('invalid_amount', 'an amount is a positive whole number of smallest units below 1e36');
  }
  return SOUND;
}

function partyVerdict(party: Readonly<{ owner: string }> | Party): Verdict {
  if ('owner' in party) {
    const known = typeof party.owner === 'string' && USER_ID.test(party.owner);
    return known ? SOUND : refused('invalid_command', 'an owner is a user id: a UUID in lower case');
  }
  const { house, label } = party;
  if (!HOUSE_KINDS.includes(house)) return refused('invalid_command', 'the house has no such kind of account');
  if (label === undefined || label === '' || isText(label, TEXT_LIMITS_CHARS.label)) return SOUND;
  return refused('invalid_command', 'a label is a short text');
}

function reasonVerdict({ purpose, reference }: HoldReason): Verdict {
  if (isText(purpose, TEXT_LIMITS_CHARS.name) && isText(reference, TEXT_LIMITS_CHARS.id)) return SOUND;
  return refused('invalid_command', 'a hold has a purpose and a reference');
}

function isText(text: unknown, limitChars: number): boolean {
  return typeof text === 'string' && text.length > 0 && text.length <= limitChars && !UNFIT_TEXT.test(text);
}

export function isUserId(text: unknown): text is string {
  return typeof text === 'string' && USER_ID.test(text);
}

export type TradeSide = Readonly<{
  party: Party;
  /** The side pays from this hold. */
  hold?: HoldReason;
  /** Give back what the hold has left after this trade: it was the last fill. */
  releaseRest?: boolean;
  /** Paid by this side, in whatever asset; from the hold when it is the asset that the hold is in. */
  fee?: Readonly<{ asset: string; amount: bigint }>;
}>;
/**
 * A buyer's quote for a seller's base. `paid` is rounded up and `received` rounded down from one exact product, so that
 * neither side gains by rounding; the difference, at most one unit, goes to the rounding account.
 */
export type Trade = Readonly<{
  base: Readonly<{ asset: string; amount: bigint }>;
  quote: Readonly<{ asset: string; paid: bigint; received: bigint }>;
  buyer: TradeSide;
  seller: TradeSide;
}>;

/** The legs of a trade and what is left of its holds. */
export function decideTrade(
  trade: Trade,
): Outcome<Readonly<{ legs: readonly Leg[]; releases: readonly Release[] }>, LedgerRefusal> {
  const { base, quote, buyer, seller } = trade;
  const remainder = quote.paid - quote.received;
  if (remainder < 0n || quote.received < 0n)
    return refused('invalid_amount', 'a seller cannot receive more than is paid');
  const price = { asset: quote.asset, code: 'trade', from: buyer.party, ...holdOf(buyer) };
  const legs: Leg[] = [
    { ...price, amount: quote.received, to: seller.party },
    { ...price, amount: remainder, to: { house: 'rounding' }, code: 'rounding' },
    { ...base, code: 'trade', from: seller.party, to: buyer.party, ...holdOf(seller) },
    ...feeLegs(buyer, quote.asset),
    ...feeLegs(seller, base.asset),
  ];
  const releases = [...restOf(buyer, quote.asset), ...restOf(seller, base.asset)];
  // Zero remainders, zero fees and prices that round down to nothing move no money.
  return accepted({ legs: legs.filter((leg) => leg.amount !== 0n), releases });
}

function holdOf(side: TradeSide): Readonly<{ hold?: HoldReason }> {
  return side.hold ? { hold: side.hold } : {};
}

function feeLegs(side: TradeSide, heldAsset: string): Leg[] {
  if (!side.fee) return [];
  const leg: Leg = { ...side.fee, code: 'fee', from: side.party, to: { house: 'fee' } };
  return [side.fee.asset === heldAsset ? { ...leg, ...holdOf(side) } : leg];
}

function restOf(side: TradeSide, asset: string): Release[] {
  if (!side.releaseRest || !side.hold || !('owner' in side.party)) return [];
  return [{ owner: side.party.owner, asset, reason: side.hold }];
}
