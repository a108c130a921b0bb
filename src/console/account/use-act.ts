import { useState } from 'preact/hooks';
import { messageOf } from '../rest.ts';

export type Act = Readonly<{
  run: (doing: () => Promise<unknown>) => Promise<void>;
  busy: boolean;
  problem: string | null;
}>;

/** Something that a button does: once at a time, with its failure in words. */
export function useAct(): Act {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const run = async (doing: () => Promise<unknown>): Promise<void> => {
    setBusy(true);
    setProblem(null);
    try {
      await doing();
    } catch (error) {
      setProblem(messageOf(error));
    } finally {
      setBusy(false);
    }
  };
  return { run, busy, problem };
}
