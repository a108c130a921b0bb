import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/** Binance depth frames with the snapshots they follow on, in memory. */
export type DepthTape = Readonly<{
  markets: readonly Readonly<{ id: string; base: string; quote: string }>[];
  /** Bodies of REST answers, by market id. */
  snapshots: ReadonlyMap<string, string>;
  /** `id`: the market's. */
  frames: readonly Readonly<{ id: string; data: string; atMs: number }>[];
}>;

/** The depth frames of a recorded session (`.jsonl` or `.jsonl.gz`); what came before its snapshots is left out. */
export function readDepthTape(file: string, limit: number): DepthTape {
  const snapshots = new Map<string, string>();
  const frames: Frame[] = [];
  let startUs: number | undefined;
  for (const line of textOf(file).split('\n')) {
    if (line === '') continue;
    const { t, ts_us: tsUs, url, raw } = JSON.parse(line) as { t: string; ts_us: number; url?: string; raw?: string };
    if (raw === undefined) continue;
    if (t === 'http' && url?.includes('/depth?') === true) {
      const id = new URL(url).searchParams.get('symbol')!;
      if (!snapshots.has(id)) snapshots.set(id, raw);
    } else if (t === 'recv' && raw.includes('"depthUpdate"') && frames.length < limit) {
      startUs ??= tsUs;
      frames.push({ ...idsOf(raw), data: raw, atMs: (tsUs - startUs) / 1_000 });
    }
  }
  const ids = [...snapshots.keys()];
  const firstIds = new Map(
    ids.map((id) => [id, (JSON.parse(snapshots.get(id)!) as { lastUpdateId: number }).lastUpdateId]),
  );
  const following = frames.filter(({ id, lastId }) => lastId > (firstIds.get(id) ?? Infinity));
  return { markets: ids.map((id) => ({ id, ...assetsOf(id) })), snapshots, frames: following };
}

type Frame = { id: string; lastId: number; data: string; atMs: number };

function idsOf(raw: string): { id: string; lastId: number } {
  const frame = JSON.parse(raw) as { data?: Record<string, unknown> } & Record<string, unknown>;
  const { s, u } = frame.data ?? frame;
  return { id: String(s), lastId: Number(u) };
}

function assetsOf(id: string): { base: string; quote: string } {
  const quote = ['USDT', 'BUSD', 'USDC', 'BTC', 'ETH', 'BNB'].find((each) => id.endsWith(each)) ?? id.slice(-3);
  return { base: id.slice(0, -quote.length), quote };
}

function textOf(file: string): string {
  const bytes = readFileSync(file);
  return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
}
