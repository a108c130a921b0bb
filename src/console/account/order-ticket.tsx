import type { JSX } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { ClientError } from '../../client/index.ts';
import type { Trading } from '../../client/index.ts';
import type { Market } from '../../protocol/market.ts';
import { Panel } from '../parts/panel.tsx';
import type { Order } from '../../protocol/trading.ts';
import { useAccount } from './account.ts';
import { useEvents } from './data.ts';
import { LiveQuote } from './live-quote.tsx';
import { newKey } from './new-key.ts';
import { TICKET_KINDS, fieldsOf, orderOf, problemOf } from './order-draft.ts';
import type { DraftField, DraftProblem, DraftedOrder, OrderDraft, TicketKind } from './order-draft.ts';
import { statusText } from './order-text.ts';
import { TicketField } from './ticket-field.tsx';
import { messageOf } from '../rest.ts';

const REMEMBERED_LIMIT = 32;

type Result = Readonly<{ good: boolean; text: string }>;
type TicketProps = Readonly<{ market: Market; draft: OrderDraft; onDraft: (draft: OrderDraft) => void }>;

/** Every order type there is, with what it would do now, before it is sent. */
export function OrderTicket({ market, draft, onDraft }: TicketProps): JSX.Element {
  const [touched, setTouched] = useState(false);
  const { send, busy, result } = usePlacing(market, draft);
  const problem = problemOf(draft);
  const change = <F extends DraftField>(field: F, value: OrderDraft[F]): void => onDraft({ ...draft, [field]: value });
  const submit = (event: Event): void => {
    event.preventDefault();
    setTouched(true);
    if (!problem) void send();
    else (event.currentTarget as HTMLFormElement).querySelector<HTMLElement>(`[name="${problem.field}"]`)?.focus();
  };
  const verb = draft.side === 'buy' ? 'Buy' : 'Sell';
  return (
    <Panel name="ticket" title={`Order ${market.symbol} on paper`}>
      <form class="ticket" onSubmit={submit} noValidate>
        <SideChoice side={draft.side} onSide={(side) => change('side', side)} />
        <label class="field">
          Type
          <select
            name="kind"
            value={draft.kind}
            onChange={(event) => change('kind', event.currentTarget.value as TicketKind)}
          >
            {Object.entries(TICKET_KINDS).map(([kind, name]) => (
              <option key={kind} value={kind}>
                {name}
              </option>
            ))}
          </select>
        </label>
        {fieldsOf(draft).map((field) => (
          <TicketField
            key={field}
            field={field}
            draft={draft}
            market={market}
            problem={touched ? shownFor(problem, field) : null}
            onChange={change}
          />
        ))}
        <LiveQuote market={market} draft={draft} problem={problem} />
        <button type="submit" class={`primary submit ${draft.side}`} disabled={busy}>
          {busy ? 'Sending…' : `${verb} ${market.base}`}
        </button>
        <p class={result?.good ? 'done' : 'problem'} role={result?.good === false ? 'alert' : 'status'}>
          {result?.text ?? ''}
        </p>
      </form>
    </Panel>
  );
}

function shownFor(problem: DraftProblem | null, field: DraftField): string | null {
  return problem?.field === field ? problem.text : null;
}

type SideChoiceProps = Readonly<{ side: 'buy' | 'sell'; onSide: (side: 'buy' | 'sell') => void }>;

function SideChoice({ side, onSide }: SideChoiceProps): JSX.Element {
  return (
    <fieldset class="side-choice">
      <legend class="visually-hidden">Side</legend>
      {(['buy', 'sell'] as const).map((each) => (
        <label key={each} class={each}>
          <input type="radio" name="side" value={each} checked={side === each} onChange={() => onSide(each)} />
          <span>{each === 'buy' ? 'Buy' : 'Sell'}</span>
        </label>
      ))}
    </fieldset>
  );
}

type Placing = Readonly<{ send: () => Promise<void>; busy: boolean; result: Result | null }>;

type Unanswered = Readonly<{ of: string; drafted: DraftedOrder; idempotencyKey: string }>;

/**
 * One key per order. An order whose fate is unknown keeps its key, so that sending the same ticket again asks after it rather
 * than placing another.
 */
function usePlacing(market: Market, draft: OrderDraft): Placing {
  const { link } = useAccount();
  const [busy, setBusy] = useState(false);
  const [result, setResult] = useState<Result | null>(null);
  const unanswered = useRef<Unanswered | null>(null);
  const placed = useRef<string | null>(null);
  const latest = useRef(new Map<string, Order>());
  // What became of it is said where it was placed. The stream may know of an order before the answer that names it.
  useEvents('orders', ({ event }) => {
    if (event.type !== 'order') return;
    latest.current.set(event.order.id, event.order);
    if (latest.current.size > REMEMBERED_LIMIT) latest.current.delete(latest.current.keys().next().value!);
    if (event.order.id === placed.current) setResult(resultOf(event.order));
  });
  const send = async (): Promise<void> => {
    setBusy(true);
    setResult(null);
    placed.current = null;
    const of = JSON.stringify([market.venue, market.symbol, draft]);
    const known = unanswered.current?.of === of ? unanswered.current : null;
    const { drafted, idempotencyKey } = known ?? {
      drafted: orderOf(draft, market, Date.now()),
      idempotencyKey: newKey(),
    };
    unanswered.current = { of, drafted, idempotencyKey };
    try {
      const { order, result: first } = await place(link.client.trading, drafted, idempotencyKey);
      placed.current = order?.id ?? null;
      const newer = order && latest.current.get(order.id);
      setResult(newer ? resultOf(newer) : first);
      unanswered.current = null;
    } catch (error) {
      const unknownFate = error instanceof ClientError && error.code === 'timeout';
      if (!unknownFate) unanswered.current = null;
      setResult({
        good: false,
        text: unknownFate ? 'No answer yet. Send it again to ask: it cannot happen twice.' : messageOf(error),
      });
    } finally {
      setBusy(false);
    }
  };
  return { send, busy, result };
}

type Placed = Readonly<{ order: Order | null; result: Result }>;

async function place(trading: Trading, drafted: DraftedOrder, idempotencyKey: string): Promise<Placed> {
  if (drafted.list) {
    const { list } = await trading.placeList(drafted.order, { idempotencyKey });
    return {
      order: null,
      result: { good: true, text: `Placed ${list.orders.length} orders that depend on each other` },
    };
  }
  const { order } = await trading.place(drafted.order, { idempotencyKey });
  return { order, result: resultOf(order) };
}

function resultOf(order: Order): Result {
  return { good: order.status !== 'rejected' && order.status !== 'denied', text: `Order ${statusText(order)}` };
}
