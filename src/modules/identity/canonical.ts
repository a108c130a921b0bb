const DEPTH_LIMIT = 16;
const LENGTH_LIMIT = 16_384;

/**
 * One text for one JSON value, whatever the order of its fields: what a step-up confirms. Absent fields and `undefined` are the
 * same. Null: too deep, too long, or no JSON value.
 */
export function canonicalText(value: unknown): string | null {
  const text = write(value, 0);
  return text === null || text.length > LENGTH_LIMIT ? null : text;
}

function write(value: unknown, depth: number): string | null {
  if (depth > DEPTH_LIMIT) return null;
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return JSON.stringify(value);
  if (typeof value === 'number') return Number.isFinite(value) ? JSON.stringify(value) : null;
  if (Array.isArray(value))
    return join(
      '[',
      value.map((item: unknown) => write(item, depth + 1)),
      ']',
    );
  if (typeof value !== 'object' || value === undefined) return null;
  const fields = Object.entries(value as Readonly<Record<string, unknown>>).filter(([, item]) => item !== undefined);
  fields.sort(([left], [right]) => (left < right ? -1 : 1));
  const parts = fields.map(([name, item]) => {
    const text = write(item, depth + 1);
    return text === null ? null : `${JSON.stringify(name)}:${text}`;
  });
  return join('{', parts, '}');
}

function join(open: string, parts: readonly (string | null)[], close: string): string | null {
  return parts.includes(null) ? null : `${open}${parts.join(',')}${close}`;
}
