import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ClientError } from '../../client/index.ts';
import type { Market } from '../../protocol/market.ts';
import type { Quote } from '../../protocol/trading.ts';
import { ABSENT, duration, grouped } from '../format.ts';
import { Fact } from '../parts/market-head.tsx';
import { messageOf } from '../rest.ts';
import { useAccount } from './account.ts';
import { amountText, assetName, percentText } from './money-text.ts';
import { orderOf } from './order-draft.ts';
import type { DraftProblem, OrderDraft } from './order-draft.ts';

const TYPING_PAUSE_MS = 350;
/** Often enough to follow the book, and a fraction of what the server allows. */
const REFRESH_MS = 3_000;

type LiveQuoteProps = Readonly<{ market: Market; draft: OrderDraft; problem: DraftProblem | null }>;

/** What the order would do if it were sent now: exact to the last unit, from the server's own book. */
export function LiveQuote({ market, draft, problem }: LiveQuoteProps): JSX.Element {
  const { quote, failure } = useQuote(market, draft, problem);
  if (draft.kind === 'oco' || draft.kind === 'bracket') {
    return <p class="note quote">Orders that depend on each other are not quoted; each leg is checked when placed.</p>;
  }
  if (problem) return <p class="note quote">Fill in the fields to see what the order would do now.</p>;
  if (failure) {
    return (
      <p class="note quote" role="status">
        No quote: {failure}
      </p>
    );
  }
  if (!quote) return <p class="note quote">Asking for a quote…</p>;
  const { pay, receive, fee, feeRates, hold } = quote;
  return (
    <div class="quote" data-testid="quote">
      <dl class="facts">
        <Fact name="You pay" text={`${amountText(pay.amount)} ${assetName(pay.asset)}`} />
        <Fact name="You receive" text={`${amountText(receive.amount)} ${assetName(receive.asset)}`} />
        <Fact
          name={`Fee, ${percentText(feeRates.taker)} taker`}
          text={`${amountText(fee.amount)} ${assetName(fee.asset)}`}
        />
        <Fact name="Average price" text={quote.averagePrice ? grouped(quote.averagePrice) : ABSENT} />
        <Fact name="Worst price" text={quote.worstPrice ? grouped(quote.worstPrice) : ABSENT} />
        <Fact name="Never beyond" text={quote.protectionPrice ? grouped(quote.protectionPrice) : ABSENT} />
        <Fact name="Held meanwhile" text={`${amountText(hold.amount)} ${assetName(hold.asset)}`} />
      </dl>
      <p class={quote.problem ? 'problem' : 'soft'}>
        {quote.problem ? quote.problem.message : completeText(quote)} Book {duration(quote.book.ageMs)} old, #
        {quote.book.seq}.
      </p>
    </div>
  );
}

function completeText({ complete, matches }: Quote): string {
  if (complete) return `Would fill at once, over ${matches.length} price level${matches.length === 1 ? '' : 's'}.`;
  return matches.length === 0 ? 'Nothing would fill at once; the order would wait.' : 'A part would fill at once.';
}

type Quoted = Readonly<{ quote: Quote | null; failure: string | null }>;
const NOTHING: Quoted = { quote: null, failure: null };

function useQuote(market: Market, draft: OrderDraft, problem: DraftProblem | null): Quoted {
  const { link } = useAccount();
  const [quoted, setQuoted] = useState<Quoted>(NOTHING);
  // The end of a GTD order moves with the clock and changes nothing about the quote.
  const drafted = problem ? null : orderOf(draft, market, 0);
  const key = drafted === null || drafted.list ? null : JSON.stringify(drafted.order);
  useEffect(() => {
    setQuoted(NOTHING);
    if (key === null) return;
    let wanted = true;
    let timer: ReturnType<typeof setTimeout>;
    const ask = async (): Promise<void> => {
      if (!document.hidden) {
        const answer = await quoteNow(link.client.trading, draft, market);
        if (!wanted) return;
        setQuoted(answer);
      }
      timer = setTimeout(() => void ask(), REFRESH_MS);
    };
    timer = setTimeout(() => void ask(), TYPING_PAUSE_MS);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [key, link]);
  return quoted;
}

async function quoteNow(
  trading: ReturnType<typeof useAccount>['link']['client']['trading'],
  draft: OrderDraft,
  market: Market,
): Promise<Quoted> {
  const drafted = orderOf(draft, market, Date.now());
  if (drafted.list) return NOTHING;
  try {
    return { quote: await trading.quote(drafted.order, { timeoutMs: REFRESH_MS }), failure: null };
  } catch (error) {
    const late = error instanceof ClientError && error.code === 'timeout';
    return { quote: null, failure: late ? 'the server did not answer in time' : messageOf(error) };
  }
}
