// What time it is by the server and by the market. A wrong clock of this browser makes no age wrong, and while a past
// day is replayed, its own time goes by.

const CLOSE = 30; // seconds that two clocks may differ before somebody has to know
let known = null; // what the server said, and `read`: when it said so, by this browser

/** Take in what `/health/ready` says of the time. */
export function noteHealth({ now, tick, replay }) {
  const read = Date.now() / 1000, at = Number(now);
  const market = tick.at === null ? at : Number(tick.at) + Number(tick.age);
  known = { now: at, market, read, pace: replay ? (replay.state === "running" ? Number(replay.speed ?? 0) : 0) : 1 };
}

/** Take in a tick: of a replay it may come before its time was told. */
export function noteTick(at) {
  if (known && known.pace !== 1 && Number(at) > readNow()) Object.assign(known, { market: Number(at), read: Date.now() / 1000 });
}

/** Return the time of the market, in unix seconds; before the server has said it, that of this browser. */
export function readNow() {
  if (!known) return Date.now() / 1000;
  return known.market + known.pace * Math.max(0, Date.now() / 1000 - known.read);
}

/** Return how many seconds the clock of this browser is ahead of the server's, or null where they agree. */
export function readClockError() {
  const error = known ? known.read - known.now : 0;
  return Math.abs(error) > CLOSE ? error : null;
}
