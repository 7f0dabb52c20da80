// Tells of an alert that begins although nobody looks: by a sound, and by a notification of the browser. Off until asked for.

import { writeAddress } from "./address.js";
import { listen } from "./live.js";
import { changePreferences, readPreferences } from "./preferences.js";

const LOCK = "data-tracker signals";
const MOST_KNOWN = 1000;
const known = new Set(); // ids of alerts that were told of; they are told again when they end or are acknowledged
let isOurs = false; // whether it is this tab that signals
let audio = null;

/** Signal each alert that begins from now on, in one tab of all that are open. */
export function startSignals() {
  holdLock();
  listen("alert", (alert) => {
    const isNew = !known.has(alert.id) && alert.ended_at === null && !alert.acknowledged && alert.event !== "resolved";
    known.add(alert.id);
    if (known.size > MOST_KNOWN) known.delete(known.values().next().value);
    if (isNew && isOurs && !alert.suppressed_by) signal(alert);
  });
}

/** Return what may be switched on: `{ name, label, missing, turn }`; `missing` says why it cannot be. */
export function listSignals() {
  const hasNotifications = "Notification" in window && isSecureContext;
  return [
    { name: "sound", label: "Sound at alerts", missing: "AudioContext" in window ? "" : "this browser has none", turn: turnSound },
    { name: "notifications", label: "Notifications of alerts", missing: hasNotifications ? "" : "browsers have them by HTTPS alone", turn: turnNotifications },
  ];
}

function signal(alert) {
  if (readPreferences().sound) play();
  if (!readPreferences().notifications || globalThis.Notification?.permission !== "granted") return;
  const text = alert.value === null ? alert.metric : `${alert.metric}: ${alert.value}`;
  const shown = new Notification(`${alert.name} (${alert.severity})`, { body: text, tag: alert.id });
  shown.onclick = () => {
    focus();
    location.href = writeAddress("metric", {}, alert.metric);
  };
}

/** Turn the sound on, and let it be heard once; return what is wrong. */
async function turnSound(isOn) {
  changePreferences({ sound: isOn });
  if (isOn) await play();
  return isOn && audio?.state !== "running" ? "The browser plays no sound before you have clicked on the page." : "";
}

async function turnNotifications(isOn) {
  const answer = isOn ? await Notification.requestPermission() : "default";
  changePreferences({ notifications: answer === "granted" });
  return isOn && answer !== "granted" ? "The browser does not allow notifications of this page; its settings for this site can." : "";
}

/** Play two short tones. */
async function play() {
  audio ??= new AudioContext();
  await Promise.race([audio.resume(), new Promise((resume) => setTimeout(resume, 500))]);
  if (audio.state !== "running") return;
  for (const [at, pitch] of [[0, 660], [0.18, 880]]) {
    const tone = audio.createOscillator(), volume = audio.createGain(), begins = audio.currentTime + at;
    tone.frequency.value = pitch;
    volume.gain.setValueAtTime(0.0001, begins);
    volume.gain.exponentialRampToValueAtTime(0.2, begins + 0.02);
    volume.gain.exponentialRampToValueAtTime(0.0001, begins + 0.16);
    tone.connect(volume).connect(audio.destination);
    tone.start(begins);
    tone.stop(begins + 0.17);
  }
}

/** Have one tab signal: the one that holds a lock, which the next gets when it is closed. Without locks each does. */
function holdLock() {
  if (!navigator.locks) {
    isOurs = true;
    return;
  }
  navigator.locks.request(LOCK, () => {
    isOurs = true;
    return new Promise(() => {});
  });
}
