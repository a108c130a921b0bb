import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Order } from '../../protocol/trading.ts';
import { timeOfDay } from '../format.ts';
import { Panel } from '../parts/panel.tsx';
import { messageOf } from '../rest.ts';
import { useAccount } from './account.ts';
import { AmendForm } from './amend-form.tsx';
import { useOpenOrders } from './data.ts';
import { amountText } from './money-text.ts';
import { priceText, statusText, typeText } from './order-text.ts';
import { DataTable } from './table.tsx';

const COLUMNS = [
  { name: 'Placed' },
  { name: 'Market' },
  { name: 'Order' },
  { name: 'Filled of', number: true },
  { name: 'Price', number: true },
  { name: 'State' },
  { name: '' },
];

/** What can still happen, live, and the way to stop or change it. */
export function OpenOrders(): JSX.Element {
  const { link } = useAccount();
  const stream = useOpenOrders();
  const [problem, setProblem] = useState<string | null>(null);
  const orders = (stream.subscription?.last?.orders ?? []).toSorted((left, right) => right.createdAt - left.createdAt);
  const act = (doing: Promise<unknown>): void => {
    setProblem(null);
    doing.catch((error: unknown) => setProblem(messageOf(error)));
  };
  const cancelAll = orders.length > 1 && (
    <button type="button" onClick={() => act(link.client.trading.cancelAll())}>
      Cancel all
    </button>
  );
  return (
    <Panel name="open-orders" title={`Open orders: ${orders.length}`} stream={stream} actions={cancelAll}>
      {problem && (
        <p class="problem padded" role="alert">
          {problem}
        </p>
      )}
      <DataTable
        label="Open orders"
        columns={COLUMNS}
        empty="No open orders. What you place with the ticket and does not fill at once waits here."
        rows={orders.map((order) => (
          <OpenOrderRow key={order.id} order={order} onCancel={() => act(link.client.trading.cancel(order.id))} />
        ))}
      />
    </Panel>
  );
}

function OpenOrderRow({ order, onCancel }: Readonly<{ order: Order; onCancel: () => void }>): JSX.Element {
  const [amending, setAmending] = useState(false);
  return (
    <>
      <tr data-order={order.id}>
        <td>{timeOfDay(order.createdAt)}</td>
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
        <td>{statusText(order)}</td>
        <td class="row-actions">
          <button type="button" onClick={() => setAmending(!amending)} aria-expanded={amending}>
            Change
          </button>
          <button type="button" onClick={onCancel}>
            Cancel
          </button>
        </td>
      </tr>
      {amending && (
        <tr>
          <td colSpan={COLUMNS.length}>
            <AmendForm order={order} onDone={() => setAmending(false)} />
          </td>
        </tr>
      )}
    </>
  );
}
