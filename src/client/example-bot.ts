import { createClient } from './index.ts';

const [venue = 'kraken', symbol = 'BTC/USD', limitBps = '0.02', url = 'http://localhost:3000'] = process.argv.slice(2);

const client = createClient({
  url,
  onError: (error) => console.error(`${error.stream ?? 'connection'}: ${error.message}`),
});

client.book(venue, symbol, {
  depth: 10,
  // Called only with a book that is proved complete and live.
  onUpdate({ bids: [bid], asks: [ask], seq }) {
    if (!bid || !ask) return;
    const spreadBps = ((Number(ask[0]) - Number(bid[0])) / Number(ask[0])) * 10_000;
    if (spreadBps > Number(limitBps)) console.log(`#${seq} ${bid[0]} | ${ask[0]}  spread ${spreadBps.toFixed(2)} bps`);
  },
  onState: ({ status, reason }) => console.log(`book is ${status} ${reason}`),
});
process.once('SIGINT', () => client.close());
