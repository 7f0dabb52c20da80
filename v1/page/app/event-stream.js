// Reads server-sent events of the API, with a key, and goes on where it was cut off (WHATWG HTML, 9.2).

const FIRST_PAUSE = 1000, LONGEST_PAUSE = 15_000; // milliseconds
const SILENCE = 40_000; // milliseconds: a comment comes every 15 seconds

/**
 * Read a stream until `signal` is aborted. `onEvent(name, data)` gets each event with the text of its data, and
 * `onState(state, reason)` what has become of the connection: `open`, `closed`, or `refused`, after which it is over.
 */
export async function follow(url, headers, signal, onEvent, onState) {
  let last = null, pause = FIRST_PAUSE;
  while (!signal.aborted) {
    const silence = new AbortController();
    const reader = new EventReader(onEvent);
    let timer = setTimeout(() => silence.abort(), SILENCE);
    let reason = "the connection was closed";
    try {
      const answer = await fetch(url, {
        headers: { ...headers, Accept: "text/event-stream", ...(last && { "Last-Event-ID": last }) },
        cache: "no-store",
        signal: AbortSignal.any([signal, silence.signal]),
      });
      if (answer.status === 401 || answer.status === 403) {
        onState("refused", `the API answered ${answer.status}`);
        return;
      }
      if (!answer.ok) throw new Error(`the API answered ${answer.status}`);
      onState("open", "");
      const chunks = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let chunk = await chunks.read(); !chunk.done; chunk = await chunks.read()) {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE);
        pause = FIRST_PAUSE;
        last = reader.take(chunk.value) ?? last;
      }
    } catch (error) {
      if (signal.aborted) return;
      reason = silence.signal.aborted ? "nothing was heard for a while" : error.message;
    } finally {
      clearTimeout(timer);
    }
    onState("closed", reason);
    await new Promise((resume) => setTimeout(resume, pause));
    pause = Math.min(2 * pause, LONGEST_PAUSE);
  }
}

/** Puts events together from the parts in which they come. */
export class EventReader {
  constructor(onEvent) {
    this.onEvent = onEvent;
    this.rest = "";
    this.last = null;
    this.clear();
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
      this.clear();
      return;
    }
    const at = line.indexOf(":");
    const field = at < 0 ? line : line.slice(0, at), value = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
    if (field === "event") this.name = value;
    else if (field === "data") this.data.push(value);
    else if (field === "id") this.id = value;
  }

  clear() {
    this.name = "message";
    this.data = [];
    this.id = null;
  }
}
