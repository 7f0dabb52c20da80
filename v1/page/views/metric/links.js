// The same for programs: the exact question behind the chart, as CSV, JSON and curl.

import { announce, make } from "../../app/elements.js";
import { readKey } from "../../app/session.js";
import { locateQuestion } from "./data.js";

/** Return links to a question, and its command, which a button copies. */
export function makeLinks(metric, question) {
  const json = locateQuestion(question), csv = locateQuestion(question, "csv"), command = writeCommand(csv);
  const file = metric.replaceAll(/[^A-Z0-9]+/gi, "-");
  const copy = make("button", { type: "button", onclick: () => copyText(command, code) }, "Copy curl");
  const code = make("code", { tabindex: "0", "aria-label": "Command" }, command);
  return make("div.bar", {},
    make("a.csv", { href: csv, download: `${file}.csv` }, "CSV"),
    // A browser that follows a link sends no key, so with one it is fetched as a file, as CSV is.
    make("a.json", readKey() ? { href: json, download: `${file}.json` } : { href: json, target: "_blank", rel: "noreferrer" }, "JSON"),
    copy, code);
}

/** Return a command of a shell that asks the same; a key is named, not shown. */
export function writeCommand(url) {
  const quoted = `'${url.replaceAll("'", "%27")}'`;
  return readKey() ? `curl -s -H "Authorization: Bearer $KEY" ${quoted}` : `curl -s ${quoted}`;
}

/** Copy a text; where the browser does not let that happen, select it. */
async function copyText(text, element) {
  try {
    await navigator.clipboard.writeText(text);
    announce("copied");
  } catch {
    getSelection().selectAllChildren(element);
    announce("selected; copy it by the keys of your system");
  }
}
