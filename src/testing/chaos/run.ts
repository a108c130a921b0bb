import { parseArgs } from 'node:util';
import { FAULTS, describeFloor, runFloor } from './floor.ts';
import type { Fault } from './floor.ts';
import type { ServerKind } from './kept-server.ts';

// `npm run chaos -- --kills 1000 --seed 1`: so many of each kind. Exit code 1 when an invariant broke.
const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '1000' },
    only: { type: 'string', default: 'process,backend,immediate' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    server: { type: 'string', default: 'walk' },
    users: { type: 'string', default: '8' },
  },
});
const { seed, server } = values;
const only = values.only.split(',');
const count = (fault: Fault): number => (only.includes(fault) ? Number(values.kills) : 0);
console.log(`chaos: ${values.kills} kills of each of ${values.only}, server ${server}, seed ${seed}`);
let enough = false;
// Ctrl-C ends the kills, not the judgement.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => (enough = true));
const result = await runFloor({
  seed: Number(seed),
  server: server as ServerKind,
  users: Number(values.users),
  kills: Object.fromEntries(FAULTS.map((fault) => [fault, count(fault)])),
  judgeEvery: 25,
  enough: () => enough,
  report: (text) => console.log(`chaos: ${text}`),
});
console.log(`chaos: seed ${seed}: ${describeFloor(result)}`);
process.exit(result.breaches.length === 0 ? 0 : 1);
