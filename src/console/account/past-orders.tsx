import type { JSX } from 'preact';
import type { Fill, Order } from '../../protocol/trading.ts';
import { ABSENT, dateAndTime, grouped } from '../format.ts';
import { Panel } from '../parts/panel.tsx';
import { useFills, useOrderHistory } from './data.ts';
import { amountText, assetName } from './money-text.ts';
import { priceText, statusText, typeText } from './order-text.ts';
import { DataTable } from './table.tsx';

const FILL_COLUMNS = [
  { name: 'Time' },
  { name: 'Market' },
  { name: 'Side' },
  { name: 'Quantity', number: true },
  { name: 'Price', number: true },
  { name: 'Value', number: true },
  { name: 'Fee', number: true },
  { name: 'Made from' },
];

/** Each fill with the place of the public book that it was made from. */
export function Fills(): JSX.Element {
  const { rows, loaded } = useFills();
  return (
    <Panel name="fills" title="Fills">
      <DataTable
        label="Fills"
        columns={FILL_COLUMNS}
        loaded={loaded}
        empty="No fills yet. A market order fills at once; a limit order when the market comes to it."
        rows={rows.map((fill) => (
          <FillRow key={fill.id} fill={fill} />
        ))}
      />
    </Panel>
  );
}

function FillRow({ fill }: Readonly<{ fill: Fill }>): JSX.Element {
  const { market, fee } = fill;
  return (
    <tr>
      <td>{dateAndTime(fill.ts)}</td>
      <td>
        {fill.symbol} <span class="soft">{fill.venue}</span>
      </td>
      <td class={fill.side === 'buy' ? 'up' : 'down'}>
        {fill.side} <span class="soft">{fill.liquidity}</span>
      </td>
      <td class="number">{amountText(fill.quantity)}</td>
      <td class="number">{grouped(fill.price)}</td>
      <td class="number">{amountText(fill.quote)}</td>
      <td class="number" title={fee.amount}>
        {amountText(fee.amount)} {assetName(fee.asset)}
      </td>
      <td class="soft" title={market ? `${market.stream} ${market.epoch}` : undefined}>
        {market ? `#${market.seq}, ${market.ageMs} ms old, ${market.latencyMs} ms delay` : ABSENT}
      </td>
    </tr>
  );
}

const ORDER_COLUMNS = [
  { name: 'Placed' },
  { name: 'Market' },
  { name: 'Order' },
  { name: 'Filled of', number: true },
  { name: 'Price', number: true },
  { name: 'Average', number: true },
  { name: 'State' },
];

export function OrderHistory(): JSX.Element {
  const { rows, loaded } = useOrderHistory();
  return (
    <Panel name="history" title="All orders">
      <DataTable
        label="All orders"
        columns={ORDER_COLUMNS}
        loaded={loaded}
        empty="No orders yet. Fill in the ticket to place the first."
        rows={rows.map((order) => (
          <OrderRow key={order.id} order={order} />
        ))}
      />
    </Panel>
  );
}

function OrderRow({ order }: Readonly<{ order: Order }>): JSX.Element {
  return (
    <tr>
      <td>{dateAndTime(order.createdAt)}</td>
      <td>
        {order.symbol} <span class="soft">{order.venue}</span>
      </td>
      <td>
        <span class={order.side === 'buy' ? 'up' : 'down'}>{order.side}</span> {typeText(order)}
      </td>
      <td class="number">
        {amountText(order.filledQuantity)} / {amountText(order.quantity ?? order.quoteQuantity)}
      </td>
      <td class="number">{priceText(order)}</td>
      <td class="number">{order.averagePrice === null ? ABSENT : amountText(order.averagePrice)}</td>
      <td>{statusText(order)}</td>
    </tr>
  );
}
