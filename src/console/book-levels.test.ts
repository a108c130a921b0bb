import { describe, expect, it } from 'vitest';
import { rungsOf, spreadOf, stepsOf } from './book-levels.ts';
import type { Level } from '../client/index.ts';

const BIDS: Level[] = [
  ['100.09', '0.1'],
  ['100.07', '0.2'],
  ['99.99', '1'],
];
const ASKS: Level[] = [
  ['100.10', '0.3'],
  ['100.11', '0.00000001'],
  ['100.25', '2'],
];

describe('a ladder', () => {
  it('adds up sizes exactly where floats would show dust', () => {
    expect(rungsOf(BIDS, 'bids', null, 3).map((rung) => rung.total)).toEqual(['0.1', '0.3', '1.3']);
    expect(rungsOf(ASKS, 'asks', null, 2).map((rung) => rung.total)).toEqual(['0.30000000', '0.30000001']);
  });

  it('never shows a better price than there is: bids fall to the step below, asks rise to the step above', () => {
    expect(rungsOf(BIDS, 'bids', '0.1', 5).map(({ price, size }) => [price, size])).toEqual([
      ['100.0', '0.3'],
      ['99.9', '1.0'],
    ]);
    expect(rungsOf(ASKS, 'asks', '0.1', 5).map(({ price, size }) => [price, size])).toEqual([
      ['100.1', '0.30000000'],
      ['100.2', '0.00000001'],
      ['100.3', '2.00000000'],
    ]);
  });

  it('fills whole steps before it stops', () => {
    expect(rungsOf(BIDS, 'bids', '0.1', 1)).toMatchObject([{ price: '100.0', size: '0.3', share: 1 }]);
  });

  it('of an empty side is empty', () => {
    expect(rungsOf([], 'asks', '0.1', 5)).toEqual([]);
    expect(spreadOf([], ASKS)).toBeNull();
  });

  it('tells the spread exactly', () => {
    expect(spreadOf(BIDS, ASKS)).toMatchObject({ text: '0.01' });
    expect(spreadOf([['3', '1']], [['2.5', '1']])).toMatchObject({ text: '-0.5' });
  });

  it('offers only steps that leave more than one rung', () => {
    expect(stepsOf('0.01', '100')).toEqual(['0.1', '0.5']);
    expect(stepsOf('0.00000100', '0.5')).toEqual(['0.00001', '0.00005', '0.0001', '0.0005', '0.001']);
    expect(stepsOf('0.01', undefined)).toEqual([]);
  });
});
