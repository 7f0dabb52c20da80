// Reads server-sent events of the API, with a key, and goes on where it was cut off (WHATWG HTML, 9.2).

const FIRST_PAUSE = 1000, LONGEST_PAUSE = 15_000; // milliseconds
const SILENCE = 40_000; // milliseconds: a comment comes every 15 seconds
const DOUBTFUL = 20_000; // milliseconds: a connection that was silent for longer may be dead after a sleep

/** One connection at a time, made anew whenever it ends, until it is closed or refused. */
export class EventStream {
  /**
   * `onEvent(name, data)` gets each event with the text of its data, and `onState(state, reason)` what has become of the
   * connection: `open`, `closed`, or `refused`, after which it is over.
   */
  constructor(url, headers, onEvent, onState) {
    Object.assign(this, { url, headers, onState, last: null, pause: FIRST_PAUSE, isOver: false });
    this.reader = new EventReader(onEvent);
    this.heard = Date.now();
    this.resume = () => {};
    this.connection = new AbortController();
  }

  /** Read until it is closed or refused. */
  async follow() {
    while (!this.isOver) {
      const reason = await this.readConnection();
      if (this.isOver) return;
      this.onState("closed", reason);
      await this.wait();
    }
  }

  /** Connect at once, if it waits to do so or the connection may be dead: the machine was asleep, or the network away. */
  wake() {
    this.pause = FIRST_PAUSE;
    this.resume();
    if (Date.now() - this.heard > DOUBTFUL) this.connection.abort();
  }

  close() {
    this.isOver = true;
    this.connection.abort();
    this.resume();
  }

  /** Connect and read to the end; return why it ended. */
  async readConnection() {
    this.connection = new AbortController();
    this.reader.clear();
    try {
      const answer = await this.connect();
      if (this.isOver) return "";
      const chunks = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let chunk = await chunks.read(); !chunk.done; chunk = await chunks.read()) {
        this.expect();
        this.pause = FIRST_PAUSE;
        this.last = this.reader.take(chunk.value) ?? this.last;
      }
      return "the server ended it";
    } catch (error) {
      return this.connection.signal.aborted ? "nothing was heard for a while" : explain(error);
    } finally {
      clearTimeout(this.silence);
    }
  }

  async connect() {
    this.expect();
    const resumed = this.last === null ? {} : { "Last-Event-ID": this.last };
    const headers = { ...this.headers, Accept: "text/event-stream", ...resumed };
    const answer = await fetch(this.url, { headers, cache: "no-store", signal: this.connection.signal });
    if (answer.status === 401 || answer.status === 403) {
      this.isOver = true;
      this.onState("refused", `the API answered ${answer.status}`);
    } else if (!answer.ok) {
      throw new Error(`the API answered ${answer.status}`);
    } else {
      this.onState("open", "");
    }
    return answer;
  }

  /** Note that something was heard; after a long silence the connection is given up. */
  expect() {
    this.heard = Date.now();
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.connection.abort(), SILENCE);
  }

  async wait() {
    const { pause } = this;
    this.pause = Math.min(2 * pause, LONGEST_PAUSE);
    await new Promise((resume) => {
      const timer = setTimeout(resume, pause);
      this.resume = () => {
        clearTimeout(timer);
        resume();
      };
    });
    this.resume = () => {};
  }
}

/** Puts events together from the parts in which they come. */
export class EventReader {
  constructor(onEvent) {
    this.onEvent = onEvent;
    this.last = null;
    this.clear();
  }

  /** Forget what has begun and will not be ended: its connection is over. */
  clear() {
    this.rest = "";
    this.begin();
  }

  /** Take a part; return the id of the last event that was whole, or null before the first. */
  take(text) {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop();
    for (const line of lines) this.takeLine(line.endsWith("\r") ? line.slice(0, -1) : line);
    return this.last;
  }

  takeLine(line) {
    if (line === "") {
      if (this.id !== null) this.last = this.id;
      if (this.data.length) this.onEvent(this.name, this.data.join("\n"));
      this.begin();
      return;
    }
    const at = line.indexOf(":");
    const field = at < 0 ? line : line.slice(0, at), value = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
    if (field === "event") this.name = value;
    else if (field === "data") this.data.push(value);
    else if (field === "id") this.id = value;
  }

  begin() {
    this.name = "message";
    this.data = [];
    this.id = null;
  }
}

function explain(error) {
  return error instanceof TypeError ? "the API does not answer" : error.message;
}
