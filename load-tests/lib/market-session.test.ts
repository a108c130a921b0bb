import { describe, expect, it } from 'vitest';
import { PLAIN_DOOR, SOCKET_IO_DOOR } from './door.ts';
import type { Door } from './door.ts';
import { MarketSession } from './market-session.ts';

const STREAM = 'trades:binance:BTC/USDT';
const OTHER = 'ticker:binance:BTC/USDT';

function follow(door: Door, streams: readonly string[] = [STREAM]) {
  const sent: string[] = [];
  const told: string[] = [];
  const session = new MarketSession(
    { door, streams, audits: new Map(), send: (text) => sent.push(text) },
    {
      answered: () => told.push('answered'),
      joined: ({ stream }) => told.push(`joined ${stream}`),
      refused: (stream, code) => told.push(`refused ${stream} ${code}`),
      message: (_envelope, verdict) => told.push(verdict),
      caughtUp: () => told.push('caught up'),
      malformed: (problem) => told.push(problem),
      event: (name) => told.push(`event ${name}`),
    },
  );
  return { session, sent, told };
}

const position = (stream: string): object => ({ stream, epoch: 'e', seq: 4, recovered: false });
const push = (seq: number, kind: string): object => ({ stream: STREAM, epoch: 'e', seq, kind, ingestTs: 1, sentTs: 2 });

// k6 can lose the first message of a server, whatever it is.
describe('a client whose server was not heard when the socket opened', () => {
  it('asks over the plain door at once', () => {
    const { session, sent } = follow(PLAIN_DOOR);
    session.opened();
    expect(sent).toEqual([`{"id":1,"method":"subscribe","params":{"streams":["${STREAM}"]}}`]);
  });

  it('says hello over Socket.IO at once, and asks when it is let in', () => {
    const { session, sent } = follow(SOCKET_IO_DOOR);
    session.opened();
    expect(sent).toEqual(['40']);
    session.receive('40{"sid":"s"}');
    expect(sent.slice(1)).toEqual([`421["subscribe",{"streams":["${STREAM}"]}]`]);
  });

  it.each([
    ['plain', PLAIN_DOOR, '{"event":"welcome","data":{}}'],
    ['Socket.IO', SOCKET_IO_DOOR, '0{"sid":"s","pingInterval":25000}'],
    ['Socket.IO, welcome', SOCKET_IO_DOOR, '42["welcome",{}]'],
  ])('says nothing twice when it does hear: %s', (_title, door, heard) => {
    const { session, sent } = follow(door);
    session.opened();
    session.receive(heard);
    expect(sent).toHaveLength(1);
  });
});

describe('what a session tells', () => {
  it('is each answer, then once that all are there, then once that it has caught up', () => {
    const { session, told } = follow(PLAIN_DOOR, [STREAM, OTHER]);
    session.opened();
    const refusal = { stream: OTHER, error: { code: 'unknown_stream' } };
    session.receive(JSON.stringify({ id: 1, result: [position(STREAM), refusal] }));
    session.receive(JSON.stringify(push(4, 'snapshot')));
    session.receive(JSON.stringify(push(5, 'update')));
    session.receive(JSON.stringify({ id: 2, result: [refusal] }));
    expect(told).toEqual([
      `joined ${STREAM}`,
      `refused ${OTHER} unknown_stream`,
      'answered',
      'rebased',
      'caught up',
      'next',
      `refused ${OTHER} unknown_stream`,
    ]);
  });

  it('is every message that was lost without a word, and pongs are answered', () => {
    const { session, sent, told } = follow(SOCKET_IO_DOOR);
    session.opened();
    session.receive('40{"sid":"s"}');
    session.receive(`431[${JSON.stringify({ result: [position(STREAM)] })}]`);
    session.receive(`42["message",${JSON.stringify(push(4, 'snapshot'))}]`);
    session.receive(`42["message",${JSON.stringify(push(6, 'update'))}]`);
    session.receive('2');
    expect(told.at(-1)).toBe('silent_gap');
    expect(sent.at(-1)).toBe('3');
  });
});
