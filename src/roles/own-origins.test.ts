import { expect, it } from 'vitest';
import { ownOrigins } from './own-origins.ts';

it('a page that we serve may open a socket to us, under each name of this machine', () => {
  expect(ownOrigins('127.0.0.1', 3000)).toEqual([
    'http://localhost:3000',
    'http://127.0.0.1:3000',
    'http://[::1]:3000',
  ]);
  expect(ownOrigins('api.internal', 80)).toContain('http://api.internal');
  for (const origin of ownOrigins('0.0.0.0', 3000)) expect(origin).toMatch(/^http:\/\/[^/]+:3000$/);
});

it('no other page may', () => {
  for (const host of ['127.0.0.1', '0.0.0.0', '::'])
    expect(ownOrigins(host, 3000).join()).not.toMatch(/\*|null|0\.0\.0\.0/);
});
