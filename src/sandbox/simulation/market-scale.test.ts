import { describe, expect, it } from 'vitest';
import { marketScale } from './market-scale.ts';

describe('market scale', () => {
  it.each([
    ['0.01', 6_183_763, '61837.63'],
    ['0.01', 5, '0.05'],
    ['0.05', 3, '0.15'],
    ['0.5', 7, '3.5'],
    ['1', 42, '42'],
    ['10', 42, '420'],
    ['0.0000001', 912_345, '0.0912345'],
    ['0.00000001', 1, '0.00000001'],
    ['0.00000001', 2 ** 53 - 1, '90071992.54740991'],
  ])('writes steps of %s without float noise: %d -> %s', (step, count, text) => {
    const scale = marketScale({ tickSize: step, lotSize: step });
    expect(scale.priceText(count)).toBe(text);
    expect(scale.sizeText(count)).toBe(text);
  });
});
