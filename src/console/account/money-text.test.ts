import { expect, it } from 'vitest';
import { amountText, assetName, signedText, toneOfAmount } from './money-text.ts';

it('never shows more money than there is', () => {
  expect(amountText('0.999999999999999999')).toBe('0.99999999');
  expect(amountText('1234567.100000000000000000')).toBe('1,234,567.1');
  expect(amountText('100')).toBe('100');
  expect(amountText('0.000000000000000001')).toBe('0');
});

it('says of a loss that it is one, and of nothing that it is nothing', () => {
  expect([signedText('-12.50'), signedText('3'), signedText(null)]).toEqual(['−12.5', '+3', '–']);
  expect(['-0.00', '0', '-1', '1'].map(toneOfAmount)).toEqual(['', '', 'down', 'up']);
});

it('names assets as people do', () => expect([assetName('PAPER:USDT'), assetName('USDT')]).toEqual(['USDT', 'USDT']));
