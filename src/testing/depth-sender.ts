// The exchange of bench:ingest's live part, in a process of its own: `depth-sender.ts MARKETS LEVELS`, spoken to over Node's IPC channel.
import { startSandbox } from '../sandbox/index.ts';
import { createLog } from '../platform/log.ts';
import { DepthSource } from './depth-source.ts';

export type FromSender = Readonly<{ url: string } | { lastIds: number }>;

const [markets, levels] = process.argv.slice(2).map(Number);
const source = new DepthSource(markets!, levels!);
const sandbox = await startSandbox({ sources: [source], log: createLog({ level: 'silent' }) });
const tell = (message: FromSender): void => void process.send!(message);

process.on('message', () => {
  source.stop();
  if (sandbox.slowClients() > 0) throw new Error('the client was cut off for not reading');
  tell({ lastIds: source.lastIds });
});
process.on('disconnect', () => process.exit());
tell({ url: sandbox.url });
