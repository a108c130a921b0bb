import type { JSX } from 'preact';
import { useCallback, useContext, useState } from 'preact/hooks';
import { AccountContext } from '../account/account.ts';
import { Balances } from '../account/balances.tsx';
import { useValuation } from '../account/data.ts';
import { EntryCard } from '../account/entry-card.tsx';
import { Equity } from '../account/equity.tsx';
import { Notices } from '../account/notices.tsx';
import { OpenOrders } from '../account/open-orders.tsx';
import { EMPTY_DRAFT } from '../account/order-draft.ts';
import type { OrderDraft } from '../account/order-draft.ts';
import { OrderTicket } from '../account/order-ticket.tsx';
import { Fills, OrderHistory } from '../account/past-orders.tsx';
import { Positions } from '../account/positions.tsx';
import { BookPanel } from '../parts/book-panel.tsx';
import { MarketHead } from '../parts/market-head.tsx';
import { MarketPicker } from '../parts/market-picker.tsx';
import { useMarket } from '../parts/markets.ts';
import type { MarketName } from '../parts/markets.ts';
import { messageOf } from '../rest.ts';

const LADDER_ROWS = 11;

export function TradeScreen({ name }: Readonly<{ name: MarketName }>): JSX.Element {
  const account = useContext(AccountContext);
  return account ? <TradingDesk key={account.user.id} name={name} /> : <EntryCard />;
}

function TradingDesk({ name }: Readonly<{ name: MarketName }>): JSX.Element {
  const market = useMarket(name);
  const [draft, setDraft] = useState<OrderDraft>(EMPTY_DRAFT);
  const [picking, setPicking] = useState(false);
  const pickPrice = useCallback((price: string) => setDraft((known) => withPrice(known, price)), []);
  const rules = market.value?.symbol === name.symbol && market.value.venue === name.venue ? market.value : null;
  return (
    <div class="trade">
      <div class="trade-market">
        <button type="button" class="picker-toggle" aria-expanded={picking} onClick={() => setPicking(!picking)}>
          {name.symbol} <span class="soft">{name.venue}</span> ▾
        </button>
        {picking && <MarketPicker screen="trade" market={name} onPicked={() => setPicking(false)} />}
      </div>
      {market.status === 'failed' && !rules && (
        <p class="empty" role="alert">
          {messageOf(market.error)}. Pick another market, or{' '}
          <button type="button" onClick={market.reload}>
            try again
          </button>
        </p>
      )}
      {rules && (
        <>
          <MarketHead market={rules} />
          <OrderTicket market={rules} draft={draft} onDraft={setDraft} />
          <BookPanel market={rules} rows={LADDER_ROWS} onPrice={pickPrice} />
        </>
      )}
      <Balances />
      <OpenOrders />
      <Valued />
      <OrderHistory />
      <Notices />
    </div>
  );
}

/** What changes with every price is rendered apart from the rest. */
function Valued(): JSX.Element {
  const valuation = useValuation();
  return (
    <>
      <Positions valuation={valuation} />
      <Fills />
      <Equity valuation={valuation} />
    </>
  );
}

/** A price that was picked on the ladder goes where this type of order takes one. */
function withPrice(draft: OrderDraft, price: string): OrderDraft {
  switch (draft.kind) {
    case 'market':
      return { ...draft, kind: 'limit', price };
    case 'stop':
    case 'take_profit':
      return { ...draft, stopPrice: price };
    case 'trailing_stop':
      return { ...draft, activationPrice: price };
    case 'limit':
    case 'stop_limit':
    case 'take_profit_limit':
    case 'oco':
    case 'bracket':
      return { ...draft, price };
  }
}
