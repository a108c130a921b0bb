/** True when `value` nests objects and arrays deeper than `limit`. Walks without recursion: 16 KiB of `[` is 16,000 levels. */
export function nestsDeeperThan(value: unknown, limit: number): boolean {
  let level: object[] = isNode(value) ? [value] : [];
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > limit) return true;
    const next: object[] = [];
    for (const node of level) {
      for (const child of Object.values(node)) if (isNode(child)) next.push(child);
    }
    level = next;
  }
  return false;
}

function isNode(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
