import type { JSX } from 'preact';
import type { Market } from '../../protocol/market.ts';
import type { DraftField, OrderDraft } from './order-draft.ts';

export type TicketFieldProps = Readonly<{
  field: DraftField;
  draft: OrderDraft;
  market: Market;
  problem: string | null;
  onChange: <F extends DraftField>(field: F, value: OrderDraft[F]) => void;
}>;

type Choices = Readonly<Record<string, string>>;
const TRIGGERS: Choices = { last: 'last price', bid_ask: 'bid or ask', mid: 'middle' };
const TIMES: Choices = {
  GTC: 'until cancelled',
  IOC: 'at once, the rest is cancelled',
  FOK: 'all at once or nothing',
  GTD: 'for some time',
};
const SPANS: Choices = { '600000': '10 minutes', '3600000': '1 hour', '86400000': '1 day', '604800000': '1 week' };
const ENTRIES: Choices = { market: 'market', limit: 'limit' };

/** One field of the ticket, by what it means. */
export function TicketField(props: TicketFieldProps): JSX.Element {
  const { field, draft, onChange } = props;
  switch (field) {
    case 'trigger':
      return <Choice {...props} label="Triggered by" choices={TRIGGERS} />;
    case 'timeInForce':
      return <Choice {...props} label="Valid" choices={TIMES} />;
    case 'entry':
      return <Choice {...props} label="Enter by" choices={ENTRIES} />;
    case 'expireInMs':
      return <Choice {...props} label="Ends after" choices={SPANS} />;
    case 'postOnly':
      return <Check checked={draft.postOnly} label="Post only" onChange={(value) => onChange('postOnly', value)} />;
    case 'spend':
      return (
        <Check
          checked={draft.spend}
          label={`Say what to spend, in ${props.market.quote}`}
          onChange={(value) => onChange('spend', value)}
        />
      );
    default:
      return <Amount {...props} />;
  }
}

function labelOf(field: DraftField, draft: OrderDraft, market: Market): string {
  const byQuote = draft.kind === 'market' && draft.side === 'buy' && draft.spend;
  const labels: Partial<Record<DraftField, string>> = {
    quantity: byQuote ? `Spend, ${market.quote}` : `Quantity, ${market.base}`,
    price: draft.kind === 'oco' ? `Take profit at, ${market.quote}` : `Limit price, ${market.quote}`,
    stopPrice: draft.kind === 'bracket' ? `Stop loss at, ${market.quote}` : `Trigger price, ${market.quote}`,
    stopLimitPrice: `Limit of the stop (may be left out), ${market.quote}`,
    takeProfit: `Take profit at, ${market.quote}`,
    trailingPercent: 'Distance, percent',
    activationPrice: `Follow from (may be left out), ${market.quote}`,
  };
  return labels[field] ?? field;
}

function Amount({ field, draft, market, problem, onChange }: TicketFieldProps): JSX.Element {
  const problemId = `problem-${field}`;
  return (
    <label class="field">
      {labelOf(field, draft, market)}
      <input
        name={field}
        inputMode="decimal"
        autocomplete="off"
        maxLength={40}
        value={String(draft[field])}
        aria-invalid={problem !== null}
        aria-describedby={problem === null ? undefined : problemId}
        onInput={(event) => onChange(field, event.currentTarget.value)}
      />
      {problem !== null && (
        <span class="problem" id={problemId}>
          {problem}
        </span>
      )}
    </label>
  );
}

function Choice({
  field,
  draft,
  label,
  choices,
  onChange,
}: TicketFieldProps & Readonly<{ label: string; choices: Choices }>): JSX.Element {
  const take = (text: string): void =>
    onChange(field, (field === 'expireInMs' ? Number(text) : text) as OrderDraft[DraftField]);
  return (
    <label class="field">
      {label}
      <select name={field} value={String(draft[field])} onChange={(event) => take(event.currentTarget.value)}>
        {Object.entries(choices).map(([value, name]) => (
          <option key={value} value={value}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

type CheckProps = Readonly<{ checked: boolean; label: string; onChange: (value: boolean) => void }>;

function Check({ checked, label, onChange }: CheckProps): JSX.Element {
  return (
    <label class="check">
      <input type="checkbox" checked={checked} onChange={(event) => onChange(event.currentTarget.checked)} /> {label}
    </label>
  );
}
