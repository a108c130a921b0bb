import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createDecoder, detectVenue } from './decoders/index.ts';
import type { Detected } from './decoders/index.ts';
import { lineBatches, parseLine, recordingFiles } from './recording-files.ts';
import { surveyRecording } from './recording-survey.ts';
import { RecordingSource } from './recording.ts';
import type { RecordingOptions } from './recording.ts';
import type { SandboxVenue } from './tape.ts';

/** Frames looked at before a file is said to hold no exchange's traffic. */
const DETECT_LIMIT_LINES = 2000;

/**
 * Opens a folder of recordings: files `*.jsonl` and `*.jsonl.gz` directly in it, or one folder per exchange below it. One source
 * per exchange; files of one exchange are merged by time. Throws with a reason a user can act on.
 */
export async function openRecording(folder: string, options: RecordingOptions): Promise<RecordingSource[]> {
  const files = await filesOf(folder);
  const groups = new Map<SandboxVenue, string[]>();
  for (const file of files) {
    const venue = await detectFile(file);
    if (venue === 'kraken-v1') {
      const hint =
        'record WebSocket v2 (wss://ws.kraken.com/v2) or transcode, as kraken/v2-transcoded-* in the captures';
      throw new Error(`${file} holds Kraken WebSocket v1, which ccxt no longer speaks: ${hint}`);
    }
    if (venue === undefined) options.log.warn({ event: 'recording_file_skipped', file, reason: 'no known exchange' });
    else groups.set(venue, [...(groups.get(venue) ?? []), file]);
  }
  if (groups.size === 0) throw new Error(`${folder}: no recorded traffic of a known exchange`);
  const sources: RecordingSource[] = [];
  for (const [venue, paths] of groups) {
    const decoder = createDecoder(venue);
    const survey = await surveyRecording(paths, decoder, options.log);
    const symbols = survey.markets.map((market) => market.symbol);
    options.log.info({ event: 'recording_opened', venue, files: paths.length, frames: survey.frames, symbols });
    sources.push(new RecordingSource(paths, decoder, survey, options));
  }
  return sources;
}

async function filesOf(folder: string): Promise<string[]> {
  const direct = await recordingFiles(folder);
  if (direct.length > 0) return direct;
  const entries = await readdir(folder, { withFileTypes: true });
  const folders = entries
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('_'))
    .map((entry) => entry.name);
  const below: string[] = [];
  for (const name of folders.toSorted()) below.push(...(await recordingFiles(join(folder, name))));
  if (below.length === 0) throw new Error(`${folder}: no *.jsonl or *.jsonl.gz files in it or one folder below`);
  return below;
}

async function detectFile(path: string): Promise<Detected | undefined> {
  let looked = 0;
  for await (const lines of lineBatches(path)) {
    for (const line of lines) {
      const parsed = parseLine(line);
      looked += 1;
      if (looked > DETECT_LIMIT_LINES) return undefined;
      const venue = parsed?.type === 'recv' ? detectVenue(parsed.raw) : undefined;
      if (venue !== undefined) return venue;
    }
  }
  return undefined;
}
