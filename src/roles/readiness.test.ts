import { expect, it } from 'vitest';
import { START_DEADLINE_MS, decideReadiness } from './readiness.ts';

const venue = (name: string, loaded: boolean) => ({
  venue: name,
  loaded,
  markets: loaded ? 9 : 0,
  status: loaded ? 'live' : 'down',
  reason: '',
});
const FACTS = { roles: ['feed', 'gateway'], serving: true, sinceStartMs: 0, bus: 'ok' as const };

it.each([
  ['every venue has told its markets', true, { venues: [venue('a', true), venue('b', true)] }, ''],
  [
    'one is missing and may still come',
    false,
    { venues: [venue('a', true), venue('b', false)] },
    'without markets of b',
  ],
  [
    'one is missing for good: it must not keep the others from serving',
    true,
    { venues: [venue('a', true), venue('b', false)], sinceStartMs: START_DEADLINE_MS },
    'without markets of b',
  ],
  [
    'all are missing, however late it is: there is nothing to serve',
    false,
    { venues: [venue('a', false)], sinceStartMs: START_DEADLINE_MS * 9 },
    'without markets of a',
  ],
  ['the process stops', false, { venues: [venue('a', true)], serving: false }, 'starting or stopping'],
])('when %s, ready is %s', (_when, ready, facts, reason) => {
  expect(decideReadiness({ ...FACTS, ...facts })).toMatchObject({ ready, reason });
});
