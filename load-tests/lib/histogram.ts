const SMALLEST_MS = 0.01;
/** Each bucket is this much wider than the one before: the relative error of a quantile is below 1 %. */
const GROWTH = 1.01;
/** Up to about 16 minutes; what is longer counts there. */
const BUCKETS = 1_850;

/** Milliseconds in buckets that grow with the value: constant memory, and workers' histograms add up. */
export class Histogram {
  readonly counts: Float64Array;
  max = 0;

  constructor(counts: Float64Array = new Float64Array(BUCKETS), max = 0) {
    this.counts = counts;
    this.max = max;
  }

  get count(): number {
    return this.counts.reduce((sum, each) => sum + each, 0);
  }

  record(ms: number): void {
    const bucket = Math.floor(Math.log(Math.max(ms, SMALLEST_MS) / SMALLEST_MS) / Math.log(GROWTH));
    this.counts[Math.min(bucket, BUCKETS - 1)]! += 1;
    if (ms > this.max) this.max = ms;
  }

  add(other: Histogram): void {
    for (let bucket = 0; bucket < BUCKETS; bucket++) this.counts[bucket]! += other.counts[bucket]!;
    this.max = Math.max(this.max, other.max);
  }

  /** The value that `share` (0 to 1) of all samples do not exceed; 0 when there are none. */
  quantile(share: number): number {
    let left = Math.ceil(this.count * share);
    if (left === 0) return 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      left -= this.counts[bucket]!;
      if (left <= 0) return Math.min(this.max, SMALLEST_MS * GROWTH ** (bucket + 1));
    }
    return this.max;
  }
}
