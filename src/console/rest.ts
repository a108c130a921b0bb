/** No request waits longer: whoever looks at the screen gets data or an explanation. */
const TIMEOUT_MS = 10_000;

/** What a server's problem says, or `unreachable` when there was no answer. */
export class RestFailure extends Error {
  override name = 'RestFailure';
  readonly code: string;
  readonly status: number;
  readonly retryAfterMs: number | undefined;

  constructor(code: string, message: string, status: number, retryAfterMs?: number) {
    super(message);
    this.code = code;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

export type RestRequest = Readonly<{
  method?: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  body?: unknown;
  headers?: Readonly<Record<string, string>>;
  signal?: AbortSignal;
}>;

/** Rejects with `RestFailure`, or with the `AbortError` of `signal`. Answers null for 204. */
export async function requestJson<T>(path: string, request: RestRequest = {}): Promise<T> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const { method = 'GET', body, headers = {}, signal } = request;
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers: {
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      credentials: 'omit',
      cache: 'no-store',
    });
    if (response.ok) return (response.status === 204 ? null : await response.json()) as T;
  } catch (error) {
    if (signal?.aborted) throw error;
    const late = error instanceof DOMException && error.name === 'TimeoutError';
    throw new RestFailure(
      'unreachable',
      late ? 'The server did not answer in time' : 'The server cannot be reached',
      0,
    );
  }
  throw await failureOf(response);
}

type Problem = { code?: unknown; title?: unknown; detail?: unknown; retryAfterMs?: unknown };

async function failureOf(response: Response): Promise<RestFailure> {
  const problem = await response.json().then(
    (body: unknown) => (typeof body === 'object' && body !== null ? (body as Problem) : {}),
    (): Problem => ({}),
  );
  const text = [problem.detail, problem.title].find((each): each is string => typeof each === 'string' && each !== '');
  return new RestFailure(
    typeof problem.code === 'string' ? problem.code : 'internal',
    text ?? `The server answered ${response.status}`,
    response.status,
    typeof problem.retryAfterMs === 'number' ? problem.retryAfterMs : undefined,
  );
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
