import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { messageOf } from '../rest.ts';
import { formText } from './form-text.ts';
import { useAccount } from './account.ts';
import { amountText, assetName } from './money-text.ts';
import { newKey } from './new-key.ts';

type Given = Readonly<{ asset: string; amount: string }>;
const ASSETS = ['USDT', 'USD', 'BTC', 'ETH'];

/** More paper money, through the ledger like everything else. */
export function PaperFunds(): JSX.Element {
  const { session } = useAccount();
  const [answer, setAnswer] = useState<Readonly<{ good: boolean; text: string }> | null>(null);
  const [busy, setBusy] = useState(false);
  const ask = async (form: FormData): Promise<void> => {
    setBusy(true);
    setAnswer(null);
    try {
      const body = { asset: formText(form, 'asset'), amount: formText(form, 'amount').trim() };
      const headers = { 'idempotency-key': newKey() };
      const { asset, amount } = await session.request<Given>('/v1/paper/funds', { method: 'POST', body, headers });
      setAnswer({ good: true, text: `${amountText(amount)} ${assetName(asset)} more` });
    } catch (error) {
      setAnswer({ good: false, text: messageOf(error) });
    } finally {
      setBusy(false);
    }
  };
  return (
    <form
      class="funds"
      onSubmit={(event) => {
        event.preventDefault();
        void ask(new FormData(event.currentTarget));
      }}
    >
      <label class="field">
        Amount
        <input name="amount" inputMode="decimal" autocomplete="off" required maxLength={40} defaultValue="10000" />
      </label>
      <label class="field">
        Asset
        <select name="asset">
          {ASSETS.map((asset) => (
            <option key={asset}>{asset}</option>
          ))}
        </select>
      </label>
      <button type="submit" disabled={busy}>
        Get paper money
      </button>
      <p class={answer?.good === false ? 'problem' : 'done'} role="status">
        {answer?.text ?? ''}
      </p>
    </form>
  );
}
