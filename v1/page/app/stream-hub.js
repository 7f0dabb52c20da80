// One connection for all tabs that hold the same key: it is opened with the first of them and closed with the last.

import { EventStream } from "./event-stream.js";

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

  /** Connect at once where a connection is lost, or may be. */
  wake() {
    for (const { source } of this.streams.values()) source.wake();
  }

  open(name, url, headers) {
    const stream = { members: new Set(), state: { type: "state", state: "connecting", reason: "" }, newest: null };
    this.streams.set(name, stream);
    const tell = (message) => stream.members.forEach((send) => send(message));
    const tellState = (state, reason) => {
      stream.state = { type: "state", state, reason };
      if (state === "refused") this.streams.delete(name);
      tell(stream.state);
    };
    stream.source = new EventStream(url, headers, (event, data) => {
      const message = { type: "event", name: event, data };
      // Whoever joins later sees the newest tick at once.
      if (event === "tick") stream.newest = message;
      if (event === "away") tellState("away", "the store is away");
      else if (event === "back") tellState("open", "");
      else tell(message);
    }, tellState);
    stream.source.follow();
    return stream;
  }

  leave(name, stream, send) {
    stream.members.delete(send);
    if (stream.members.size) return;
    stream.source.close();
    if (this.streams.get(name) === stream) this.streams.delete(name);
  }
}
