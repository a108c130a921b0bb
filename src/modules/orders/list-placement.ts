import { accepted, refused } from '../../kernel/outcome.ts';
import type { Outcome } from '../../kernel/outcome.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import type { Market } from '../../protocol/market.ts';
import type { OrderList, PlaceList, PlaceOrder } from '../../protocol/trading.ts';
import { referencePrice } from './books.ts';
import { keysOf, keyVerdict, repeatedOr, submit } from './commands.ts';
import type { CommandDeps } from './commands.ts';
import type { Caller, Done, RequestKey } from './desk.ts';
import { fieldsVerdict, SOUND } from './field-rules.ts';
import type { Verdict } from './field-rules.ts';
import { fixed, plain } from './fixed.ts';
import type { Fixed } from './fixed.ts';
import { marketVerdict, openVerdict } from './market-rules.ts';
import { hashOf } from './store.ts';
import { columnsOf, findMarket, freshBook, priceOrder, stale } from './placement.ts';
import type { OrderColumns } from './placement.ts';

type Role = NonNullable<OrderColumns['role']>;
type Leg = Readonly<{ role: Role; order: PlaceOrder }>;
type Legs = Outcome<Readonly<{ market: Market; columns: readonly OrderColumns[] }>, ErrorCode>;

export async function placeList(deps: CommandDeps, caller: Caller, list: PlaceList, key: RequestKey): Done<OrderList> {
  const usable = keyVerdict(key);
  if (!usable.ok) return usable;
  const keys = keysOf(key, 'list', list.clientOrderId);
  const prepared = await prepareLegs(deps, list);
  if (!prepared.ok) {
    return repeatedOr<OrderList>(deps, caller.userId, keys, hashOf('place_list', list), prepared);
  }
  const { columns } = prepared.value;
  const known = await deps.assets.ensure([columns[0]!.base, columns[0]!.quote]);
  if (!known.ok) return known;
  const id = deps.newId();
  return submit<OrderList>(deps, caller, {
    keys,
    hash: hashOf('place_list', list),
    orders: columns.map((column) => ({ ...column, list_id: id })),
    list: { id, kind: list.kind, clientOrderId: list.clientOrderId ?? null },
  });
}

async function prepareLegs(deps: CommandDeps, list: PlaceList): Promise<Legs> {
  const found = findMarket(deps.directory, list.venue, list.symbol);
  if (!found.ok) return found;
  const open = openVerdict(found.value);
  if (!open.ok) return open;
  const book = await freshBook(deps.books, list.venue, list.symbol);
  const legs = legsOf(list);
  const columns: OrderColumns[] = [];
  for (const { role, order } of legs) {
    const fits = fieldsVerdict(order, deps.now());
    if (!fits.ok) return fits;
    const priced = priceOrder(order, found.value, book);
    if (!priced.ok) return priced;
    const sound = marketVerdict(order, found.value, priced.value.reference);
    if (!sound.ok) return sound;
    const column = columnsOf(deps, order, found.value, priced.value.protection);
    // Exits of a bracket begin with nothing and grow with what the entry's fills bring.
    columns.push({ ...column, role, ...(isExit(role) ? { quantity: '0' } : {}) });
  }
  const reference = book && referencePrice(book);
  if (reference === null) return stale();
  const ordered = pricesVerdict(list, reference);
  return ordered.ok ? accepted({ market: found.value, columns }) : ordered;
}

function isExit(role: Role): boolean {
  return role === 'take_profit' || role === 'stop_loss';
}

/** In the order of their ids; the first one carries the hold. */
function legsOf(list: PlaceList): Leg[] {
  const { account, venue, symbol, side, quantity } = list;
  const common = { account, venue, symbol, quantity, side };
  const trigger = list.trigger === undefined ? {} : { trigger: list.trigger };
  const stop = list.kind === 'oco' ? list.stop : list.stopLoss;
  const stopFields = {
    ...trigger,
    stopPrice: stop.stopPrice,
    ...(stop.price === undefined ? { type: 'stop' as const } : { type: 'stop_limit' as const, price: stop.price }),
  };
  if (list.kind === 'oco') {
    return [
      { role: 'limit', order: { ...common, type: 'limit', price: list.limit.price } },
      { role: 'stop', order: { ...common, ...stopFields } },
    ];
  }
  const { type, price } = list.entry;
  const exit = { ...common, side: side === 'buy' ? ('sell' as const) : ('buy' as const) };
  return [
    { role: 'entry', order: { ...common, type, ...(price === undefined ? {} : { price }) } },
    { role: 'take_profit', order: { ...exit, type: 'limit', price: list.takeProfit.price } },
    { role: 'stop_loss', order: { ...exit, ...stopFields } },
  ];
}

/**
 * An OCO has the market between its limit and its stop, else one of them would be executed at once; a bracket has its entry
 * between its exits.
 */
function pricesVerdict(list: PlaceList, reference: Fixed): Verdict {
  const isOco = list.kind === 'oco';
  const middle = isOco || list.entry.price === undefined ? reference : fixed(list.entry.price);
  const limit = fixed(isOco ? list.limit.price : list.takeProfit.price);
  const stop = fixed(isOco ? list.stop.stopPrice : list.stopLoss.stopPrice);
  const sells = isOco ? list.side === 'sell' : list.side === 'buy';
  const inOrder = sells ? limit > middle && middle > stop : limit < middle && middle < stop;
  if (inOrder) return SOUND;
  const [what, sign] = [isOco ? 'market' : 'entry', sells ? '>' : '<'];
  return refused(
    'invalid_order',
    `limit ${plain(limit)} ${sign} ${what} ${plain(middle)} ${sign} stop ${plain(stop)} must hold`,
  );
}
