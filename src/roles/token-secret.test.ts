import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { tokenSecretOf } from './token-secret.ts';

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'tidewire-secret-'));
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

describe('the token secret', () => {
  it('is what was given, and then nothing is written', () => {
    expect(tokenSecretOf({ tokenSecret: 'given', dataDir })).toBe('given');
    expect(readdirSync(dataDir)).toEqual([]);
  });

  it('is made once, so that a restart logs nobody out, and is nobody else to read', () => {
    const first = tokenSecretOf({ tokenSecret: null, dataDir });
    expect(first).toHaveLength(64);
    expect(tokenSecretOf({ tokenSecret: null, dataDir })).toBe(first);
    expect(readdirSync(dataDir)).toEqual(['token-secret']);
    expect(statSync(join(dataDir, 'token-secret')).mode & 0o077).toBe(0);
  });

  it('differs between installations', () => {
    const first = tokenSecretOf({ tokenSecret: null, dataDir });
    rmSync(join(dataDir, 'token-secret'));
    expect(tokenSecretOf({ tokenSecret: null, dataDir })).not.toBe(first);
  });

  it('that was cut short stops the start instead of signing with it', () => {
    tokenSecretOf({ tokenSecret: null, dataDir });
    const path = join(dataDir, 'token-secret');
    writeFileSync(path, readFileSync(path, 'utf8').slice(0, 10));
    expect(() => tokenSecretOf({ tokenSecret: null, dataDir })).toThrow(/token-secret/);
  });
});
