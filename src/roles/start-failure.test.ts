import { expect, it } from 'vitest';
import { StartFailure, listening } from './start-failure.ts';

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
