import type { Fill, Order } from '../../protocol/trading.ts';

/** What stands in a user's log about orders, each in the shape of the wire. An `order` is whole, as it was after the step. */
export type OrderNews = Readonly<{ type: 'order'; payload: Order }> | Readonly<{ type: 'fill'; payload: Fill }>;
