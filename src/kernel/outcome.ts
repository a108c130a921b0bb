/** The result of something that may be refused for a reason the caller can understand: a value, never an exception. */
export type Accepted<T> = Readonly<{ ok: true; value: T }>;
export type Refused<C extends string> = Readonly<{ ok: false; code: C; message: string }>;
export type Outcome<T, C extends string = string> = Accepted<T> | Refused<C>;

export function accepted<T>(value: T): Accepted<T> {
  return { ok: true, value };
}

export function refused<C extends string>(code: C, message: string): Refused<C> {
  return { ok: false, code, message };
}
