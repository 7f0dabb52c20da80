// Takes a key where the API wants one, and says whose it is and what it may do.

import { readCaller, signOut, tryKey, watchCaller } from "./caller.js";
import { announce, make, setText } from "./elements.js";
import { keepKey, readKey } from "./session.js";
import { watchPreferences } from "./preferences.js";
import { writeTime } from "../format/times.js";

const MAY = {
  read: "may read everything and change nothing",
  rules: "may read everything, and change rules, silences and alerts",
  admin: "may read and change everything",
};
let form = null;

export function startSignIn() {
  watchCaller(draw);
  watchPreferences(draw);
  draw();
}

function draw() {
  const caller = readCaller(), place = document.getElementById("sign-in");
  drawCaller(caller);
  if (caller.state !== "wanted") {
    form = null;
    place.replaceChildren();
    return;
  }
  if (!form) {
    form = makeForm();
    place.replaceChildren(form);
  }
  setText(form.querySelector(".reason"), caller.reason);
}

/** Say in the head of the page who has signed in. */
function drawCaller({ state, name, scope, until }) {
  const place = document.getElementById("caller");
  if (state !== "known") {
    place.replaceChildren();
    return;
  }
  const ends = until === null ? "" : `, until ${writeTime(until)}`;
  place.replaceChildren(
    make("span", { title: `This key ${MAY[scope]}${ends}.` }, `Key of ${name}: ${scope}${ends} `),
    ...(readKey() ? [make("button", { type: "button", onclick: signOut }, "Sign out")] : []),
  );
}

function makeForm() {
  const input = make("input", { type: "password", id: "key", name: "key", autocomplete: "current-password", required: true, spellcheck: "false", "aria-describedby": "key-hint key-trouble" });
  const trouble = make("p.trouble", { id: "key-trouble", role: "alert", hidden: true });
  const button = make("button.primary", { type: "submit" }, "Sign in");
  return make("form.card", { novalidate: true, onsubmit: (event) => { event.preventDefault(); submit(input, button, trouble); } },
    make("h2", {}, "Sign in"),
    make("p.reason", { role: "status" }),
    make("label", { for: "key" }, "Key"), input, button, trouble,
    make("p.hint", { id: "key-hint" }, "This API answers nobody without a key. Yours is kept until this tab is closed, and sent to this server alone. Whoever runs it makes keys with scripts/keys.sh."));
}

async function submit(input, button, trouble) {
  const key = input.value.trim();
  trouble.hidden = true;
  if (!key) return complain(input, trouble, "Put in a key.");
  if (/[\u0000-\u001f\u007f]/.test(key)) return complain(input, trouble, "A key has no control characters; this one has.");
  button.disabled = true;
  try {
    const caller = await tryKey(key);
    keepKey(key);
    announce(`Signed in with the key of ${caller.name}, which ${MAY[caller.scope]}.`);
    document.getElementById("view").focus({ preventScroll: true });
  } catch (error) {
    const why = error.status === 401 ? "this key is not accepted: it is mistyped, has ended, or was revoked" : error.message;
    complain(input, trouble, `Not signed in: ${why}.`);
  } finally {
    button.disabled = false;
  }
}

function complain(input, trouble, text) {
  trouble.textContent = text;
  trouble.hidden = false;
  input.focus();
}
