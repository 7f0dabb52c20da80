// One connection for all tabs that hold the same key: it is opened with the first of them and closed with the last.

import { follow } from "./event-stream.js";

export class StreamHub {
  constructor() {
    this.streams = new Map(); // by address and key
  }

  /** Tell `send` of every event, `{ type: "event", name, data }`, and of the connection. Return what ends that. */
  join(url, headers, send) {
    const name = JSON.stringify([url, headers]);
    const stream = this.streams.get(name) ?? this.open(name, url, headers);
    stream.members.add(send);
    send(stream.state);
    if (stream.newest) send(stream.newest);
    return () => this.leave(name, stream, send);
  }

  open(name, url, headers) {
    const stream = { members: new Set(), ends: new AbortController(), state: { type: "state", state: "connecting", reason: "" }, newest: null };
    this.streams.set(name, stream);
    const tell = (message) => stream.members.forEach((send) => send(message));
    follow(url, headers, stream.ends.signal, (event, data) => {
      const message = { type: "event", name: event, data };
      // Whoever joins later sees the newest tick at once.
      if (event === "tick") stream.newest = message;
      tell(message);
    }, (state, reason) => {
      stream.state = { type: "state", state, reason };
      tell(stream.state);
      if (state === "refused") this.streams.delete(name);
    });
    return stream;
  }

  leave(name, stream, send) {
    stream.members.delete(send);
    if (stream.members.size) return;
    stream.ends.abort();
    this.streams.delete(name);
  }
}
