import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import type { SignedRequest } from '../../modules/identity/index.ts';
import { KEY_ID, RECV_WINDOW_DEFAULT_MS, RECV_WINDOW_LIMIT_MS } from '../../protocol/signing.ts';

/** Header, and the only form that it may have. Twice the same header arrives joined by a comma, which none of them takes. */
const HEADERS = {
  keyId: ['x-api-key', KEY_ID],
  timestamp: ['x-api-timestamp', /^[1-9][0-9]{12}$/],
  nonce: ['x-api-nonce', /^[A-Za-z0-9_-]{16,64}$/],
  signature: ['x-api-signature', /^[A-Za-z0-9_-]{20,128}$/],
} as const;
const RECV_WINDOW = /^[1-9][0-9]{0,4}$/;

export function isSigned(request: FastifyRequest): boolean {
  return Object.values(HEADERS).some(([name]) => request.headers[name] !== undefined);
}

/** Null when a header is missing or not in its form. The body is hashed as it was received. */
export function readSignedRequest(request: FastifyRequest): SignedRequest | null {
  const read = (field: keyof typeof HEADERS): string | null => {
    const [name, form] = HEADERS[field];
    const text = request.headers[name];
    return typeof text === 'string' && form.test(text) ? text : null;
  };
  const [keyId, timestamp, nonce, signature] = [read('keyId'), read('timestamp'), read('nonce'), read('signature')];
  const recvWindowMs = readRecvWindow(request.headers['x-api-recv-window']);
  if (keyId === null || timestamp === null || nonce === null || signature === null || recvWindowMs === null)
    return null;
  return {
    keyId,
    timestampMs: Number(timestamp),
    recvWindowMs,
    nonce,
    signature,
    method: request.method,
    path: request.raw.url ?? '',
    bodyHash: createHash('sha256')
      .update(request.rawBody ?? '')
      .digest('hex'),
  };
}

function readRecvWindow(text: string | string[] | undefined): number | null {
  if (text === undefined) return RECV_WINDOW_DEFAULT_MS;
  if (typeof text !== 'string' || !RECV_WINDOW.test(text)) return null;
  return Number(text) <= RECV_WINDOW_LIMIT_MS ? Number(text) : null;
}
