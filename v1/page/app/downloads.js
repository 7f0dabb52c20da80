// Links to files, where a key is needed: a browser that follows a link sends none, so the page fetches the file itself.

import { ROOT } from "./address.js";
import { announce } from "./elements.js";
import { listKeyHeaders, readKey } from "./session.js";

/** Fetch what a link with `download` names, where somebody has signed in; without a key it is the browser's own. */
export function startDownloads() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[download][href]");
    if (!link || !readKey() || link.origin !== ROOT.origin || event.defaultPrevented) return;
    event.preventDefault();
    save(link).catch(() => announce("The file could not be fetched: the API does not answer, or refuses it."));
  });
}

async function save(link) {
  const answer = await fetch(link.href, { headers: listKeyHeaders() });
  if (!answer.ok) throw new Error(`the API answered ${answer.status}`);
  const url = URL.createObjectURL(await answer.blob());
  const copy = document.createElement("a");
  copy.href = url;
  copy.download = link.getAttribute("download") || readName(answer) || new URL(link.href).pathname.split("/").at(-1);
  copy.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function readName(answer) {
  return /filename="?([^";]+)"?/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1];
}
