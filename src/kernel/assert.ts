/** An impossible state. Thrown by `assert`; never caught to go on, only to end the process cleanly. */
export class ImpossibleError extends Error {
  override name = 'ImpossibleError';
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new ImpossibleError(message);
}
