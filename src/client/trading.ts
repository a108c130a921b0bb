import type { Random } from '../kernel/random.ts';
import type { TradingResult } from '../protocol/methods.ts';
import type { AmendOrder, PlaceList, PlaceOrder, QuoteRequest } from '../protocol/trading.ts';
import type { CommandOptions, Commands } from './commands.ts';

/** `idempotencyKey`: 1 to 128 visible ASCII characters, the same for every try of one command; made here when left out. */
export type WriteOptions = CommandOptions & Readonly<{ idempotencyKey?: string }>;

/**
 * Order commands. Each answers once it is durable; what follows comes on the stream `orders`. They wait for a connection, go on
 * over a lost one, and reject with a `ClientError`: the server's code, `timeout`, or `stopped`.
 */
export type Trading = Readonly<{
  place(order: PlaceOrder, options?: WriteOptions): Promise<TradingResult<'order.place'>>;
  placeList(list: PlaceList, options?: WriteOptions): Promise<TradingResult<'order.place_list'>>;
  amend(orderId: string, change: AmendOrder, options?: WriteOptions): Promise<TradingResult<'order.amend'>>;
  cancel(orderId: string, options?: CommandOptions): Promise<TradingResult<'order.cancel'>>;
  cancelAll(
    filter?: Readonly<{ venue?: string; symbol?: string }>,
    options?: CommandOptions,
  ): Promise<TradingResult<'order.cancel_all'>>;
  /** Dead man's switch: milliseconds from now; 0 switches it off. */
  cancelAfter(timeoutMs: number, options?: CommandOptions): Promise<TradingResult<'order.cancel_after'>>;
  quote(order: QuoteRequest, options?: CommandOptions): Promise<TradingResult<'order.quote'>>;
  balances(options?: CommandOptions): Promise<TradingResult<'balances'>>;
}>;

export function createTrading(commands: Commands, random: Random): Trading {
  const keyed = ({ idempotencyKey = newKey(random) }: WriteOptions = {}) => ({ idempotencyKey });
  return {
    place: (order, options) => commands.call('order.place', { ...order, ...keyed(options) }, options),
    placeList: (list, options) => commands.call('order.place_list', { ...list, ...keyed(options) }, options),
    amend: (orderId, change, options) =>
      commands.call('order.amend', { orderId, ...change, ...keyed(options) }, options),
    cancel: (orderId, options) => commands.call('order.cancel', { orderId }, options),
    cancelAll: (filter = {}, options) => commands.call('order.cancel_all', filter, options),
    cancelAfter: (timeoutMs, options) => commands.call('order.cancel_after', { timeoutMs }, options),
    quote: (order, options) => commands.call('order.quote', order, options),
    balances: (options) => commands.call('balances', {}, options),
  };
}

const KEY_WORDS = 4;

/** `crypto.randomUUID` does not exist on pages that came over plain http. */
function newKey(random: Random): string {
  const words = Array.from({ length: KEY_WORDS }, () => Math.floor(random() * 2 ** 32).toString(36));
  return words.join('-');
}
