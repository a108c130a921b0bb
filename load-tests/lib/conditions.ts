import { availableParallelism, cpus, totalmem } from 'node:os';

/** Figures without their conditions are no figures. */
export function describeConditions(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  const memoryGiB = Math.round(totalmem() / 2 ** 30);
  return `${availableParallelism()} cores (${model}), ${memoryGiB} GiB, Node ${process.version}, ${process.platform} ${process.arch}; server and load on the same machine`;
}

export function inMs(value: number | null): string {
  return value === null ? 'n/a' : value < 10 ? value.toFixed(1) : value.toFixed(0);
}
