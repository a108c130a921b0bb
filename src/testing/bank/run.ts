import { parseArgs } from 'node:util';
import { describeJudgement, runBank } from './chaos.ts';

// The whole of the bank test: `node src/testing/bank/run.ts --kills 1000 --seed 1`. Exit code 1 when an invariant broke.
const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    'synchronous-commit': { type: 'string', default: 'on' },
  },
});
const kills = Number(values.kills);
const seed = Number(values.seed);
const off = values['synchronous-commit'] === 'off';
console.log(`bank: ${kills} kills of each kind, seed ${seed}, synchronous_commit=${off ? 'off' : 'on'}`);
const result = await runBank({
  seed,
  kills: { backend: kills, immediate: kills, client: kills },
  judgeEvery: 100,
  synchronousCommit: off ? 'off' : 'on',
  settings: off ? ['wal_writer_delay=10000ms'] : [],
  report: (text) => console.log(text),
});
console.log(`bank: ${result.seconds} s, ${describeJudgement(result)}`);
process.exit(result.breaches.length === 0 ? 0 : 1);
