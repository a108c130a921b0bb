import { openPausingSocket } from './pausing-socket.ts';
import type { HttpAnswer, HttpRequest, Scenario, World } from './scenario.ts';
import { newMetric } from './thresholds.ts';
import type { MetricState } from './thresholds.ts';

export type NodeWorld = World & Readonly<{ states: ReadonlyMap<string, MetricState>; idle(): Promise<void> }>;

/** The world of a scenario in a plain Node process: the global WebSocket, timers, metrics in memory. */
export function nodeWorld(scenario: Scenario): NodeWorld {
  const states = new Map(Object.entries(scenario.metrics).map(([name, kind]) => [name, newMetric(kind)]));
  states.set('checks', newMetric('rate'));
  let busy = 0;
  let onIdle: (() => void) | undefined;
  const done = (): void => {
    busy -= 1;
    // Whoever waited for an answer goes on first, and may ask for more.
    if (busy === 0) setImmediate(() => busy === 0 && onIdle?.());
  };
  const record = (metric: string, value: number): void => {
    const state = states.get(metric)!;
    state.samples += 1;
    state.sum += value;
    if (state.kind === 'trend') state.histogram.record(value);
  };
  return {
    states,
    async request(request) {
      busy += 1;
      const answer = await ask(request);
      done();
      return answer;
    },
    connect(url, { onOpen, onText, onClose }) {
      const socket = new WebSocket(url);
      busy += 1;
      socket.onopen = onOpen;
      socket.onmessage = ({ data }) => onText(String(data));
      socket.onclose = () => {
        onClose();
        done();
      };
      return {
        send: (text) => {
          if (socket.readyState === WebSocket.OPEN) socket.send(text);
        },
        close: () => socket.close(),
      };
    },
    connectSlowly(url, { onOpen, onText, onClose }) {
      busy += 1;
      const closed = (): void => {
        onClose();
        done();
      };
      openPausingSocket(url, { onOpen, onText, onClose: closed });
    },
    after(ms, action) {
      busy += 1;
      let pending = true;
      const timer = setTimeout(() => {
        pending = false;
        action();
        done();
      }, ms);
      return () => {
        if (!pending) return;
        pending = false;
        clearTimeout(timer);
        done();
      };
    },
    now: () => performance.timeOrigin + performance.now(),
    random: Math.random,
    record,
    check: (_name, holds) => record('checks', holds ? 1 : 0),
    idle: () => (busy === 0 ? Promise.resolve() : new Promise((resolve) => (onIdle = resolve))),
  };
}

async function ask({ method, url, headers = {}, body }: HttpRequest): Promise<HttpAnswer> {
  try {
    const answer = await fetch(url, { method, headers, ...(body === undefined ? {} : { body }) });
    return { status: answer.status, body: await answer.text() };
  } catch {
    // A refused or broken connection is an answer that did not come; the scenario counts it.
    return { status: 0, body: '' };
  }
}
