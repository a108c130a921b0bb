import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { AmendOrder, Order } from '../../protocol/trading.ts';
import { messageOf } from '../rest.ts';
import { useAccount } from './account.ts';
import { formText } from './form-text.ts';
import { newKey } from './new-key.ts';

type Amendable = 'quantity' | 'price' | 'stopPrice';
const LABELS: Readonly<Record<Amendable, string>> = {
  quantity: 'Quantity, filled part included',
  price: 'Limit price',
  stopPrice: 'Trigger price',
};

/** A change of what an order has; what is left as it is, is not sent. */
export function AmendForm({ order, onDone }: Readonly<{ order: Order; onDone: () => void }>): JSX.Element {
  const { link } = useAccount();
  const [problem, setProblem] = useState<string | null>(null);
  const fields = (Object.keys(LABELS) as Amendable[]).filter(
    (field) => order[field] !== null && !(field === 'stopPrice' && order.type === 'trailing_stop'),
  );
  const submit = async (form: FormData): Promise<void> => {
    const change: AmendOrder = {};
    for (const field of fields) {
      const text = formText(form, field).trim();
      if (text !== '' && text !== order[field]) change[field] = text;
    }
    if (Object.keys(change).length === 0) return onDone();
    try {
      await link.client.trading.amend(order.id, change, { idempotencyKey: newKey() });
      onDone();
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  return (
    <form
      class="amend"
      onSubmit={(event) => {
        event.preventDefault();
        void submit(new FormData(event.currentTarget));
      }}
    >
      {fields.map((field) => (
        <label key={field} class="field">
          {LABELS[field]}
          <input name={field} inputMode="decimal" autocomplete="off" maxLength={40} defaultValue={order[field] ?? ''} />
        </label>
      ))}
      <button type="submit" class="primary">
        Change the order
      </button>
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
    </form>
  );
}
