import fc from 'fast-check';
import { expect, it } from 'vitest';
import { DueTimes } from './due-times.ts';
import type { PaperOrder } from './paper-order.ts';

const orders = Array.from({ length: 6 }, (_, index) => ({ id: `o${index}` }) as PaperOrder);
const place = fc.nat({ max: orders.length - 1 });
const command = fc.oneof(
  fc.record({ do: fc.constant('set'), place, atMs: fc.oneof(fc.nat({ max: 50 }), fc.constant(Infinity)) }),
  fc.record({ do: fc.constant('remove'), place }),
  fc.record({ do: fc.constant('take'), nowMs: fc.nat({ max: 60 }) }),
);

it('brings each order at its last time, once, earliest first, whatever was said before', () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
      const times = new DueTimes();
      const model = new Map<PaperOrder, number>();
      for (const each of commands) {
        if ('nowMs' in each) {
          const due = [...model].filter(([, atMs]) => atMs <= each.nowMs);
          const taken = times.take(each.nowMs);
          expect(new Set(taken)).toEqual(new Set(due.map(([order]) => order)));
          const at = taken.map((order) => model.get(order)!);
          expect(at).toEqual(at.toSorted((one, other) => one - other));
          for (const order of taken) model.delete(order);
        } else {
          const order = orders[each.place]!;
          if ('atMs' in each && each.atMs !== Infinity) {
            times.set(order, each.atMs);
            model.set(order, each.atMs);
          } else {
            if ('atMs' in each) times.set(order, Infinity);
            else times.remove(order);
            model.delete(order);
          }
        }
        expect(times.nextMs).toBe(Math.min(Infinity, ...model.values()));
      }
    }),
  );
});

it('does not remember what was cancelled long before its time', () => {
  const times = new DueTimes();
  times.set(orders[0]!, 5);
  for (let count = 0; count < 10_000; count++) {
    const order = { id: `${count}` } as PaperOrder;
    times.set(order, 1e12 + count);
    times.remove(order);
  }
  expect(times.length).toBeLessThan(1_100);
  expect(times.take(10)).toEqual([orders[0]]);
});
