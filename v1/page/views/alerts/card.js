// One alert: what happened and why, what became of its messages, and what can be done about it.

import { writeAddress } from "../../app/address.js";
import { make, setText } from "../../app/elements.js";
import { readPreferences } from "../../app/preferences.js";
import { writeExact, writeShort } from "../../format/numbers.js";
import { writeTime } from "../../format/times.js";
import { makeActions } from "./actions.js";

const STATUS = { sent: "sent", failed: "failed, tried again", waiting: "waits", refused: "refused", "given up": "given up" };

/**
 * Return `{ element, update(alert, silence) }` of an alert; `silence` is what keeps its messages back now, or null. An
 * element stays while its alert is shown, so that neither the focus nor what somebody types is lost. `onChanged` is called
 * with the alert once it is acknowledged, `onSilenced` once it is silenced.
 */
export function makeCard(alert, { onChanged, onSilenced }) {
  const summary = make("summary"), told = make("div"), actions = makeActions(alert, { onChanged, onSilenced });
  const details = make("details", {}, summary, told, actions.element);
  const time = make("time", { datetime: new Date(Number(alert.at) * 1000).toISOString() });
  let shown;
  return {
    element: make("li.card", { dataset: { id: alert.id, severity: alert.severity } }, makeLine(alert, time), details),
    update(alert, silence) {
      const hadFocus = details.contains(document.activeElement), version = JSON.stringify([alert, silence, readPreferences().zone]);
      if (version !== shown) {
        shown = version;
        setText(time, writeTime(alert.at));
        summary.replaceChildren(make("strong", {}, alert.title), " ", ...listTags(alert, silence));
        told.replaceChildren(make("p", {}, alert.text), makeFacts(alert), makeDeliveries(alert));
      }
      actions.update(alert);
      if (hadFocus && !details.contains(document.activeElement)) summary.focus();
    },
  };
}

function makeLine(alert, time) {
  return make("p.line", {}, time, " ",
    isMetric(alert.metric) ? make("a", { href: writeAddress("metric", alert.measure ? { measure: alert.measure } : {}, alert.metric) }, alert.metric) : make("span", {}, alert.metric), " ",
    make("a", { href: writeAddress("rules", { rule: alert.rule }) }, alert.name));
}

function listTags(alert, silence) {
  const tags = [["severity", alert.severity]];
  if (alert.ended_at !== null) tags.push(["over", "over"]);
  if (alert.acknowledged) tags.push(["seen", `seen by ${alert.acknowledged.by}`]);
  if (alert.acknowledged?.until && alert.ended_at === null) tags.push(["quiet", "no more messages until it is over"]);
  if (alert.suppressed_by) tags.push(["quiet", `not sent: ${alert.suppressed_by}`]);
  if (silence) tags.push(["quiet", `silenced until ${writeTime(silence.to)}`]);
  const failed = alert.deliveries.some(({ status }) => status === "refused" || status === "given up");
  if (failed) tags.push(["failed", "a message was not delivered"]);
  return tags.map(([kind, words]) => [make("span.tag", { dataset: { kind, ...(kind === "severity" && { severity: words }) } }, words), " "]).flat();
}

function makeFacts(alert) {
  const facts = {
    Value: writeExact(alert.value),
    "Compared with": alert.reference !== null && alert.reference !== undefined ? `${writeExact(alert.reference)} (${alert.reference_kind})` : alert.mean !== null ? `mean ${writeShort(alert.mean)}` : null,
    Ratio: alert.ratio === null ? null : writeShort(alert.ratio, 4),
    Samples: alert.samples,
    Rank: alert.rank === null ? null : `${alert.rank} of ${alert.of}`,
    Over: alert.ended_at === null ? "not yet" : writeTime(alert.ended_at),
    "One of": Number(alert.group_size) > 1 ? `${alert.group_size} of this rule at this tick` : null,
    Seen: alert.acknowledged ? `${writeTime(alert.acknowledged.at)} by ${alert.acknowledged.by}${alert.acknowledged.comment ? `: ${alert.acknowledged.comment}` : ""}` : "by nobody yet",
  };
  return make("dl.alert-facts", {}, Object.entries(facts).filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function makeDeliveries(alert) {
  if (!alert.deliveries.length) {
    return make("p.hint", {}, alert.suppressed_by ? `No message: ${alert.suppressed_by}.` : "No message was tried: there is no channel, or it is about to be.");
  }
  return make("div.scroll", { tabindex: "0", role: "region", "aria-label": "Messages" }, make("table", {},
    make("thead", {}, make("tr", {}, ["Time", "Channel", "Became", "Answer"].map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, alert.deliveries.map((each) => make("tr", {}, make("td", {}, writeTime(each.at, { second: true })), make("td", {}, each.channel),
      make("td", { dataset: { status: each.status } }, STATUS[each.status] ?? each.status), make("td", {}, each.answer))))));
}

/** Return whether an alert is about a metric, and not about a source as a whole. */
function isMetric(name) {
  return !name.endsWith(":*");
}
