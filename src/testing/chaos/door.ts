const ANSWER_LIMIT_MS = 12_000;
const PASSWORD = 'tidal-breakwater-9431';

/** Null: no answer came, so that nobody knows what happened. */
export type Answer = Readonly<{ status: number; hit: boolean; body: Record<string, unknown> }> | null;

/** One user's REST door to a server that may be gone at any moment. */
export type Door = Readonly<{
  userId: string;
  token(): string;
  call(method: string, path: string, options?: Readonly<{ body?: unknown; key?: string }>): Promise<Answer>;
  login(): Promise<void>;
  /** The same user at another server. */
  at(url: string): Pick<Door, 'call'>;
}>;

async function request(url: string, method: string, headers: Record<string, string>, body?: unknown): Promise<Answer> {
  try {
    const answer = await fetch(url, {
      method,
      headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
    });
    const hit = answer.headers.get('idempotency-hit') === 'true';
    return { status: answer.status, hit, body: (await answer.json()) as Record<string, unknown> };
  } catch {
    // Refused, reset, cut short or too late: all the same to whoever asked.
    return null;
  }
}

/** Registers; each user comes from an address of its own, as a trusted proxy tells it. */
export async function openDoor(url: string, name: string, index: number): Promise<Door> {
  const from = { 'x-forwarded-for': `10.77.${index >> 8}.${index & 255}` };
  const email = `${name}@example.com`;
  const grant = async (path: string): Promise<{ user: { id: string }; accessToken: string }> => {
    const answer = await request(`${url}${path}`, 'POST', from, { email, password: PASSWORD });
    if (answer === null || answer.status >= 300) throw new Error(`${path} of ${name}: ${JSON.stringify(answer)}`);
    return answer.body as never;
  };
  const { user, accessToken } = await grant('/v1/auth/register');
  let token = accessToken;
  let renewal: Promise<void> | null = null;
  const callAt =
    (place: string): Door['call'] =>
    (method, path, { body, key } = {}) =>
      request(
        place + path,
        method,
        { ...from, authorization: `Bearer ${token}`, ...(key === undefined ? {} : { 'idempotency-key': key }) },
        body,
      );
  return {
    userId: user.id,
    token: () => token,
    call: callAt(url),
    at: (place) => ({ call: callAt(place) }),
    login() {
      renewal ??= grant('/v1/auth/login')
        .then((fresh) => void (token = fresh.accessToken))
        .catch(() => undefined)
        .finally(() => (renewal = null));
      return renewal;
    },
  };
}
