import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { z } from 'zod';
import type { HoldsAnswer } from '../../protocol/trading.ts';
import { dateAndTime } from '../format.ts';
import { useLoaded } from '../parts/hooks.ts';
import { Panel } from '../parts/panel.tsx';
import { useAccount } from './account.ts';
import { useChanges, useHoldings } from './data.ts';
import { amountText, assetName } from './money-text.ts';
import { PaperFunds } from './paper-funds.tsx';
import { DataTable } from './table.tsx';

type Holds = Readonly<z.infer<typeof HoldsAnswer>>;
type Hold = Holds['holds'][number];
const COLUMNS = [
  { name: 'Asset' },
  { name: 'Available', number: true },
  { name: 'Held', number: true },
  { name: 'Total', number: true },
];
const HOLD_COLUMNS = [{ name: 'Held', number: true }, { name: 'For' }, { name: 'Comes back' }, { name: 'Since' }];

/** What there is, what can be spent, and where the rest is. */
export function Balances(): JSX.Element {
  const stream = useHoldings();
  const [asking, setAsking] = useState(false);
  const balances = (stream.subscription?.last?.balances ?? []).toSorted((left, right) =>
    left.asset < right.asset ? -1 : 1,
  );
  return (
    <Panel
      name="balances"
      title="Paper money"
      stream={stream}
      actions={
        <button type="button" aria-expanded={asking} onClick={() => setAsking(!asking)}>
          Where is my money?
        </button>
      }
    >
      <DataTable
        label="Balances"
        columns={COLUMNS}
        empty="No paper money yet. Get some below."
        rows={balances.map(({ asset, available, held, total }) => (
          <tr key={asset} data-asset={asset}>
            <th scope="row" title={asset}>
              {assetName(asset)}
            </th>
            <td class="number" title={available}>
              {amountText(available)}
            </td>
            <td class="number" title={held}>
              {amountText(held)}
            </td>
            <td class="number" title={total}>
              {amountText(total)}
            </td>
          </tr>
        ))}
      />
      {asking && <WhereIsMyMoney />}
      <PaperFunds />
    </Panel>
  );
}

/** Every held unit, with its reason and what gives it back; and whether the reasons add up. */
function WhereIsMyMoney(): JSX.Element {
  const { session } = useAccount();
  const changes = useChanges('portfolio');
  const loaded = useLoaded(`holds ${changes}`, (signal) => session.request<Holds>('/v1/holds', { signal }));
  const holds = loaded.value?.holds ?? [];
  const unexplained = (loaded.value?.totals ?? []).filter(({ held, explained }) => held !== explained);
  return (
    <div class="holds" data-testid="holds">
      <DataTable
        label="What is held and why"
        columns={HOLD_COLUMNS}
        loaded={loaded}
        empty="Nothing is held: everything you have can be spent."
        rows={holds.map((hold) => (
          <HoldRow key={hold.id} hold={hold} />
        ))}
      />
      {loaded.status === 'ready' && holds.length > 0 && (
        <p class={unexplained.length === 0 ? 'note up' : 'note down'}>
          {unexplained.length === 0
            ? 'Every held unit is explained.'
            : `Not explained: ${unexplained.map(({ asset }) => assetName(asset)).join(', ')}`}
        </p>
      )}
    </div>
  );
}

function HoldRow({ hold }: Readonly<{ hold: Hold }>): JSX.Element {
  return (
    <tr>
      <td class="number" title={hold.amount}>
        {amountText(hold.amount)} {assetName(hold.asset)}
      </td>
      <td class="wraps" title={hold.reference}>
        {hold.explanation}
      </td>
      <td class="wraps">{hold.release}</td>
      <td>{dateAndTime(hold.createdAt)}</td>
    </tr>
  );
}
