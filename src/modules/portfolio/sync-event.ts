import { assert } from '../../kernel/assert.ts';
import type { BalanceText, SyncEvent, UserEventBody } from '../../protocol/trading.ts';
import { formatAmount } from '../ledger/index.ts';
import type { Balance, BalanceEvent, Ledger, LoggedEvent } from '../ledger/index.ts';

/** Amounts are stored in smallest units; a scale never changes, so what is known once is known for ever. */
export class AssetScales {
  readonly #ledger: Pick<Ledger, 'assets'>;
  #scales: ReadonlyMap<string, number> = new Map();

  constructor(ledger: Pick<Ledger, 'assets'>) {
    this.#ledger = ledger;
  }

  /** Makes `format` know these. Rejects with `DatabaseFailure`. */
  async learn(codes: readonly string[]): Promise<void> {
    if (codes.every((code) => this.#scales.has(code))) return;
    this.#scales = await this.#ledger.assets();
  }

  format(units: bigint, code: string): string {
    const scale = this.#scales.get(code);
    // Every account names its asset by a foreign key.
    assert(scale !== undefined, `portfolio: the scale of ${code} is not known`);
    return formatAmount(units, scale);
  }
}

export function balanceText(balance: Balance, scales: AssetScales): BalanceText {
  const { asset, posted, available, held } = balance;
  return {
    asset,
    total: scales.format(posted, asset),
    available: scales.format(available, asset),
    held: scales.format(held, asset),
  };
}

/** Events as they are told outside. Rejects with `DatabaseFailure` when a new asset's scale has to be looked up. */
export async function syncEvents(events: readonly LoggedEvent[], scales: AssetScales): Promise<SyncEvent[]> {
  await scales.learn(events.filter(isBalance).map(({ payload }) => payload.asset));
  return events.map((event) => ({
    seq: event.seq,
    stream: event.stream,
    streamSeq: event.streamSeq,
    ts: event.atMs,
    data: bodyOf(event, scales),
  }));
}

function isBalance(event: LoggedEvent): event is LoggedEvent & BalanceEvent {
  return event.type === 'balance';
}

/** Other modules store what is told outside; only money is stored in smallest units. */
function bodyOf(event: LoggedEvent, scales: AssetScales): UserEventBody {
  if (isBalance(event)) return { type: 'balance', balance: balanceChange(event.payload, scales) };
  return { type: event.type, [event.type]: event.payload } as unknown as UserEventBody;
}

type BalanceChange = Extract<UserEventBody, { type: 'balance' }>['balance'];

function balanceChange(payload: BalanceEvent['payload'], scales: AssetScales): BalanceChange {
  const { asset, version, kind, journalId, referenceId } = payload;
  const [posted, held] = [BigInt(payload.posted), BigInt(payload.held)];
  return {
    ...balanceText({ asset, posted, held, available: posted - held, version: BigInt(version) }, scales),
    version,
    cause: { kind, journalId, reference: referenceId ?? null },
  };
}
