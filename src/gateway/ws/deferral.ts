import type { Deferred, MethodOutcome } from './methods.ts';

type Settled<T> = Readonly<{ value: T } | { error: unknown }>;

/** For a method that asks a module: waits for `work`, whose rejection is then thrown where the intake answers it. */
export function after<T>(work: Promise<T>, finish: (value: T) => MethodOutcome | Deferred): Deferred {
  let settled: Settled<T> | undefined;
  const until = work.then(
    (value) => {
      settled = { value };
    },
    (error: unknown) => {
      settled = { error };
    },
  );
  return {
    until,
    finish: () => {
      if ('error' in settled!) throw settled.error;
      return finish(settled!.value);
    },
  };
}
