import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CLOSE_CODES } from '../protocol/close-codes.ts';
import { CONNECTION_LIMITS, RETENTION_LIMITS } from '../protocol/limits.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');

function section(name: string): string {
  const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
  expect(README).toContain(begin);
  return README.slice(README.indexOf(begin) + begin.length, README.indexOf(end));
}

describe('the README', () => {
  it('shows the bot that is tested, to the letter', () => {
    const bot = readFileSync(join(ROOT, 'src/client/example-bot.ts'), 'utf8').replace('./index.ts', 'tidewire/client');
    expect(section('bot').trim()).toBe(`\`\`\`ts\n${bot.trim()}\n\`\`\``);
  });

  it('names the limits that are in force', () => {
    const limits = section('limits');
    const { heartbeatMs: _heartbeat, handshakeTimeoutMs: _handshake, ...shown } = CONNECTION_LIMITS;
    const codes = [CLOSE_CODES.abuse.code, CLOSE_CODES.slow_consumer.code];
    for (const value of [...Object.values(shown), ...Object.values(RETENTION_LIMITS), ...codes]) {
      expect(limits).toMatch(new RegExp(`\\b${value}\\b`));
    }
  });

  it('names only files that exist and scripts that package.json has', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const paths = [...README.matchAll(/\]\(((?:src|load-tests|\.env)[^)]*)\)/g)].map((match) => match[1]!);
    expect(paths.length).toBeGreaterThan(2);
    expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
    const named = [...README.matchAll(/npm run ([\w:]+)/g)].map((match) => match[1]!);
    expect(named.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
  });
});
