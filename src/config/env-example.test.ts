import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, it } from 'vitest';
import { VARIABLES } from './schema.ts';

const text = readFileSync(resolve(import.meta.dirname, '../../.env.example'), 'utf8');

it('.env.example lists exactly the variables that are read, with the defaults that hold', () => {
  const listed = [...text.matchAll(/^#([A-Z][A-Z_]*)=(.*)$/gm)].map((match) => [match[1]!, match[2]!] as const);
  expect(listed).toHaveLength(Object.keys(VARIABLES).length);
  expect(Object.fromEntries(listed)).toEqual(
    Object.fromEntries(Object.entries(VARIABLES).map(([name, { fallback }]) => [name, fallback ?? ''])),
  );
});

it('.env.example explains each variable right above it', () => {
  const lines = text.split('\n');
  const bare = lines.filter((line, index) => /^#[A-Z][A-Z_]*=/.test(line) && !lines[index - 1]!.startsWith('# '));
  expect(bare).toEqual([]);
});
