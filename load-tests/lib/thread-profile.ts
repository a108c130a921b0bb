import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

/** Whose code a thread's CPU time went to; shares of the time that it was not idle. */
export type ThreadProfile = Readonly<{ ccxt: number; ours: number; runtime: number; garbage: number }>;

type CallFrame = { functionName: string; url: string };
type CpuProfile = {
  nodes: { id: number; callFrame: CallFrame; children?: number[] }[];
  samples: number[];
  timeDeltas: number[];
};
type Answer = {
  id?: number;
  method?: string;
  result?: unknown;
  params?: { sessionId: string; message: string; workerInfo: { url: string } };
};

const SAMPLING_INTERVAL_US = 500;

/**
 * Profiles the worker threads whose file name contains `urlPart`, through the inspector of a process started with
 * `--inspect=127.0.0.1:port`. Threads do not write `--cpu-prof` files when they are terminated, which is how ours end.
 */
export async function profileThreads(inspectPort: number, urlPart: string, forMs: number): Promise<ThreadProfile> {
  const targets = (await (await fetch(`http://127.0.0.1:${inspectPort}/json/list`)).json()) as [
    { webSocketDebuggerUrl: string },
  ];
  const inspector = new WorkerInspector(new WebSocket(targets[0].webSocketDebuggerUrl));
  const sessions = await inspector.workers(urlPart);
  if (sessions.length === 0) throw new Error(`no worker thread of ${urlPart}`);
  for (const session of sessions) {
    await inspector.call(session, 'Profiler.enable');
    await inspector.call(session, 'Profiler.setSamplingInterval', { interval: SAMPLING_INTERVAL_US });
    await inspector.call(session, 'Profiler.start');
  }
  await sleep(forMs);
  const profiles: CpuProfile[] = [];
  for (const session of sessions) {
    profiles.push(((await inspector.call(session, 'Profiler.stop')) as { profile: CpuProfile }).profile);
  }
  inspector.close();
  return shareOut(profiles);
}

/** Shares of the time that the main thread of the same process was not idle, per owner of code; `ownerOf` gets a file's URL. */
export async function profileMainThread<Owner extends string>(
  inspectPort: number,
  forMs: number,
  ownerOf: (url: string) => Owner | null,
): Promise<Partial<Record<Owner, number>>> {
  const targets = (await (await fetch(`http://127.0.0.1:${inspectPort}/json/list`)).json()) as [
    { webSocketDebuggerUrl: string },
  ];
  const inspector = new WorkerInspector(new WebSocket(targets[0].webSocketDebuggerUrl));
  await inspector.opened();
  await inspector.callMain('Profiler.enable');
  await inspector.callMain('Profiler.setSamplingInterval', { interval: SAMPLING_INTERVAL_US });
  await inspector.callMain('Profiler.start');
  await sleep(forMs);
  const { profile } = (await inspector.callMain('Profiler.stop')) as { profile: CpuProfile };
  inspector.close();
  const parents = parentsOf(profile);
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const spent: Partial<Record<Owner, number>> = {};
  const owners = new Map(
    profile.nodes.map((node) => {
      // The nearest caller that has an owner: what it calls in Node or in a package is its cost.
      for (let at: number | undefined = node.id; at !== undefined; at = parents.get(at)) {
        const { functionName, url } = byId.get(at)!.callFrame;
        if (functionName === '(idle)') break;
        const owner = ownerOf(url);
        if (owner !== null) return [node.id, owner] as const;
      }
      return [node.id, null] as const;
    }),
  );
  let busy = 0;
  profile.samples.forEach((node, index) => {
    if (byId.get(node)!.callFrame.functionName === '(idle)') return;
    busy += profile.timeDeltas[index]!;
    const owner = owners.get(node);
    if (owner) spent[owner] = (spent[owner] ?? 0) + profile.timeDeltas[index]!;
  });
  for (const owner of Object.keys(spent) as Owner[]) spent[owner]! /= busy;
  return spent;
}

class WorkerInspector {
  readonly #socket: WebSocket;
  readonly #found = new Map<string, string>();
  readonly #waiting = new Map<number, (result: unknown) => void>();
  #nextId = 1;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#take(JSON.parse(String(data)) as Answer);
  }

  async opened(): Promise<void> {
    await once(this.#socket, 'open');
  }

  callMain(method: string, params: object = {}): Promise<unknown> {
    return this.#request((id) => ({ id, method, params }));
  }

  async workers(urlPart: string): Promise<string[]> {
    await this.opened();
    // Workers that exist already are told before the answer.
    await this.#request((id) => ({ id, method: 'NodeWorker.enable', params: { waitForDebuggerOnStart: false } }));
    return [...this.#found].filter(([, url]) => url.includes(urlPart)).map(([session]) => session);
  }

  call(sessionId: string, method: string, params: object = {}): Promise<unknown> {
    return this.#request((id) => {
      const message = JSON.stringify({ id, method, params });
      return { id: this.#nextId++, method: 'NodeWorker.sendMessageToWorker', params: { sessionId, message } };
    });
  }

  close(): void {
    this.#socket.close();
  }

  #request(message: (id: number) => object): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#socket.send(JSON.stringify(message(id)));
    });
  }

  #take({ id, method, result, params }: Answer): void {
    if (method === 'NodeWorker.attachedToWorker') this.#found.set(params!.sessionId, params!.workerInfo.url);
    else if (method === 'NodeWorker.receivedMessageFromWorker') this.#take(JSON.parse(params!.message) as Answer);
    else if (id !== undefined) {
      this.#waiting.get(id)?.(result);
      this.#waiting.delete(id);
    }
  }
}

/** Builtins such as JSON.parse have no file: their time belongs to whoever called them. */
export function shareOut(profiles: readonly CpuProfile[]): ThreadProfile {
  const spent = { ccxt: 0, ours: 0, runtime: 0, garbage: 0 };
  for (const { nodes, samples, timeDeltas } of profiles) {
    const parents = parentsOf({ nodes });
    const byId = new Map(nodes.map((node) => [node.id, node]));
    const owners = new Map(nodes.map((node) => [node.id, ownerOf(node.id, byId, parents)]));
    samples.forEach((node, index) => {
      const owner = owners.get(node);
      if (owner) spent[owner] += timeDeltas[index]!;
    });
  }
  const total = Object.values(spent).reduce((sum, each) => sum + each, 0) || 1;
  return {
    ccxt: spent.ccxt / total,
    ours: spent.ours / total,
    runtime: spent.runtime / total,
    garbage: spent.garbage / total,
  };
}

function parentsOf({ nodes }: Pick<CpuProfile, 'nodes'>): Map<number, number> {
  return new Map(nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node.id] as const)));
}

function ownerOf(
  id: number,
  byId: ReadonlyMap<number, { callFrame: CallFrame }>,
  parents: ReadonlyMap<number, number>,
): keyof ThreadProfile | null {
  for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
    const { functionName, url } = byId.get(at)!.callFrame;
    if (functionName === '(idle)') return null;
    if (functionName === '(garbage collector)') return 'garbage';
    if (url.includes('/node_modules/ccxt/')) return 'ccxt';
    if (url.startsWith('node:') || url.includes('/node_modules/')) return 'runtime';
    if (url !== '') return 'ours';
  }
  return 'runtime';
}
