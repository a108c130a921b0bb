import { request } from 'node:http';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { clientFrame, RawClient, RawSocket, until } from './raw-client-contract.ts';
import type { FrameParts } from './raw-client-contract.ts';
import type { ServerRig } from './server-rig-contract.ts';
import { startServer } from './server-rig-contract.ts';

const SOCKETIO_PATH = '/socket.io/?EIO=4&transport=websocket';
const TEXT = 0x81;

let rig: ServerRig;
const sockets: RawSocket[] = [];
beforeEach(async () => {
  rig = await startServer({ limits: { handshakeTimeoutMs: 300 } });
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  // Whatever was sent: the process serves on.
  const client = await new RawClient('plain', rig.port).welcomed();
  expect(await client.request('ping')).toHaveProperty('result');
  await client.end();
  await rig.end();
});

function raw(): RawSocket {
  const socket = new RawSocket(rig.port);
  sockets.push(socket);
  return socket;
}

describe('Socket.IO packets', () => {
  const open = (): Promise<RawClient> => new RawClient('socketio', rig.port).welcomed();

  test.each([
    ['42', 'bad_request'],
    ['42[]', 'bad_request'],
    ['42[1]', 'bad_request'],
    ['42["x"', 'bad_request'],
    ['42{"a":1}', 'bad_request'],
    ['42"x"', 'bad_request'],
    ['42null', 'bad_request'],
    ['42-1["ping"]', 'bad_request'],
    ['4299999999999999999["ping"]', 'bad_request'],
    ['42["ping",{},{}]', 'bad_request'],
    ['42["ping",7]', 'bad_request'],
    ['42["subscribe"]', 'bad_request'],
    ['42["subscribe",null]', 'bad_request'],
    ['42["subscribe",{"streams":[{"_placeholder":true,"num":0}]}]', 'bad_request'],
    ['42["disconnect"]', 'unknown_method'],
    ['42["error","x"]', 'unknown_method'],
    ['42["__proto__",{}]', 'unknown_method'],
    [`42${JSON.stringify(['subscribe', JSON.parse('['.repeat(4_000) + ']'.repeat(4_000))])}`, 'bad_request'],
  ])('%j without an acknowledgement is answered with %s by an error event and kills nothing', async (packet, code) => {
    const client = await open();
    client.text(packet);
    await until(() => client.strayErrors().length > 0, 'an error event');
    expect(client.strayErrors()[0]).toMatchObject({ code, temporary: false });
    expect(await client.request('ping')).toHaveProperty('result');
  });

  test.each(['43999999999999["x"]', '431[]', '43', '43-1[]', '0', '1', '5', '6'])(
    '%s means nothing here and is ignored',
    async (packet) => {
      const client = await open();
      client.text(packet);
      expect(await client.request('ping')).toHaveProperty('result');
    },
  );

  test.each([
    '45',
    '451-["x",{"_placeholder":true,"num":0}]',
    '4510-["x"]',
    '451000000000-["x"]',
    '45toString-["x"]',
    '46',
    '461-1["x"]',
    '44',
    '44{}',
    '47',
    '49',
    '4',
    '4x',
  ])('%s is no packet of ours: told bad_request, then closed for good', async (packet) => {
    const client = await open();
    client.text(packet);
    await until(() => client.closed !== null, 'the close');
    expect(client.events('closing')).toEqual([{ code: 3501, reason: 'bad_request', reconnect: false }]);
    expect(client.frames.at(-1)).toBe('41');
  });

  test.each(['2', '7', '8', '9', 'x', '', 'bAAAA', '40', '42/admin,["x"]', '41/admin,'])(
    '%s ends the connection',
    async (packet) => {
      const client = await open();
      client.text(packet);
      await until(() => client.closed !== null, 'the close');
    },
  );

  test('a binary frame ends the connection', async () => {
    const client = await open();
    client.socket.send(Buffer.from([1, 2, 3]));
    await until(() => client.closed !== null, 'the close');
  });

  test('other namespaces do not exist, a thousand attempts are abuse, and none of them is remembered', async () => {
    const client = await open();
    client.text('40/admin,{"token":"x"}');
    await until(() => client.frames.some((frame) => frame.startsWith('44/admin,')), 'the refusal');
    for (let count = 0; count < 1_000; count++) client.text(`40/room${count},`);
    await until(() => client.closed !== null, 'the close');
    expect(client.events('closing')).toMatchObject([{ code: 3509 }]);
  });

  test('acknowledgements and pongs that nobody asked for count against the rate', async () => {
    for (const packet of ['43999["x"]', '3']) {
      const client = await open();
      for (let count = 0; count < 500; count++) client.text(packet);
      await until(() => client.closed !== null, 'the close');
      expect(client.events('closing')).toMatchObject([{ code: 3509 }]);
    }
  });

  test('whoever left the namespace is not kept, and whoever never joined it is cut off in time', async () => {
    const leaver = await open();
    leaver.text('41');
    await until(() => leaver.closed !== null, 'the close after 41');
    expect(rig.hub.connectionCount).toBe(0);
    const early = raw();
    await early.handshake(SOCKETIO_PATH);
    early.write(clientFrame({ first: TEXT, payload: Buffer.from('42["ping"]') }));
    await until(() => early.closed, 'the close of a socket that speaks before it joins');
    const mute = raw();
    await mute.handshake(SOCKETIO_PATH);
    await until(() => mute.closed, 'the close of a socket that never joins');
  });

  test.each([
    '/socket.io/?transport=websocket',
    '/socket.io/?EIO=3&transport=websocket',
    '/socket.io/?EIO=5&transport=websocket',
    '/socket.io/?EIO=4&transport=polling',
    '/socket.io/?EIO=4&transport=webtransport',
    '/socket.io/?EIO=4&transport=__proto__',
    '/socket.io/?EIO=4&transport=websocket&sid=unknown',
    '/socket.io/?EIO=4&transport=websocket&sid=__proto__',
    '/socket.io/?EIO=4&EIO=3&transport=websocket',
  ])('the handshake %s is refused with 400 and a code', async (path) => {
    const socket = raw();
    expect(await socket.handshake(path)).toMatch(/^HTTP\/1\.1 400 /);
    await until(() => socket.closed, 'the close');
    expect(socket.received.toString()).toContain('"bad_request"');
  });

  test("nobody gets into another client's session with its sid", async () => {
    const victim = await open();
    const { sid } = JSON.parse(victim.frames[0]!.slice(1));
    const thief = raw();
    expect(await thief.handshake(`${SOCKETIO_PATH}&sid=${sid}`)).toMatch(/^HTTP\/1\.1 400 /);
    expect(await victim.request('ping')).toHaveProperty('result');
  });

  test.each(['GET', 'POST'])('there is no polling transport: %s goes to whoever answers HTTP', async (method) => {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const target = { port: rig.port, host: '127.0.0.1', path: '/socket.io/?EIO=4&transport=polling', method };
      const sent = request(target, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      sent.on('error', reject);
      sent.end(method === 'POST' ? '4\u001e'.repeat(100_000) : undefined);
    });
    expect(status).toBe(404);
  });
});

