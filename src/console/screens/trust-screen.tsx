import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { BookPanel } from '../parts/book-panel.tsx';
import { ConnectionPanel } from '../parts/connection-panel.tsx';
import { useLink } from '../parts/hooks.ts';
import { JournalPanel } from '../parts/journal-panel.tsx';
import { restPath, useMarket } from '../parts/markets.ts';
import type { MarketName } from '../parts/markets.ts';
import { Panel } from '../parts/panel.tsx';
import { StreamsPanel } from '../parts/streams-panel.tsx';
import { createBookCheck } from '../link/book-check.ts';
import type { BookReading, BookVerdict } from '../link/book-check.ts';
import { messageOf, requestJson } from '../rest.ts';

const LONG_CUT_MS = 8_000;
const LADDER_ROWS = 10;

/** Why the numbers can be believed, and a way to try to break them. */
export function TrustScreen({ name }: Readonly<{ name: MarketName }>): JSX.Element {
  const market = useMarket(name);
  return (
    <div class="trust">
      <h1 class="visually-hidden">Trust</h1>
      <FaultsPanel market={name} />
      <ConnectionPanel />
      {market.value && <BookPanel market={market.value} rows={LADDER_ROWS} title={`Book of ${name.symbol}`} />}
      <JournalPanel />
      <StreamsPanel />
    </div>
  );
}

/** Real faults on this page's own connection. */
function FaultsPanel({ market }: Readonly<{ market: MarketName }>): JSX.Element {
  const { faults, journal } = useLink();
  const { verdict, compare, busy } = useBookComparison(market);
  const skip = (): void => {
    for (const each of faults)
      each.skipNext(`book:${market.venue}:${market.symbol}`, ({ stream, seq }) => {
        journal.add(stream, `message #${seq} thrown away by hand`, false);
      });
  };
  const cut = (holdMs: number): void => {
    journal.add('connection', holdMs === 0 ? 'cut by hand' : `cut by hand for ${holdMs / 1_000} s`, false);
    for (const each of faults) each.cut(holdMs);
  };
  return (
    <Panel name="faults" title="Break it and watch it heal">
      <div class="faults">
        <button type="button" onClick={() => cut(0)}>
          Cut the connection
        </button>
        <button type="button" onClick={() => cut(LONG_CUT_MS)}>
          Cut it for {LONG_CUT_MS / 1_000} s
        </button>
        <button type="button" onClick={skip}>
          Skip a book message
        </button>
        <button type="button" class="primary" onClick={() => void compare()} disabled={busy}>
          Compare the book with REST
        </button>
        <p class={`verdict ${verdict?.outcome ?? ''}`} role="status" data-testid="verdict">
          {verdict
            ? `${verdict.outcome}: ${verdict.text}`
            : 'Every panel says where its stream stands; what is not live is dimmed.'}
        </p>
      </div>
    </Panel>
  );
}

type Comparison = Readonly<{ verdict: BookVerdict | null; busy: boolean; compare: () => Promise<void> }>;

function useBookComparison({ venue, symbol }: MarketName): Comparison {
  const link = useLink();
  const check = useRef(createBookCheck());
  const [verdict, setVerdict] = useState<BookVerdict | null>(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    const remembered = createBookCheck();
    check.current = remembered;
    setVerdict(null);
    const book = link.client.book(venue, symbol, { onUpdate: (each) => remembered.remember(each) });
    return () => book.close();
  }, [link, venue, symbol]);
  const compare = async (): Promise<void> => {
    setBusy(true);
    try {
      const reading = await requestJson<BookReading>(`${restPath({ venue, symbol }, 'book')}?depth=25`);
      setVerdict(await check.current.compare(reading));
    } catch (error) {
      setVerdict({ outcome: 'unknown', text: messageOf(error) });
    } finally {
      setBusy(false);
    }
  };
  return { verdict, busy, compare };
}
