import { check, sleep } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';
import { Counter, Rate, Trend } from 'k6/metrics';
import type { Options } from 'k6/options';
import { clearTimeout, setTimeout } from 'k6/timers';
import { WebSocket } from 'k6/websockets';
import ws from 'k6/ws';
import type { Plan } from './plan.ts';
import type { Scenario, SocketPort, World } from './scenario.ts';

/** `readyState`, as in browsers. */
const CONNECTING = 0;
const OPEN = 1;
/** Time beyond the run for the last answers. */
const GRACE_SECONDS = 60;

/** Metrics can only be made in k6's init context: call this at the top of a script. */
export function k6World(scenario: Scenario): World {
  const metrics = new Map<string, { add(value: number): void }>();
  for (const [name, kind] of Object.entries(scenario.metrics)) {
    // The second argument tells k6 that the values are times.
    if (kind === 'trend') metrics.set(name, new Trend(name, true));
    else metrics.set(name, kind === 'rate' ? new Rate(name) : new Counter(name));
  }
  return {
    async request({ method, url, headers = {}, body = null }) {
      const answer = await http.asyncRequest(method, url, body, { headers: { ...headers } });
      return { status: answer.status, body: typeof answer.body === 'string' ? answer.body : '' };
    },
    // k6 starts to read before it calls the socket open, and throws away what it has read until then: in 20,000 connections to a
    // server that speaks at once, one was never told. Whoever connects therefore speaks first.
    connect(url, { onOpen, onText, onClose }) {
      const socket = new WebSocket(url);
      let unwanted = false;
      socket.onopen = () => {
        if (unwanted) socket.close();
        else onOpen();
      };
      socket.onmessage = (event) => {
        if (event && typeof event.data === 'string') onText(event.data);
      };
      socket.onclose = onClose;
      return {
        // Any other state makes k6 throw.
        send(text) {
          if (socket.readyState === OPEN) socket.send(text);
        },
        close() {
          // Closing a socket that still connects would block k6's event loop for ever: nobody reads its write queue yet.
          if (socket.readyState === CONNECTING) unwanted = true;
          else socket.close();
        },
      };
    },
    // `k6/websockets` reads into a queue without end whatever its user does; `k6/ws` reads a message only when the one before has
    // been dealt with, so that a user who sleeps there does not read.
    connectSlowly(url, { onOpen, onText, onClose }) {
      ws.connect(url, {}, (socket) => {
        const port: SocketPort = { send: (text) => socket.send(text), close: () => socket.close() };
        socket.on('open', () => onOpen(port));
        socket.on('message', (text) => {
          for (const { send, waitMs } of onText(text, port)) {
            if (send !== undefined) socket.send(send);
            sleep(waitMs / 1_000);
          }
        });
      });
      onClose();
    },
    after(ms, action) {
      const timer = setTimeout(action, ms);
      return () => clearTimeout(timer);
    },
    now: () => Date.now(),
    random: Math.random,
    record: (metric, value) => metrics.get(metric)?.add(value),
    check: (name, holds) => void check(null, { [name]: () => holds }),
  };
}

/** One of k6's scenarios for each part of the plan, all from the beginning; the script has to export a function for each. */
export function planOptions({ scenario, parts, durationMs }: Plan): Options {
  const present = Object.entries(parts).filter(([, { users }]) => users > 0);
  return {
    scenarios: Object.fromEntries(
      present.map(([name, { users }]) => [
        name,
        {
          executor: 'per-vu-iterations' as const,
          exec: name,
          vus: users,
          iterations: 1,
          maxDuration: `${Math.ceil(durationMs / 1_000) + GRACE_SECONDS}s`,
        },
      ]),
    ),
    thresholds: Object.fromEntries(Object.entries(scenario.thresholds).map(([metric, list]) => [metric, [...list]])),
    summaryTrendStats: ['avg', 'med', 'p(95)', 'p(99)', 'max'],
  };
}

/** What a script exports for a part of its plan: one virtual user. */
export function vuOf(world: World, { parts }: Plan, part: string): () => void {
  return () => parts[part]!.run(world, exec.scenario.iterationInTest);
}
