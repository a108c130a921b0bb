import { loadFromProcess } from '../../config/load.ts';
import { createLog } from '../../platform/log.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { openAccounts } from '../../roles/accounts.ts';
import { startGatewayRole } from '../../roles/gateway.ts';
import type { Parts } from '../../roles/parts.ts';
import { StopStack } from '../../roles/stop-stack.ts';
import { startWorkerRole } from '../../roles/worker.ts';
import { startMarketWalk } from './market-walk.ts';

/**
 * The product's own gateway and worker in one process, over a market that is a script: what `node src/main.ts` runs but for
 * the connection to exchanges, so that it is back soon after it was killed. Reads the same environment.
 */
const loaded = loadFromProcess();
if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
const { config } = loaded;
const log = createLog({ level: config.logLevel });
const stops = new StopStack(log);
const market = await startMarketWalk();
stops.push('market', () => market.stop());
const parts: Parts = {
  config,
  version: '0.0.0-chaos',
  nodeId: `chaos-${process.pid}`,
  log,
  metrics: createMetrics({ processMetrics: true }),
  clock: market.clock,
  bus: market.bus,
  stops,
};
process.once('SIGTERM', () => void stops.stopAll().then(() => process.exit(0)));
const accounts = await openAccounts(parts, market);
await startWorkerRole(parts, accounts, market);
const port = await startGatewayRole(parts, accounts, market);
log.info({ event: 'tidewire ready', port });
