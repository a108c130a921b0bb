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
  invalid_credentials: { status: 401, temporary: false, title: 'The e-mail address or the password is not right' },
  second_factor_required: { status: 401, temporary: false, title: 'A code of the authenticator app is needed' },
  invalid_code: { status: 401, temporary: false, title: 'The code is not right, or was used before' },
  token_expired: { status: 401, temporary: false, title: 'The token has expired; refresh it' },
  step_up_required: {
    status: 401,
    temporary: false,
    title: 'This act must be confirmed with a fresh proof of identity',
  },
  invalid_signature: { status: 401, temporary: false, title: 'The signature, its time or its key is not accepted' },
  forbidden: { status: 403, temporary: false, title: 'Not allowed' },
  not_found: { status: 404, temporary: false, title: 'There is nothing at this address' },
  unknown_venue: { status: 404, temporary: false, title: 'The venue is not configured here' },
  unknown_symbol: { status: 404, temporary: false, title: 'The venue does not list this symbol' },
  method_not_allowed: { status: 405, temporary: false, title: 'The address does not take this method' },
  email_taken: { status: 409, temporary: false, title: 'There is an account with this e-mail address' },
  already_done: { status: 409, temporary: false, title: 'This is so already' },
  replayed: { status: 409, temporary: false, title: 'This signed request was received before' },
  order_closed: { status: 409, temporary: false, title: 'The order is in a state that does not allow this' },
  conflict: { status: 409, temporary: true, title: 'Somebody else changed the same thing at the same time' },
  weak_password: { status: 422, temporary: false, title: 'The password is too short or too common' },
  key_reused: {
    status: 422,
    temporary: false,
    title: 'This idempotency key or client order id belongs to another request',
  },
  invalid_amount: { status: 422, temporary: false, title: 'The amount, price or quantity cannot be used' },
  invalid_order: { status: 422, temporary: false, title: 'The fields of the order do not fit together' },
  price_off_tick: { status: 422, temporary: false, title: "The price is no multiple of the market's tick" },
  quantity_off_lot: { status: 422, temporary: false, title: "The quantity is no multiple of the market's lot" },
  below_minimum: { status: 422, temporary: false, title: "The order is smaller than the market's minimum" },
  above_maximum: { status: 422, temporary: false, title: 'The order is larger than is allowed' },
  price_out_of_band: { status: 422, temporary: false, title: 'The price is too far from the market' },
  insufficient_funds: { status: 422, temporary: false, title: 'There is not enough available' },
  market_closed: { status: 422, temporary: false, title: 'The market is not open for trading' },
  not_fillable: { status: 422, temporary: false, title: 'The book cannot fill this' },
  trading_halted: { status: 423, temporary: true, title: 'Trading is halted' },
  too_many_orders: { status: 429, temporary: false, title: 'There are as many open orders as there may be' },
  payload_too_large: { status: 413, temporary: false, title: 'The message or body is too large' },
  unsupported_media_type: { status: 415, temporary: false, title: 'The content type is not supported' },
  too_many_streams: { status: 429, temporary: false, title: 'The connection has as many streams as it may' },
  rate_limited: { status: 429, temporary: true, title: 'Too many requests' },
  connection_limit: { status: 429, temporary: true, title: 'Too many connections' },
  internal: { status: 500, temporary: true, title: 'Something failed on our side' },
  market_data_stale: { status: 503, temporary: true, title: 'There is no fresh market data to price this with' },
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
