/**
 * The one closed table of errors a client can meet, on REST and on both socket doors.
 * `temporary` means: the same request may succeed later without a change.
 */
export const ERRORS = {
  bad_request: { status: 400, temporary: false, title: 'The request does not fit the schema' },
  unknown_method: { status: 400, temporary: false, title: 'There is no such method' },
  unknown_stream: { status: 400, temporary: false, title: 'Not a stream name' },
  unsupported_option: { status: 400, temporary: false, title: 'The stream option is not offered' },
  unauthorized: { status: 401, temporary: false, title: 'Authentication is missing or not valid' },
  forbidden: { status: 403, temporary: false, title: 'Not allowed' },
  not_found: { status: 404, temporary: false, title: 'There is nothing at this address' },
  unknown_venue: { status: 404, temporary: false, title: 'The venue is not configured here' },
  unknown_symbol: { status: 404, temporary: false, title: 'The venue does not list this symbol' },
  method_not_allowed: { status: 405, temporary: false, title: 'The address does not take this method' },
  payload_too_large: { status: 413, temporary: false, title: 'The message or body is too large' },
  unsupported_media_type: { status: 415, temporary: false, title: 'The content type is not supported' },
  too_many_streams: { status: 429, temporary: false, title: 'The connection has as many streams as it may' },
  rate_limited: { status: 429, temporary: true, title: 'Too many requests' },
  connection_limit: { status: 429, temporary: true, title: 'Too many connections' },
  internal: { status: 500, temporary: true, title: 'Something failed on our side' },
  venue_unavailable: { status: 503, temporary: true, title: 'The venue gives no data at the moment' },
  draining: { status: 503, temporary: true, title: 'This server is shutting down' },
  overloaded: { status: 503, temporary: true, title: 'The server sheds load' },
} as const satisfies Record<string, { status: number; temporary: boolean; title: string }>;

export type ErrorCode = keyof typeof ERRORS;
export const ERROR_CODES = Object.keys(ERRORS) as ErrorCode[];

/** What a client receives. `retryAfterMs` is milliseconds, present only where waiting helps. */
export type WireError = Readonly<{ code: ErrorCode; message: string; temporary: boolean; retryAfterMs?: number }>;

export function wireError(code: ErrorCode, message?: string, retryAfterMs?: number): WireError {
  const { temporary, title } = ERRORS[code];
  return { code, message: message ?? title, temporary, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}
