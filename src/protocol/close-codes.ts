/**
 * WebSocket close codes. The band carries the advice: 3000-3499 reconnect (with backoff and resume), 3500-3999 do not.
 * The plain door closes with the code; the Socket.IO door, whose clients cannot see it, sends the event `closing` first.
 */
export const CLOSE_CODES = {
  shutdown: { code: 3001, reason: 'shutdown' },
  internal: { code: 3004, reason: 'internal' },
  slow_consumer: { code: 3008, reason: 'slow_consumer' },
  no_pong: { code: 3012, reason: 'no_pong' },
  /** The credential of the connection has ended: a new one is needed before it is worth coming back. */
  unauthorized: { code: 3500, reason: 'unauthorized' },
  bad_request: { code: 3501, reason: 'bad_request' },
  connection_limit: { code: 3504, reason: 'connection_limit' },
  forbidden: { code: 3507, reason: 'forbidden' },
  abuse: { code: 3509, reason: 'abuse' },
} as const;

export type CloseName = keyof typeof CLOSE_CODES;

export function mayReconnect(code: number): boolean {
  return code < 3500;
}
