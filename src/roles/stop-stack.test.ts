import { expect, it } from 'vitest';
import { createLog } from '../platform/log.ts';
import { StopStack } from './stop-stack.ts';

const log = createLog({ level: 'silent' });

it('parts stop in reverse, each after the one before has stopped', async () => {
  const told: string[] = [];
  const stops = new StopStack(log);
  for (const name of ['bus', 'feed', 'gateway']) {
    stops.push(name, async () => {
      told.push(`${name} stops`);
      await Promise.resolve();
      told.push(`${name} stopped`);
    });
  }
  await stops.stopAll();
  expect(told).toEqual(['gateway', 'feed', 'bus'].flatMap((name) => [`${name} stops`, `${name} stopped`]));
});

it('a part that cannot stop does not keep the others running', async () => {
  const told: string[] = [];
  const stops = new StopStack(log);
  stops.push('first', () => {
    told.push('first');
  });
  stops.push('second', () => {
    throw new Error('stuck');
  });
  await stops.stopAll();
  expect(told).toEqual(['first']);
});

it('stopping twice stops each part once, and both wait for it', async () => {
  let stopped = 0;
  const stops = new StopStack(log);
  stops.push('only', async () => {
    await Promise.resolve();
    stopped += 1;
  });
  await Promise.all([stops.stopAll(), stops.stopAll()]);
  expect(stopped).toBe(1);
});
