import { BlockList, isIP } from 'node:net';
import { z } from 'zod';

/** Longest value that any variable may have; a list of origins fits many times over. */
const VALUE_LIMIT_CHARS = 4_096;
const LIST_LIMIT = 64;
/** A name cut to this length still says which value was meant. */
const QUOTED_LIMIT_CHARS = 40;

/**
 * Text as it must arrive: what a shell, a CRLF file or a quoting mistake adds is refused rather than trimmed,
 * because the next program that reads the same file would not trim it.
 */
export const PlainText = z
  .string()
  .max(VALUE_LIMIT_CHARS, `is longer than ${VALUE_LIMIT_CHARS} characters`)
  .refine((text) => !/\p{Cc}/u.test(text), 'holds a control character (a file with CRLF line ends?)')
  .refine((text) => text === text.trim(), 'has white space at its start or end')
  .refine((text) => !/^(["'`]).*\1$/s.test(text), 'is wrapped in quotes that are part of the value');

const SECRET_LEAST_CHARS = 32;
/** Fewer different characters than this is a pattern that somebody typed, not a secret that somebody made. */
const SECRET_LEAST_VARIETY = 12;
const SAMPLE_SECRETS = /changeme|change-me|secret|password|example|default|0123456789/i;

/** Never printed, so that the message cannot say what is wrong with it beyond this. */
export const SecretText = PlainText.refine(
  (text) => text.length >= SECRET_LEAST_CHARS,
  `must have at least ${SECRET_LEAST_CHARS} characters`,
)
  .refine((text) => new Set(text).size >= SECRET_LEAST_VARIETY, 'repeats too few characters to be a secret')
  .refine(
    (text) => !SAMPLE_SECRETS.test(text),
    'holds a word that stands in examples; make one with openssl rand -base64 48',
  );

export function integer(limits: { min: number; max: number }): z.ZodType<number, string> {
  const message = `must be a whole number from ${limits.min} to ${limits.max}`;
  return PlainText.refine((text) => /^(?:0|[1-9][0-9]{0,14})$/.test(text), message)
    .transform(Number)
    .refine((value) => value >= limits.min && value <= limits.max, message);
}

export function decimal(limits: { min: number; max: number }): z.ZodType<number, string> {
  const message = `must be a plain decimal number from ${limits.min} to ${limits.max}`;
  return PlainText.refine((text) => /^(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,9})?$/.test(text), message)
    .transform(Number)
    .refine((value) => value >= limits.min && value <= limits.max, message);
}

export const Switch: z.ZodType<boolean, string> = PlainText.refine(
  (text) => text === 'true' || text === 'false',
  'must be exactly true or false',
).transform((text) => text === 'true');

export function choice<const T extends string>(options: readonly T[]): z.ZodType<T, string> {
  return PlainText.refine(
    (text): text is T => (options as readonly string[]).includes(text),
    `must be one of ${options.join(', ')}`,
  ) as unknown as z.ZodType<T, string>;
}

/** A comma-separated list without blanks, empty places or repeats. */
export function list<T extends string>(item: (text: string) => string | null): z.ZodType<readonly T[], string> {
  return PlainText.transform((text, context): readonly T[] => {
    const parts = text.split(',');
    const problem =
      parts.length > LIST_LIMIT
        ? `holds more than ${LIST_LIMIT} names`
        : parts.map((part) => (part === '' ? 'holds an empty place in the list' : item(part))).find((each) => each);
    const repeated = parts.find((part, index) => parts.indexOf(part) !== index);
    const message = problem ?? (repeated === undefined ? null : `names ${quoted(repeated)} twice`);
    if (message === null) return parts as T[];
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  });
}

export const Host: z.ZodType<string, string> = PlainText.refine(
  (text) => isIP(text) !== 0 || /^(?!-)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*$/.test(text),
  'must be an IP address or a host name',
);

export function address(protocols: readonly string[]): z.ZodType<string, string> {
  const message = `must be an address that starts with ${protocols.map((each) => `${each}//`).join(' or ')} and names a host (percent-encode special characters of a password)`;
  return PlainText.refine((text) => isAddress(text, protocols), message);
}

function isAddress(text: string, protocols: readonly string[]): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  return (
    protocols.includes(url.protocol) && url.hostname !== '' && [url.username, url.password].every(isPercentEncoded)
  );
}

function isPercentEncoded(text: string): boolean {
  return !/%(?![0-9A-Fa-f]{2})/.test(text);
}

/** `null` for a browser's origin: scheme, host and port, nothing more, spelled as browsers spell it. */
export function originProblem(text: string): string | null {
  const wanted = `${quoted(text)} is not an origin such as https://app.example.com`;
  if (!/^https?:\/\//.test(text) || !URL.canParse(text)) return wanted;
  return new URL(text).origin === text ? null : wanted;
}

/**
 * `null` for an address or a network. A number of hops or `true` would let any client that reaches us directly choose the
 * address that limits are counted by.
 */
export function proxyProblem(text: string): string | null {
  const [host = '', bits, ...rest] = text.split('/');
  const family = isIP(host);
  const wanted = `${quoted(text)} is not an IP address or a network such as 10.0.0.0/8`;
  if (family === 0 || rest.length > 0) return wanted;
  if (bits === undefined) return null;
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(bits)) return wanted;
  if (Number(bits) === 0) return `${quoted(text)} trusts everybody`;
  return fitsNetwork(host, Number(bits), family === 6 ? 'ipv6' : 'ipv4') ? null : wanted;
}

function fitsNetwork(host: string, bits: number, family: 'ipv4' | 'ipv6'): boolean {
  if (bits > (family === 'ipv6' ? 128 : 32)) return false;
  new BlockList().addSubnet(host, bits, family);
  return true;
}

export function quoted(text: string): string {
  return JSON.stringify(text.length > QUOTED_LIMIT_CHARS ? `${text.slice(0, QUOTED_LIMIT_CHARS)}...` : text);
}
