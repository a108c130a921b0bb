import { expect, test } from 'vitest';
import { shareOut } from './thread-profile.ts';

const node = (id: number, functionName: string, url: string, children: number[] = []): object => ({
  id,
  callFrame: { functionName, url },
  children,
});

test('time goes to whose code asked for it: builtins to their caller, idle time to nobody', () => {
  const nodes = [
    node(1, '(root)', '', [2, 5, 6, 7]),
    node(2, 'onMessage', 'node:events', [3]),
    node(3, 'handleDelta', 'file:///x/node_modules/ccxt/js/src/pro/binance.js', [4]),
    node(4, 'parse', ''),
    node(5, '(idle)', ''),
    node(6, '(garbage collector)', ''),
    node(7, 'onBook', 'file:///x/src/feed/book-channel.ts'),
  ];
  const profile = { nodes, samples: [2, 3, 4, 5, 6, 7], timeDeltas: [10, 20, 30, 900, 15, 25] };
  expect(shareOut([profile as never])).toEqual({ ccxt: 0.5, ours: 0.25, runtime: 0.1, garbage: 0.15 });
});
