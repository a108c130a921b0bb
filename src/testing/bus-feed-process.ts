import { CountingSource } from './bus-contract.ts';
import { createRedisBus } from '../platform/bus-redis.ts';
import { createLog } from '../platform/log.ts';
import { createMetrics } from '../platform/metrics.ts';

/** A feed in a process of its own, to be killed: publishes one stream without pause. Arguments: Redis URL, node id, stream, timings. */
const [url = '', nodeId = '', stream = '', timings = '{}'] = process.argv.slice(2);
const PUBLISH_INTERVAL_MS = 5;

const bus = createRedisBus({
  url,
  nodeId,
  timings: JSON.parse(timings),
  log: createLog({ level: 'silent' }),
  metrics: createMetrics({ processMetrics: false }),
});
const source = new CountingSource(bus, `pid${process.pid}`);
bus.serve(source);
await bus.start();
setInterval(() => source.publish(stream), PUBLISH_INTERVAL_MS);
