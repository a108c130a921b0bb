import type { ErrorCode, WireError } from '../protocol/errors.ts';

/**
 * A server's code (see the protocol's error table), or one of the client's own:
 * `stopped` the connection will not come back; `iterator_overflow` a `for await` loop was too slow for its stream;
 * `timeout` a command was not answered in time, and whether it happened is not known;
 * `handler_failed` a callback of yours threw (`cause`); `malformed_frame` the server sent what the protocol does not know.
 */
export type ClientErrorCode =
  | ErrorCode
  | 'stopped'
  | 'timeout'
  | 'iterator_overflow'
  | 'handler_failed'
  | 'malformed_frame';

export class ClientError extends Error {
  override name = 'ClientError';
  readonly code: ClientErrorCode;
  /** The stream that it concerns; undefined for the connection. */
  readonly stream: string | undefined;

  constructor(code: ClientErrorCode, message: string, options: { stream?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.stream = options.stream;
  }
}

export function refusalError(error: WireError, stream?: string): ClientError {
  return new ClientError(error.code, error.message, stream === undefined ? {} : { stream });
}
