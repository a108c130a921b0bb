// npm run k6 -- <scenario> [options of k6 run]. Without BASE_URL it starts the demo server itself and stops it afterwards.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { findK6 } from './lib/k6-path.ts';
import { PLANS } from './lib/plans.ts';
import { startServer } from './lib/server-process.ts';

const [scenario = '', ...k6Options] = process.argv.slice(2);
const script = join(import.meta.dirname, `${scenario}.ts`);

async function run(): Promise<number> {
  if (!Object.hasOwn(PLANS, scenario)) {
    console.error(
      `usage: npm run k6 -- ${Object.keys(PLANS).join(' | ')}   (knobs: BASE_URL DOOR VUS STREAMS DURATION RATE)`,
    );
    return 2;
  }
  const k6 = findK6(process.env);
  if (!k6.ok) {
    console.error(`${k6.message}\n\nThe same scenario without k6: npm run load -- ${scenario}`);
    return 1;
  }
  const server = process.env.BASE_URL ? null : await startServer();
  try {
    const env = { ...process.env, ...(server && { BASE_URL: server.baseUrl, OPS_URL: server.opsUrl }) };
    // k6 sees the environment only as __ENV, which it fills from its own process environment.
    const child = spawn(k6.path, ['run', '--include-system-env-vars', ...k6Options, script], { stdio: 'inherit', env });
    const [code] = (await once(child, 'exit')) as [number | null];
    return code ?? 1;
  } finally {
    await server?.stop();
  }
}

process.exitCode = await run();