describe('plain door messages', () => {
  const open = (): Promise<RawClient> => new RawClient('plain', rig.port).welcomed();

  test.each([
    '',
    ' ',
    'x',
    '{',
    '[]',
    '[1,2]',
    'null',
    '7',
    '"text"',
    '{}',
    '{"id":77}',
    '{"method":"ping"}',
    '{"id":null,"method":"ping"}',
    '{"id":{},"method":"ping"}',
    '{"id":1.5,"method":"ping"}',
    '{"id":77,"method":7}',
    '{"id":77,"method":"ping","more":1}',
    '{"id":77,"method":"ping","__proto__":{"a":1}}',
    `{"id":"${'x'.repeat(65)}","method":"ping"}`,
    '['.repeat(16_000),
    '\ufeff{"id":1,"method":"ping"}',
    '{"id":1,"method":"ping"}{"id":2,"method":"ping"}',
    '{"id":1,"method":"subscribe","params":{"streams":["\\ud800"]}}x',
  ])('%j is answered with bad_request', async (text) => {
    const client = await open();
    client.text(text);
    await until(() => client.replies().length > 0, 'an answer');
    expect(client.replies()[0]!.error).toMatchObject({ code: 'bad_request', temporary: false });
    expect(await client.request('ping')).toHaveProperty('result');
  });

  test('a wrong request that still tells its id is answered under it', async () => {
    const client = await open();
    client.text('{"id":"mine","method":"ping","more":1}');
    await until(() => client.reply('mine') !== undefined, 'an answer');
  });

  test('a binary message is answered with bad_request', async () => {
    const client = await open();
    client.socket.send(Buffer.from('{"id":1,"method":"ping"}'));
    await until(() => client.strayErrors().length > 0, 'an answer');
    expect(client.strayErrors()[0]).toMatchObject({ code: 'bad_request' });
  });

  test('names with lone surrogates, controls and any letters are only names', async () => {
    const client = await open();
    for (const name of [
      '\ud800',
      'ticker:sandbox:\u0000',
      'ticker:sandbox:BTC/USDT\n',
      'ticker:sandbox:１２３４５６/USDT',
    ]) {
      expect(await client.subscribe(name)).toHaveProperty('result');
    }
  });
});

