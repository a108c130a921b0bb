import { parentPort, workerData } from 'node:worker_threads';
import { seededRandom } from '../../kernel/random.ts';
import { StrictPeer } from './strict-peer-contract.ts';

/** A thread of clients that come and go: its sockets and the server's share one table of descriptors. */
export type PeersSetup = Readonly<{ port: number; count: number; seed: number; publicStreams: readonly string[] }>;
export type PeersReport =
  | Readonly<{ wrong: string }>
  /** A connection's end, or, where `closed` is false, how it stands at the end of all. */
  | Readonly<{ token: string; cut: boolean; closed: boolean; closeCode: number | null; lastPrivate: number }>;

const STEP_MS = 5;
/** Chances in one step. */
const CUT = 0.02;
const PAUSE = 0.01;
const RESUME = 0.05;
const DISTURB = 0.02;
/** Clients that do nothing wrong for a while, and see everything. */
const STEADY_SHARE = 0.2;

const setup = workerData as PeersSetup;
const random = seededRandom(setup.seed);
const report = (what: PeersReport): void => parentPort!.postMessage(what);
let made = 0;

function newPeer(): StrictPeer {
  made += 1;
  return new StrictPeer({
    port: setup.port,
    token: `secret-${setup.seed}-${made}`,
    random,
    publicStreams: setup.publicStreams,
    onWrong: (wrong) => report({ wrong }),
  });
}

function tell({ token, cut, closed, closeCode, lastPrivate }: StrictPeer): void {
  report({ token, cut, closed, closeCode, lastPrivate });
}

const peers = Array.from({ length: setup.count }, newPeer);
const timer = setInterval(() => {
  for (const [index, peer] of peers.entries()) {
    if (peer.closed) {
      tell(peer);
      peers[index] = newPeer();
      continue;
    }
    const steady = index < setup.count * STEADY_SHARE;
    if (!peer.cut && random() < (steady ? CUT / 20 : CUT)) peer.cutNow();
    else if (peer.cut && random() < CUT) peer.destroy();
    if (random() < RESUME) peer.resume();
    else if (!steady && random() < PAUSE) peer.pause();
    if (random() < DISTURB) peer.disturb();
  }
}, STEP_MS);

parentPort!.on('message', (word: string) => {
  if (word === 'settle') {
    clearInterval(timer);
    for (const peer of peers) peer.resume();
  } else {
    for (const peer of peers) tell(peer);
    for (const peer of peers) peer.destroy();
    parentPort!.close();
  }
});
