import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { duration, milliseconds, timeOfDay } from '../format.ts';
import { HOPS } from '../link/latency-meter.ts';
import type { Hop } from '../link/latency-meter.ts';
import { useStore } from '../store.ts';
import { useLink, useTick } from './hooks.ts';
import { Fact } from './market-head.tsx';
import { Panel } from './panel.tsx';

const REFRESH_MS = 1_000;
const HOP_NAMES: Readonly<Record<Hop, string>> = {
  exchange: 'exchange → ingest',
  ingest: 'ingest → gateway',
  gateway: 'gateway → this page',
  screen: 'page → screen',
};

/** How the one connection does, and where the milliseconds go. */
export function ConnectionPanel(): JSX.Element {
  const link = useLink();
  const state = useStore(link.connection);
  const at = useTick(REFRESH_MS);
  const { counters } = link.client;
  return (
    <Panel name="connection" title="Connection">
      <dl class="facts padded" data-testid="connection-facts">
        <Fact name="State" text={state.status} tone={state.status === 'open' ? 'up' : 'down'} />
        <Fact name="Since" text={`${timeOfDay(state.since)} (${duration(at - state.since)})`} />
        <Fact name="Messages a second" text={useRate(() => link.messages.count, at)} />
        <Fact name="Reconnects" text={String(counters.reconnects)} />
        <Fact name="Gaps found" text={String(counters.gaps)} />
        <Fact name="Resumed without loss" text={String(counters.resumes)} />
        <Fact name="Asked again" text={String(counters.resyncs)} />
        <Fact name="Checksum failures" text={String(counters.checksumFailures)} />
        <Fact name="Duplicates" text={String(counters.duplicates)} />
        <Fact name="Conflated" text={String(counters.conflations)} />
      </dl>
      <table>
        <thead>
          <tr>
            <th scope="col">Milliseconds</th>
            <th scope="col" class="number">
              p50
            </th>
            <th scope="col" class="number">
              p99
            </th>
            <th scope="col" class="number">
              samples
            </th>
          </tr>
        </thead>
        <tbody>
          {HOPS.map((hop) => {
            const { p50, p99, samples } = link.latency.spread(hop);
            return (
              <tr key={hop}>
                <th scope="row">{HOP_NAMES[hop]}</th>
                <td class="number">{milliseconds(p50)}</td>
                <td class="number">{milliseconds(p99)}</td>
                <td class="number soft">{samples}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
      <p class="note">
        “gateway → this page” compares two clocks and is as true as they agree. A hidden tab draws nothing, so “screen”
        waits for you.
      </p>
    </Panel>
  );
}

/** Per second, since the last rendering. */
function useRate(count: () => number, at: number): string {
  const last = useRef({ count: count(), at });
  const [rate, setRate] = useState(0);
  useEffect(() => {
    const elapsedMs = at - last.current.at;
    if (elapsedMs <= 0) return;
    setRate(((count() - last.current.count) / elapsedMs) * 1_000);
    last.current = { count: count(), at };
  }, [at]);
  return rate.toFixed(0);
}
