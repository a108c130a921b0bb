import { parseArgs } from 'node:util';
import type { NameProblem } from './foreign-names.ts';
import { DEFAULT_VENUES, VARIABLES } from './schema.ts';
import { PlainText, integer, quoted } from './values.ts';

export type RecordCommand = Readonly<{
  name: 'record';
  venues: readonly string[];
  symbols: readonly string[];
  /** Folder that the recording is written to; made when absent. */
  dir: string;
  seconds: number;
}>;
/** Commands that look at or change the database beside a running server, and end. */
export const DATABASE_COMMANDS = ['db:migrate', 'ledger:verify', 'audit:verify'] as const;
export type DatabaseCommand = Readonly<{ name: (typeof DATABASE_COMMANDS)[number] }>;
/** Makes a user an admin: the first one cannot be made by another. */
export type GrantCommand = Readonly<{ name: 'admin:grant'; email: string }>;
export type Command =
  | Readonly<{ name: 'serve'; demo: boolean; sharePort: boolean; workers: number | null }>
  | RecordCommand
  | DatabaseCommand
  | GrantCommand
  | Readonly<{ name: 'help' }>;
export type CommandLine = Readonly<{ ok: true; command: Command }> | Readonly<{ ok: false; problems: NameProblem[] }>;

const DEFAULT_RECORD_SECONDS = '60';
const RECORD_LIMITS_SECONDS = { min: 1, max: 86_400 };
const SYMBOLS_LIMIT = 100;

export const USAGE = `Usage:
  node src/main.ts              serve, with what the environment says (.env.example explains every variable)
  node src/main.ts --demo       serve market data of the sandbox exchange: a simulation, or a recording with REPLAY_DIR
      --workers n               n gateway processes that share PORT, and one with the other roles; needs REDIS_URL
      --share-port              let other processes of this machine listen on PORT as well
  node src/main.ts record       write live market data to disk, for REPLAY_DIR; with npm: npm run record -- --seconds 60
      --venues a,b              default ${DEFAULT_VENUES.join(',')}
      --symbols A/B,C/D         default BTC/USDT,ETH/USDT (where a venue lists them)
      --dir folder              default ./recordings
      --seconds n               default ${DEFAULT_RECORD_SECONDS}
  node src/main.ts db:migrate   bring the database up to this code's schema
  node src/main.ts ledger:verify  recompute the whole ledger and say whether it holds
  node src/main.ts audit:verify   recompute the audit log's chain of hashes
  node src/main.ts admin:grant <e-mail>  make a registered user an admin
`;

export function parseCommandLine(words: readonly string[]): CommandLine {
  const first = words[0];
  if (words.includes('--help') || words.includes('-h')) return { ok: true, command: { name: 'help' } };
  if (first === 'record') return parseRecord(words.slice(1));
  const database = DATABASE_COMMANDS.find((name) => name === first);
  if (database !== undefined && words.length === 1) return { ok: true, command: { name: database } };
  if (first === 'admin:grant') return parseGrant(words.slice(1));
  return parseServe(words);
}

function parseServe(words: readonly string[]): CommandLine {
  const at = words.indexOf('--workers');
  const known = (word: string, index: number) =>
    word === '--demo' || word === '--share-port' || (at >= 0 && (index === at || index === at + 1));
  const strange = words.filter((word, index) => !known(word, index));
  if (strange.length > 0) return refuse(strange.map((word) => [word, 'is not understood; --help lists what is']));
  const workers = at < 0 ? null : VARIABLES.WORKERS.value.safeParse(words[at + 1] ?? '');
  if (workers !== null && !workers.success) return refuse([['--workers', workers.error.issues[0]!.message]]);
  const [demo, sharePort] = [words.includes('--demo'), words.includes('--share-port')];
  return { ok: true, command: { name: 'serve', demo, sharePort, workers: workers?.data ?? null } };
}

function parseGrant(words: readonly string[]): CommandLine {
  const email = words[0] ?? '';
  const isAddress = words.length === 1 && email.length <= 254 && /^[^\s@\p{C}]+@[^\s@\p{C}]+$/u.test(email);
  if (!isAddress) return refuse([['admin:grant', 'wants the e-mail address of one registered user']]);
  return { ok: true, command: { name: 'admin:grant', email } };
}

function parseRecord(words: readonly string[]): CommandLine {
  const option = { type: 'string' } as const;
  let given: { venues?: string; symbols?: string; dir?: string; seconds?: string };
  try {
    const options = { venues: option, symbols: option, dir: option, seconds: option };
    given = parseArgs({ args: [...words], options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    return refuse([['record', (error as Error).message]]);
  }
  const venues = VARIABLES.VENUES.value.safeParse(given.venues ?? DEFAULT_VENUES.join(','));
  const seconds = integer(RECORD_LIMITS_SECONDS).safeParse(given.seconds ?? DEFAULT_RECORD_SECONDS);
  const dir = PlainText.safeParse(given.dir ?? './recordings');
  const symbols = (given.symbols ?? 'BTC/USDT,ETH/USDT').split(',');
  const problems: [string, string][] = [];
  if (!venues.success) problems.push(['--venues', venues.error.issues[0]!.message]);
  if (!seconds.success) problems.push(['--seconds', seconds.error.issues[0]!.message]);
  if (!dir.success) problems.push(['--dir', dir.error.issues[0]!.message]);
  const wrong = symbols.find((symbol) => !/^[^\s\p{C}/]+\/[^\s\p{C}/]+$/u.test(symbol));
  if (wrong !== undefined) problems.push(['--symbols', `${quoted(wrong)} is not a symbol such as BTC/USDT`]);
  if (symbols.length > SYMBOLS_LIMIT) problems.push(['--symbols', `names more than ${SYMBOLS_LIMIT} symbols`]);
  if (!venues.success || !seconds.success || !dir.success || problems.length > 0) return refuse(problems);
  return {
    ok: true,
    command: { name: 'record', venues: venues.data, symbols, dir: dir.data, seconds: seconds.data },
  };
}

function refuse(problems: readonly (readonly [string, string])[]): CommandLine {
  return { ok: false, problems: problems.map(([variable, message]) => ({ variable, message })) };
}
