import { z } from 'zod';

/**
 * Query values arrive as text and are matched whole; nothing is coerced, a repeated key arrives as a list and is refused.
 * `documented` replaces the text pattern in the OpenAPI document by what the text means.
 */
type Documented = Readonly<Record<string, unknown>>;
const documentation = new WeakMap<object, Documented>();

export function documentedAs(schema: object): Documented | undefined {
  return documentation.get(schema);
}

export function integerQuery(settings: { min: number; max: number; fallback: number; description: string }) {
  const { min, max, fallback, description } = settings;
  const message = `must be a whole number from ${min} to ${max}`;
  const schema = z
    .string({ error: () => `${message}, given once` })
    .regex(/^(?:0|[1-9][0-9]{0,8})$/, { error: message, abort: true })
    .refine((text) => Number(text) >= min && Number(text) <= max, { error: message })
    .default(String(fallback))
    .transform(Number);
  documentation.set(schema, { type: 'integer', minimum: min, maximum: max, default: fallback, description });
  return schema;
}

export function choiceQuery<const T extends readonly string[]>(settings: {
  options: T;
  fallback: T[number];
  description: string;
}) {
  const { options, fallback, description } = settings;
  return z
    .enum(options, { error: () => `must be one of ${options.join(', ')}, given once` })
    .default(fallback as never)
    .meta({ description });
}

export function textQuery(settings: { pattern: RegExp; wanted: string; description: string }) {
  return z
    .string({ error: () => `${settings.wanted}, given once` })
    .regex(settings.pattern, { error: settings.wanted })
    .optional()
    .meta({ description: settings.description });
}
