import { VARIABLE_NAMES } from './schema.ts';

const OUR_PREFIX = 'TIDEWIRE_';
/** Names this short differ from unrelated ones by two letters (`HOST` and `HOME`), so only one is forgiven. */
const SHORT_NAME_CHARS = 5;

export type NameProblem = Readonly<{ variable: string; message: string }>;

/** Names that are almost ours: a misspelt variable must not silently leave the default in force. */
export function misspeltNames(names: readonly string[], kubernetes: boolean): NameProblem[] {
  return names.flatMap((name) => {
    if ((VARIABLE_NAMES as string[]).includes(name)) return [];
    const ours = name.startsWith(OUR_PREFIX);
    if (ours && kubernetes && isServiceLink(name)) return [];
    const nearest = nearestVariable(ours ? name.slice(OUR_PREFIX.length) : name);
    if (!ours && !nearest.close) return [];
    return [{ variable: name, message: `is not a variable of Tidewire; did you mean ${nearest.name}?` }];
  });
}

/** Kubernetes puts these into every pod beside a service called `tidewire`. */
function isServiceLink(name: string): boolean {
  return /^TIDEWIRE_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_[0-9]+_(?:TCP|UDP)(?:_(?:PROTO|PORT|ADDR))?)?)$/.test(
    name,
  );
}

function nearestVariable(name: string): { name: string; close: boolean } {
  const spelled = name.toUpperCase();
  let best = { name: VARIABLE_NAMES[0] as string, distance: Infinity };
  for (const candidate of VARIABLE_NAMES) {
    const distance = editDistance(spelled, candidate);
    if (distance < best.distance) best = { name: candidate, distance };
  }
  const forgiven = best.name.length <= SHORT_NAME_CHARS ? 1 : 2;
  return { name: best.name, close: best.distance <= forgiven };
}

/** Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). */
export function editDistance(left: string, right: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    for (let column = 1; column <= right.length; column++) {
      const same = left[row - 1] === right[column - 1];
      let cost = Math.min(last[column]! + 1, current[column - 1]! + 1, last[column - 1]! + (same ? 0 : 1));
      const swapped = left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      if (row > 1 && column > 1 && swapped) cost = Math.min(cost, beforeLast[column - 2]! + 1);
      current.push(cost);
    }
    beforeLast = last;
    last = current;
  }
  return last[right.length]!;
}
