// The smallest client there can be: the browser's own WebSocket, /ws, and the rule "next seq of the same epoch, else subscribe anew".
const LEVELS = 10;
const RETRY_LIMIT_MS = 30_000;
const LIKED = ['BTC/USDT', 'BTC/USD', 'ETH/USDT', 'ETH/USD'];

const statusLine = document.getElementById('status');
const tickerRows = document.getElementById('tickers');
const bookRows = document.getElementById('book');
const positions = new Map();
const book = { name: '', bids: new Map(), asks: new Map() };
let drawing = false;
let attempt = 0;

async function pickStreams() {
  const pages = await Promise.all(
    ['BTC', 'ETH'].map((base) => fetch(`/v1/markets?base=${base}&active=true&limit=1000`)),
  );
  const failed = pages.find((page) => !page.ok);
  if (failed) throw new Error((await failed.json()).title);
  const listed = (await Promise.all(pages.map((page) => page.json()))).flatMap((page) => page.markets);
  const markets = listed
    .filter(({ symbol }) => LIKED.includes(symbol))
    .map(({ venue, symbol }) => `${venue}:${symbol}`);
  if (markets.length === 0) throw new Error('No venue has loaded its markets yet');
  book.name = `book:${markets[0]}:${LEVELS}:250ms`;
  document.getElementById('book-name').textContent = markets[0];
  return [book.name, ...markets.map((market) => `ticker:${market}`)];
}

function row(parent, key, cells, className = '') {
  const id = `row-${key}`;
  const line = document.getElementById(id) ?? parent.appendChild(Object.assign(document.createElement('tr'), { id }));
  line.className = className;
  line.replaceChildren(
    ...cells.map((text, index) => {
      const number = index > 0 || parent === bookRows;
      return Object.assign(document.createElement('td'), { textContent: text, className: number ? 'number' : '' });
    }),
  );
}

function take(push) {
  const [channel] = push.stream.split(':');
  const doubtful = push.kind === 'state' && push.data.status !== 'live';
  if (channel === 'ticker') {
    const id = `row-${push.stream}`;
    if (push.kind === 'state') document.getElementById(id)?.classList.toggle('doubt', doubtful);
    else
      row(
        tickerRows,
        push.stream,
        [push.stream.slice(7), push.data.bid, push.data.ask, push.data.last].map((each) => each ?? '–'),
      );
    return;
  }
  if (push.kind === 'state') {
    bookRows.classList.toggle('doubt', doubtful);
    return;
  }
  for (const side of ['bids', 'asks']) {
    if (push.kind === 'snapshot') book[side].clear();
    for (const [price, size] of push.data[side]) {
      if (size === '0') book[side].delete(price);
      else book[side].set(price, size);
    }
  }
  if (!drawing) requestAnimationFrame(drawBook);
  drawing = true;
}

function drawBook() {
  drawing = false;
  const asks = [...book.asks].sort(([left], [right]) => left - right).slice(0, LEVELS);
  const bids = [...book.bids].sort(([left], [right]) => right - left).slice(0, LEVELS);
  bookRows.replaceChildren();
  for (const [price, size] of asks.toReversed()) row(bookRows, `ask-${price}`, [price, size], 'ask');
  for (const [price, size] of bids) row(bookRows, `bid-${price}`, [price, size], 'bid');
}

function onMessage(socket, message) {
  if (message.event === 'draining' || message.error)
    statusLine.textContent = message.error?.message ?? 'The server restarts';
  if (message.stream === undefined) return;
  const last = positions.get(message.stream);
  const follows = message.kind === 'snapshot' || (last?.epoch === message.epoch && last.seq + 1 === message.seq);
  if (!follows && last !== undefined && message.kind !== 'state') {
    socket.close(4000, 'gap');
    return;
  }
  positions.set(message.stream, { epoch: message.epoch, seq: message.seq });
  take(message);
}

async function connect() {
  let retryMs = Math.min(RETRY_LIMIT_MS, 500 * 2 ** attempt) * (0.5 + Math.random());
  attempt += 1;
  try {
    const streams = await pickStreams();
    await new Promise((resolve, reject) => {
      const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`);
      socket.onopen = () => {
        attempt = 0;
        retryMs = 500 + 500 * Math.random();
        positions.clear();
        statusLine.textContent = `Live, ${streams.length} streams.`;
        socket.send(JSON.stringify({ id: 1, method: 'subscribe', params: { streams } }));
      };
      socket.onmessage = ({ data }) => onMessage(socket, JSON.parse(data));
      socket.onclose = ({ code }) => (code >= 3500 && code < 4000 ? reject(new Error(`Refused (${code})`)) : resolve());
    });
    statusLine.textContent = 'Disconnected, coming back…';
  } catch (error) {
    statusLine.textContent = `${error.message}; trying again…`;
  }
  setTimeout(connect, retryMs);
}

void connect();
