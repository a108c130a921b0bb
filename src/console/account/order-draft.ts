import type { OrderType, PlaceList, PlaceOrder, QuoteRequest } from '../../protocol/trading.ts';

/** What the ticket offers: every order type, and the two kinds of lists. */
export const TICKET_KINDS = {
  market: 'Market',
  limit: 'Limit',
  stop: 'Stop',
  stop_limit: 'Stop limit',
  take_profit: 'Take profit',
  take_profit_limit: 'Take profit limit',
  trailing_stop: 'Trailing stop',
  oco: 'One cancels the other',
  bracket: 'Bracket',
} as const satisfies Readonly<Record<OrderType | 'oco' | 'bracket', string>>;
export type TicketKind = keyof typeof TICKET_KINDS;

/** What stands in the ticket's fields, as it was typed. */
export type OrderDraft = Readonly<{
  kind: TicketKind;
  side: 'buy' | 'sell';
  /** Of a market buy: `quantity` is what to spend, in the quote asset. */
  spend: boolean;
  quantity: string;
  price: string;
  stopPrice: string;
  /** Makes the stop leg of a list a stop-limit. */
  stopLimitPrice: string;
  takeProfit: string;
  trailingPercent: string;
  activationPrice: string;
  trigger: 'last' | 'bid_ask' | 'mid';
  timeInForce: 'GTC' | 'IOC' | 'FOK' | 'GTD';
  expireInMs: number;
  postOnly: boolean;
  /** Of a bracket. */
  entry: 'market' | 'limit';
}>;
export type DraftField = keyof OrderDraft;

export const EMPTY_DRAFT: OrderDraft = {
  kind: 'market',
  side: 'buy',
  spend: false,
  quantity: '',
  price: '',
  stopPrice: '',
  stopLimitPrice: '',
  takeProfit: '',
  trailingPercent: '1',
  activationPrice: '',
  trigger: 'last',
  timeInForce: 'GTC',
  expireInMs: 3_600_000,
  postOnly: false,
  entry: 'market',
};

const FIELDS: Readonly<Record<TicketKind, readonly DraftField[]>> = {
  market: ['quantity'],
  limit: ['quantity', 'price', 'timeInForce', 'postOnly'],
  stop: ['quantity', 'stopPrice', 'trigger'],
  stop_limit: ['quantity', 'stopPrice', 'price', 'trigger', 'timeInForce'],
  take_profit: ['quantity', 'stopPrice', 'trigger'],
  take_profit_limit: ['quantity', 'stopPrice', 'price', 'trigger', 'timeInForce'],
  trailing_stop: ['quantity', 'trailingPercent', 'activationPrice', 'trigger'],
  oco: ['quantity', 'price', 'stopPrice', 'stopLimitPrice', 'trigger'],
  bracket: ['quantity', 'entry', 'price', 'takeProfit', 'stopPrice', 'stopLimitPrice', 'trigger'],
};

/** The fields that mean something for this draft, in the order of the ticket. */
export function fieldsOf(draft: OrderDraft): readonly DraftField[] {
  const fields = FIELDS[draft.kind];
  if (draft.kind === 'market' && draft.side === 'buy') return ['spend', ...fields];
  if (draft.kind === 'bracket' && draft.entry === 'market') return fields.filter((field) => field !== 'price');
  return fields.includes('timeInForce') && draft.timeInForce === 'GTD' ? [...fields, 'expireInMs'] : fields;
}

/** As the server's: positive, plain, at most 18 decimals. */
const AMOUNT = /^(?!0(?:\.0*)?$)(?:0|[1-9][0-9]{0,19})(?:\.[0-9]{1,18})?$/;
const PERCENT = /^(?:0|[1-9][0-9]?)(?:\.[0-9]{1,2})?$/;
const OPTIONAL_AMOUNTS: ReadonlySet<DraftField> = new Set(['activationPrice', 'stopLimitPrice']);
const AMOUNT_FIELDS = ['quantity', 'price', 'stopPrice', 'stopLimitPrice', 'takeProfit', 'activationPrice'] as const;

