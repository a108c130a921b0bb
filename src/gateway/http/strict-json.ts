import type { Outcome } from '../../kernel/outcome.ts';
import { accepted, refused } from '../../kernel/outcome.ts';

/** No body of ours needs more than 5. */
const NESTING_LIMIT = 16;
const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/** Of one object that is open at this point of the text. An array has no keys. */
type Open = { keys: Set<string> | null; expectsKey: boolean };

/**
 * JSON as two readers cannot read differently: UTF-8 without a BOM, no key twice, no keys that JavaScript gives a meaning, no NUL (which
 * Postgres cannot store) and no half of a surrogate pair (which would arrive as another character), not nested deeply.
 */
export function parseStrictJson(bytes: Buffer): Outcome<unknown, 'bad_request'> {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return refused('bad_request', 'The body is not UTF-8');
  }
  try {
    value = JSON.parse(text);
  } catch {
    return refused('bad_request', 'The body is not JSON');
  }
  const problem = findProblem(text);
  return problem === null ? accepted(value) : refused('bad_request', problem);
}

/** Walks over text that is known to be JSON, without recursion. */
function findProblem(text: string): string | null {
  const open: Open[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    const within = open.at(-1);
    if (character === '"') {
      const end = endOfString(text, at);
      const problem = judgeString(text.slice(at, end + 1), within);
      if (problem !== null) return problem;
      at = end;
    } else if (character === '{' || character === '[') {
      if (open.length >= NESTING_LIMIT) return `The body nests deeper than ${NESTING_LIMIT} levels`;
      open.push(character === '{' ? { keys: new Set(), expectsKey: true } : { keys: null, expectsKey: false });
    } else if (character === '}' || character === ']') {
      open.pop();
    } else if (character === ',' && within?.keys) {
      within.expectsKey = true;
    }
  }
  return null;
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at;
}

function judgeString(quoted: string, within: Open | undefined): string | null {
  const content = quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
  if (content.includes('\0')) return 'The body holds a NUL character';
  if (!content.isWellFormed()) return 'The body holds half of a surrogate pair';
  if (!within?.keys || !within.expectsKey) return null;
  within.expectsKey = false;
  if (FORBIDDEN_KEYS.has(content)) return 'The body holds a key that is never allowed';
  if (within.keys.has(content)) return 'The body holds a key twice';
  within.keys.add(content);
  return null;
}
