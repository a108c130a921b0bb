import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { GapNotice, TradeBatch } from '../../client/index.ts';
import { createTradeTape } from '../view/trade-tape.ts';
import type { TradeTape } from '../view/trade-tape.ts';
import { useLink, useStream } from './hooks.ts';
import type { MarketName } from './markets.ts';
import { Panel } from './panel.tsx';

export type TapePanelProps = Readonly<{ market: MarketName; rows: number; name?: string; title?: string }>;

/** Trades as they happen. Lost ones are a line of their own: a tape with a silent hole would be a lie. */
export function TapePanel({ market, rows, name = 'tape', title = 'Trades' }: TapePanelProps): JSX.Element {
  const { venue, symbol } = market;
  const { frames } = useLink();
  const host = useRef<HTMLDivElement>(null);
  const tape = useRef<{ view: TradeTape; draw: () => void } | null>(null);
  const add = ({ trades }: TradeBatch): void => {
    if (!tape.current) return;
    tape.current.view.add(trades);
    frames.mark(tape.current.draw);
  };
  const addGap = ({ from, to, reason }: GapNotice): void => {
    if (!tape.current) return;
    const count = to === null ? 'some' : String(to - from + 1);
    tape.current.view.addGap(`${count} messages lost (${reason})`);
    frames.mark(tape.current.draw);
  };
  // The tape first: effects run in order, and the subscription must find somewhere to write.
  useEffect(() => {
    if (!host.current) return;
    const view = createTradeTape(host.current, { rows, label: `Trades of ${symbol} at ${venue}` });
    const draw = (): void => view.draw();
    tape.current = { view, draw };
    return () => {
      tape.current = null;
      frames.forget(draw);
      view.remove();
    };
  }, [venue, symbol, rows, frames]);
  const stream = useStream(
    `${venue}:${symbol}:${rows}`,
    (client, hooks) => client.trades(venue, symbol, { onUpdate: add, ...hooks }),
    addGap,
  );
  return (
    <Panel name={name} title={title} stream={stream} scrolls={`Trades of ${symbol} at ${venue}, list`}>
      <div class="tape-host" ref={host} />
    </Panel>
  );
}
