import { describe, expect, it } from 'vitest';
import { createMetrics } from '../../platform/metrics.ts';
import { createPasswords } from './passwords.ts';

const metrics = createMetrics({ processMetrics: false });

describe('password hashing', () => {
  it('does a few at a time, lets a few wait, and goes on after the flood', async () => {
    const passwords = createPasswords(metrics, 2);
    const flood = await Promise.all(Array.from({ length: 6 }, () => passwords.hash('seven blue horses')));
    expect(flood.filter((hash) => hash === null)).toHaveLength(2);
    expect(await passwords.verify('seven blue horses', flood[0]!)).toBe(true);
    expect(await passwords.verify('seven blue horse', flood[0]!)).toBe(false);
    expect(await passwords.verify('seven blue horses', null)).toBe(false);
  });

  it('is readable by others, and salted', async () => {
    const passwords = createPasswords(metrics);
    const [one, two] = await Promise.all([passwords.hash('seven'), passwords.hash('seven')]);
    expect(one).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    expect(one).not.toBe(two);
    await expect(
      passwords.verify('x', '$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$' + 'A'.repeat(43)),
    ).rejects.toThrow();
    await expect(passwords.verify('x', '$2b$12$nothing')).rejects.toThrow();
    // From the tests of the reference implementation.
    const reference = '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc';
    expect(await passwords.verify('password', reference)).toBe(true);
    // A hash that throws gives its place back.
    expect(await passwords.verify('seven', one)).toBe(true);
  });
});
