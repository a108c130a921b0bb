/** One reading of `/metrics`: `name{labels}` exactly as printed, to value. */
export type Samples = ReadonlyMap<string, number>;

export function parseMetrics(text: string): Samples {
  const samples = new Map<string, number>();
  for (const line of text.split('\n')) {
    const space = line.lastIndexOf(' ');
    if (line === '' || line.startsWith('#') || space === -1) continue;
    samples.set(line.slice(0, space), Number(line.slice(space + 1)));
  }
  return samples;
}

/** Sum over all label sets of `name`, or over those whose labels contain every text of `labels`. */
export function sumOf(samples: Samples, name: string, ...labels: string[]): number {
  let sum = 0;
  for (const [key, value] of samples) {
    if ((key === name || key.startsWith(`${name}{`)) && labels.every((label) => key.includes(label))) sum += value;
  }
  return sum;
}

/** A quantile of a histogram between two readings, interpolated within its bucket; null without samples. */
export function histogramQuantile(before: Samples, after: Samples, name: string, share: number): number | null {
  const buckets = [...after.keys()]
    .flatMap((key) => {
      const le = key.startsWith(`${name}_bucket{`) ? /le="([^"]+)"/.exec(key)?.[1] : undefined;
      const count = after.get(key)! - (before.get(key) ?? 0);
      return le === undefined ? [] : [{ limit: le === '+Inf' ? Infinity : Number(le), count }];
    })
    .sort((left, right) => left.limit - right.limit);
  const total = buckets.at(-1)?.count ?? 0;
  if (total === 0) return null;
  const wanted = total * share;
  const index = buckets.findIndex((bucket) => bucket.count >= wanted);
  const below = buckets[index - 1] ?? { limit: 0, count: 0 };
  const bucket = buckets[index]!;
  if (bucket.limit === Infinity) return below.limit;
  return (
    below.limit + ((bucket.limit - below.limit) * (wanted - below.count)) / Math.max(1, bucket.count - below.count)
  );
}
