import { expect, it } from 'vitest';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { StartFailure, listening, probePort } from './start-failure.ts';

function failWith(code: string): Promise<never> {
  return Promise.reject(Object.assign(new Error('listen failed'), { code }));
}

it.each([
  ['EADDRINUSE', 'PORT: 3000 on 10.9.8.7 is in use by another process'],
  ['EACCES', 'PORT: 3000 on 10.9.8.7 may not be used by this user'],
  ['EADDRNOTAVAIL', 'HOST: 10.9.8.7 is not an address of this machine'],
  ['ENOTFOUND', 'HOST: 10.9.8.7 is not an address of this machine'],
])('%s is told as something to change, not as a stack', async (code, message) => {
  const place = { host: '10.9.8.7', port: 3000 };
  await expect(listening('PORT', place, () => failWith(code))).rejects.toThrow(new StartFailure(message));
});

it('a failure that nobody at the terminal can remove is not dressed up', async () => {
  const attempt = listening('PORT', { host: 'h', port: 1 }, () => failWith('EMFILE'));
  await expect(attempt).rejects.not.toBeInstanceOf(StartFailure);
});

it('a port that is taken is told before anything slow is started, and a free one stays free', async () => {
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const place = { host: '127.0.0.1', port: (holder.address() as AddressInfo).port };
  await expect(probePort('PORT', place)).rejects.toThrow(/^PORT: \d+ on 127.0.0.1 is in use/);
  holder.close();
  await once(holder, 'close');
  await probePort('PORT', place);
  await probePort('PORT', place);
});