describe.each([
  ['plain', '/ws'],
  ['socketio', SOCKETIO_PATH],
] as const)('WebSocket frames at the %s door', (_door, path) => {
  async function open(): Promise<RawSocket> {
    const socket = raw();
    expect(await socket.handshake(path)).toMatch(/^HTTP\/1\.1 101 /);
    return socket;
  }
  const text = (value: string): Buffer => Buffer.from(value);
  const ofLength = (...bytes: number[]): Buffer => Buffer.from(bytes);

  const broken: [string, FrameParts[], number][] = [
    ['unmasked', [{ first: TEXT, payload: text('{}'), masked: false }], 1002],
    ['RSV1 set', [{ first: 0xc1, payload: text('{}') }], 1002],
    ['RSV2 set', [{ first: 0xa1, payload: text('{}') }], 1002],
    ['RSV3 set', [{ first: 0x91, payload: text('{}') }], 1002],
    ...[3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf].map((opcode): [string, FrameParts[], number] => [
      `reserved opcode ${opcode}`,
      [{ first: 0x80 | opcode }],
      1002,
    ]),
    ['a ping of 126 bytes', [{ first: 0x89, payload: Buffer.alloc(126) }], 1002],
    ['a fragmented ping', [{ first: 0x09 }], 1002],
    ['a continuation of nothing', [{ first: 0x80, payload: text('{}') }], 1002],
    [
      'a new message inside another',
      [
        { first: 0x01, payload: text('{') },
        { first: TEXT, payload: text('{}') },
      ],
      1002,
    ],
    ['invalid UTF-8', [{ first: TEXT, payload: Buffer.from([0xc3, 0x28, 0xff]) }], 1007],
    ['overlong UTF-8', [{ first: TEXT, payload: Buffer.from([0xc0, 0xaf]) }], 1007],
    ['a length of 2^63', [{ first: TEXT, lengthHeader: ofLength(127, 0x80, 0, 0, 0, 0, 0, 0, 0) }], 1009],
    ['a length of 1 GB', [{ first: TEXT, lengthHeader: ofLength(127, 0, 0, 0, 0, 0x40, 0, 0, 0) }], 1009],
    [
      '65 fragments',
      Array.from({ length: 65 }, (_, index) => ({ first: index === 0 ? 0x01 : 0x00, payload: text('x') })),
      1008,
    ],
    [
      'fragments that add up to too much',
      Array.from({ length: 20 }, (_, index) => ({
        first: index === 0 ? 0x01 : 0x00,
        payload: Buffer.alloc(1_000, 120),
      })),
      1009,
    ],
    ...[0, 999, 1004, 1005, 1006, 1015, 2999, 5000].map((code): [string, FrameParts[], number] => {
      const payload = Buffer.alloc(2);
      payload.writeUInt16BE(code);
      return [`close code ${code}`, [{ first: 0x88, payload }], 1002];
    }),
    ['a close body of one byte', [{ first: 0x88, payload: Buffer.from([3]) }], 1002],
    ['a close reason that is not UTF-8', [{ first: 0x88, payload: Buffer.from([3, 232, 0xff]) }], 1007],
  ];
  test.each(broken)('%s: closed with the code that RFC 6455 gives it', async (_name, frames, code) => {
    const socket = await open();
    socket.write(Buffer.concat(frames.map(clientFrame)));
    await until(() => socket.closed, 'the close');
    expect(socket.closeCode()).toBe(code);
  });

  test('a message in one-byte segments is a message like any other', async () => {
    const socket = await open();
    const payload = path === '/ws' ? text('{"id":1,"method":"ping"}') : text('40');
    for (const byte of clientFrame({ first: TEXT, payload })) {
      socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(
      () => socket.frames().some((frame) => frame.text.includes(path === '/ws' ? '"result"' : '40{')),
      'the answer',
    );
  });

  test('a hundred thousand empty messages, a flood of pings, a flood of pongs: closed as abuse, and cheap', async () => {
    const floods: FrameParts[] = [{ first: TEXT }, { first: 0x89, payload: Buffer.alloc(125) }, { first: 0x8a }];
    for (const parts of floods) {
      const socket = await open();
      const block = Buffer.concat(Array.from({ length: 1_000 }, () => clientFrame(parts)));
      for (let count = 0; count < 100 && !socket.closed; count++) {
        socket.write(block);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await until(() => socket.closed, 'the close');
    }
  });

  test('empty fragments without end are cut off', async () => {
    const socket = await open();
    socket.write(clientFrame({ first: 0x01 }));
    const block = Buffer.concat(Array.from({ length: 1_000 }, () => clientFrame({ first: 0x00 })));
    socket.write(block);
    await until(() => socket.closed, 'the close');
    expect(socket.closeCode()).toBe(1008);
  });

  test('what comes after a close frame is not acted on', async () => {
    const socket = await open();
    const ping = clientFrame({ first: TEXT, payload: text('{"id":1,"method":"ping"}') });
    socket.write(Buffer.concat([clientFrame({ first: 0x88, payload: Buffer.from([3, 232]) }), ping, ping]));
    await until(() => socket.closed, 'the close');
    expect(socket.frames().some((frame) => frame.text.includes('"result"'))).toBe(false);
  });

  test('a peer that vanishes in the middle of anything leaves nothing behind', async () => {
    for (const bytes of [1, 3, 6, 20]) {
      const socket = await open();
      socket.write(
        clientFrame({
          first: TEXT,
          payload: text('{"id":1,"method":"subscribe","params":{"streams":["x"]}}'),
        }).subarray(0, bytes),
      );
      socket.socket.resetAndDestroy();
    }
    await until(() => rig.hub.connectionCount === 0, 'all gone');
  });

  test('handshakes that are wrong are refused in HTTP', async () => {
    const wrong: [Record<string, string>, RegExp][] = [
      [{ 'Sec-WebSocket-Key': 'short' }, /^HTTP\/1\.1 400 /],
      [{ 'Sec-WebSocket-Version': '12' }, /^HTTP\/1\.1 400 /],
      [{ Upgrade: 'h2c' }, /^HTTP\/1\.1 400 /],
      [{ 'Sec-WebSocket-Protocol': 'a,,b' }, /^HTTP\/1\.1 400 /],
      [{ 'Sec-WebSocket-Protocol': 'x'.repeat(50_000) }, /^HTTP\/1\.1 431 /],
      [{ 'Sec-WebSocket-Extensions': 'permessage-deflate; server_max_window_bits=99; x; =' }, /^HTTP\/1\.1 101 /],
      [Object.fromEntries(Array.from({ length: 1_900 }, (_, index) => [`x${index}`, 'y'])), /^HTTP\/1\.1 (101|431) /],
    ];
    for (const [headers, expected] of wrong) {
      const socket = raw();
      expect(await socket.handshake(path, headers)).toMatch(expected);
      expect(socket.received.toString().toLowerCase()).not.toContain('sec-websocket-extensions');
    }
  });
});

test('a peer that resets while its upgrade is being refused is not an uncaught exception', async () => {
  for (let count = 0; count < 200; count++) {
    const socket = raw();
    await until(() => !socket.socket.connecting, 'the connection');
    socket.write('GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    if (count % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
    socket.socket.resetAndDestroy();
  }
  // Answered after all of them: their errors have come by then.
  expect(await raw().handshake('/nowhere')).toMatch(/^HTTP\/1\.1 404 /);
});

test('an upgrade to any other path is refused with 404 at once, not after a second', async () => {
  for (const path of ['/', '/ws/', '/wsx', '/socket.io', '/socket.iox/?EIO=4', '//', '/%2e', '/v1/markets', '*']) {
    const socket = raw();
    expect(await socket.handshake(path), path).toMatch(/^HTTP\/1\.1 404 /);
    await until(() => socket.closed, 'the close');
  }
  expect(await rig.metrics.render()).toContain('gateway_refused_total{reason="not_found"} 9');
});