export type DraftProblem = Readonly<{ field: DraftField; text: string }>;

/** The first field that cannot be sent as it stands; null when the server may be asked. */
export function problemOf(draft: OrderDraft): DraftProblem | null {
  const fields = fieldsOf(draft);
  for (const field of AMOUNT_FIELDS) {
    if (!fields.includes(field)) continue;
    const text = draft[field].trim();
    if (text === '' && OPTIONAL_AMOUNTS.has(field)) continue;
    if (text === '') return { field, text: 'is missing' };
    if (!AMOUNT.test(text)) return { field, text: 'must be a positive number such as 0.015' };
  }
  if (fields.includes('trailingPercent') && bipsOf(draft.trailingPercent) === null) {
    return { field: 'trailingPercent', text: 'must be between 0.1 and 50 percent, with two decimals at most' };
  }
  return null;
}

const BIPS_LIMITS = { min: 10, max: 5_000 };

/** Hundredths of a percent, exactly; null outside of what the server takes. */
function bipsOf(percent: string): number | null {
  const text = percent.trim();
  if (!PERCENT.test(text)) return null;
  const [whole = '0', fraction = ''] = text.split('.');
  const bips = Number(whole) * 100 + Number(fraction.padEnd(2, '0'));
  return bips >= BIPS_LIMITS.min && bips <= BIPS_LIMITS.max ? bips : null;
}

export type DraftMarket = Readonly<{ venue: string; symbol: string }>;
export type DraftedOrder =
  | Readonly<{ list: false; order: PlaceOrder & QuoteRequest }>
  | Readonly<{ list: true; order: PlaceList }>;

/** What to send for a draft without a problem. `nowMs` is Unix ms. */
export function orderOf(draft: OrderDraft, { venue, symbol }: DraftMarket, nowMs: number): DraftedOrder {
  const place = { account: 'paper' as const, venue, symbol, side: draft.side };
  if (draft.kind === 'oco' || draft.kind === 'bracket') return { list: true, order: listOf(draft, place) };
  const fields = new Set(fieldsOf(draft));
  const { quantity, price, stopPrice, activationPrice, trigger, timeInForce, postOnly } = draft;
  const byQuote = draft.kind === 'market' && draft.side === 'buy' && draft.spend;
  const order: PlaceOrder & QuoteRequest = {
    ...place,
    type: draft.kind,
    ...(byQuote ? { quoteQuantity: quantity.trim() } : { quantity: quantity.trim() }),
    ...(fields.has('price') && { price: price.trim() }),
    ...(fields.has('stopPrice') && { stopPrice: stopPrice.trim() }),
    ...(fields.has('trigger') && { trigger }),
    ...(fields.has('trailingPercent') && { trailingDelta: bipsOf(draft.trailingPercent)! }),
    ...(fields.has('activationPrice') && activationPrice.trim() !== '' && { activationPrice: activationPrice.trim() }),
    ...(fields.has('timeInForce') && { timeInForce }),
    ...(fields.has('expireInMs') && { expireAt: nowMs + draft.expireInMs }),
    ...(fields.has('postOnly') && postOnly && { postOnly }),
  };
  return { list: false, order };
}

type Place = Readonly<{ account: 'paper'; venue: string; symbol: string; side: 'buy' | 'sell' }>;

function listOf(draft: OrderDraft, place: Place): PlaceList {
  const { entry, trigger } = draft;
  const quantity = draft.quantity.trim();
  const price = draft.price.trim();
  const stopLimit = draft.stopLimitPrice.trim();
  const stop = { stopPrice: draft.stopPrice.trim(), ...(stopLimit !== '' && { price: stopLimit }) };
  if (draft.kind === 'oco') return { kind: 'oco', ...place, quantity, limit: { price }, stop, trigger };
  return {
    kind: 'bracket',
    ...place,
    quantity,
    entry: entry === 'limit' ? { type: 'limit', price } : { type: 'market' },
    takeProfit: { price: draft.takeProfit.trim() },
    stopLoss: stop,
    trigger,
  };
}
