/**
 * What an API key signs. Pure, and without packages, so that a client, a test and the server make the same text.
 *
 * The text is these lines, joined by `\n` (no line end after the last):
 * `TIDEWIRE1`, key id, timestamp (Unix milliseconds), receive window (milliseconds), nonce, method in upper case, path without
 * the query, query sorted, SHA-256 of the body as sent (hex, lower case; of nothing when there is no body).
 *
 * Query: as sent, not decoded; split at `&`, sorted by what stands before the first `=` in code unit order, joined by `&`.
 * Pairs of one name keep their order, because it can matter.
 *
 * Ed25519: the signature of the text's UTF-8 bytes. HMAC: HMAC-SHA256 of them, keyed with the UTF-8 bytes of the secret as it
 * was shown. Either goes as base64url without padding.
 */
export type SigningFields = Readonly<{
  keyId: string;
  timestampMs: number;
  recvWindowMs: number;
  /** 16 to 64 letters, digits, `-` and `_`; never used twice with one key. */
  nonce: string;
  method: string;
  /** With the query, as it goes over the wire. */
  path: string;
  bodyHash: string;
}>;

export const SIGNING_VERSION = 'TIDEWIRE1';
export const RECV_WINDOW_DEFAULT_MS = 5_000;
export const RECV_WINDOW_LIMIT_MS = 60_000;
/** A timestamp further ahead of the server's clock than this is refused. */
export const SIGNING_FUTURE_LIMIT_MS = 1_000;
/** SHA-256 of nothing. */
export const EMPTY_BODY_HASH = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

export const KEY_ID = /^twk_[A-Za-z0-9_-]{22}$/;
const NONCE = /^[A-Za-z0-9_-]{16,64}$/;
const METHOD = /^[A-Z]{1,16}$/;
/** Visible ASCII only: what cannot be in a request line cannot end a line of the text either. */
const PATH = /^\/[!-~]{0,8191}$/;
const BODY_HASH = /^[0-9a-f]{64}$/;

/** Throws a `RangeError` for fields that no request can have. */
export function signingText(fields: SigningFields): string {
  const { keyId, timestampMs, recvWindowMs, nonce, method, path, bodyHash } = fields;
  if (!isSignable(fields)) throw new RangeError('these fields cannot be signed');
  const [pathname, query] = splitPath(path);
  return [
    SIGNING_VERSION,
    keyId,
    `${timestampMs}`,
    `${recvWindowMs}`,
    nonce,
    method,
    pathname,
    sortQuery(query),
    bodyHash,
  ].join('\n');
}

export function isSignable(fields: SigningFields): boolean {
  const { keyId, timestampMs, recvWindowMs, nonce, method, path, bodyHash } = fields;
  return (
    KEY_ID.test(keyId) &&
    isWhole(timestampMs) &&
    isWhole(recvWindowMs) &&
    recvWindowMs <= RECV_WINDOW_LIMIT_MS &&
    NONCE.test(nonce) &&
    METHOD.test(method) &&
    PATH.test(path) &&
    !path.includes('#') &&
    BODY_HASH.test(bodyHash)
  );
}

function isWhole(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}

function splitPath(path: string): [pathname: string, query: string] {
  const at = path.indexOf('?');
  return at < 0 ? [path, ''] : [path.slice(0, at), path.slice(at + 1)];
}

function sortQuery(query: string): string {
  const pairs = query.split('&').map((pair) => ({ pair, name: pair.split('=', 1)[0]! }));
  // Sorting is stable, so that pairs of one name keep their order.
  pairs.sort((left, right) => (left.name < right.name ? -1 : left.name > right.name ? 1 : 0));
  return pairs.map(({ pair }) => pair).join('&');
}
