import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { newRefreshToken, readRefreshToken } from './refresh-token.ts';
import { createKeyring, hashOf, newSecret } from './secrets.ts';

const keyring = createKeyring('the secret of this installation, long enough', []);
const next = createKeyring('another secret, also long enough, of later', [
  'the secret of this installation, long enough',
]);
const SESSION = '01900000-0000-7000-8000-000000000002';

describe('sealed secrets', () => {
  it('open for their owner only, on every process, and after the secret was retired', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string(), fc.string(), (plain, owner, other) => {
        const sealed = keyring.seal(plain, owner);
        expect(next.unseal(sealed, owner)).toBe(plain);
        if (other !== owner) expect(() => keyring.unseal(sealed, other)).toThrow();
      }),
    );
  });

  it('cannot be changed, cut or opened with another secret', () => {
    const sealed = keyring.seal('JBSWY3DPEHPK3PXP', 'totp 1');
    const foreign = createKeyring('a third secret that was never used here', []);
    expect(() => foreign.unseal(sealed, 'totp 1')).toThrow();
    expect(() => keyring.unseal('', 'totp 1')).toThrow();
    const [id, body] = sealed.split('.');
    const bytes = Buffer.from(body!, 'base64url');
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1;
      expect(() => keyring.unseal(`${id}.${changed.toString('base64url')}`, 'totp 1')).toThrow();
      expect(() => keyring.unseal(`${id}.${bytes.subarray(0, at).toString('base64url')}`, 'totp 1')).toThrow();
    }
  });

  it('never look the same twice', () => {
    expect(new Set(Array.from({ length: 1_000 }, () => keyring.seal('same', 'same'))).size).toBe(1_000);
  });

  it('are not made from a short secret', () => {
    expect(() => createKeyring('short', [])).toThrow(/32 characters/);
  });
});

describe('random secrets', () => {
  it('are 256 bits and never the same', () => {
    const secrets = Array.from({ length: 100_000 }, newSecret);
    expect(new Set(secrets).size).toBe(secrets.length);
    expect(secrets.every((secret) => Buffer.from(secret, 'base64url').length === 32)).toBe(true);
    expect(hashOf('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });
});

describe('refresh tokens', () => {
  it('say whose they are, and only when we made them', () => {
    const token = newRefreshToken(keyring, { sessionId: SESSION, generation: 7 });
    expect(readRefreshToken(keyring, token)).toEqual({ sessionId: SESSION, generation: 7 });
    expect(readRefreshToken(next, token)).toEqual({ sessionId: SESSION, generation: 7 });
    for (const wrong of ['', 'twr_', `${token}A`, token.slice(0, -1), token.replace('twr_', 'twt_'), '\0'.repeat(95)])
      expect(readRefreshToken(keyring, wrong)).toBeNull();
    // The last letter carries 6 bits, all of them used.
    for (let at = 4; at < token.length; at++) {
      const letter = token[at] === 'A' ? 'Q' : 'A';
      expect(readRefreshToken(keyring, token.slice(0, at) + letter + token.slice(at + 1))).toBeNull();
    }
  });
});
