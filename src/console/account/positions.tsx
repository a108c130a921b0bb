import type { JSX } from 'preact';
import type { ValuedPosition } from '../../protocol/trading.ts';
import { ABSENT, duration, grouped } from '../format.ts';
import { Panel } from '../parts/panel.tsx';
import type { Valuation } from './data.ts';
import { amountText, assetName, signedText, toneOfAmount } from './money-text.ts';
import { DataTable } from './table.tsx';

const COLUMNS = [
  { name: 'Position' },
  { name: 'Quantity', number: true },
  { name: 'Average cost', number: true },
  { name: 'Price now', number: true },
  { name: 'Value', number: true },
  { name: 'Unrealised', number: true },
  { name: 'Realised', number: true },
  { name: 'Fees', number: true },
];

/** What was bought through orders and not sold again, at live prices. */
export function Positions({ valuation }: Readonly<{ valuation: Valuation }>): JSX.Element {
  const { stream, loaded, portfolio } = valuation;
  return (
    <Panel name="positions" title="Positions" {...(stream && { stream })}>
      <DataTable
        label="Positions"
        columns={COLUMNS}
        loaded={loaded}
        empty="No positions. Buy something with the ticket and its profit and loss shows here."
        rows={(portfolio?.positions ?? []).map((position) => (
          <PositionRow key={`${position.base}/${position.quote}`} position={position} />
        ))}
      />
    </Panel>
  );
}

function PositionRow({ position }: Readonly<{ position: ValuedPosition }>): JSX.Element {
  const { price, priceAgeMs, venue } = position;
  return (
    <tr>
      <th scope="row">
        {assetName(position.base)}
        <span class="soft">/{assetName(position.quote)}</span>
      </th>
      <td class="number" title={position.quantity}>
        {amountText(position.quantity)}
      </td>
      <td class="number">{amountText(position.averageCost)}</td>
      <td class="number" title={price === null ? 'there is no fresh price' : `${venue}, ${duration(priceAgeMs)} old`}>
        {price === null ? ABSENT : grouped(price)}
      </td>
      <td class="number">{amountText(position.value)}</td>
      <td class={`number ${toneOfAmount(position.unrealizedPnl)}`}>{signedText(position.unrealizedPnl)}</td>
      <td class={`number ${toneOfAmount(position.realizedPnl)}`}>{signedText(position.realizedPnl)}</td>
      <td class="number">{amountText(position.feesPaid)}</td>
    </tr>
  );
}
