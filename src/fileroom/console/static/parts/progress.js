// How far an operation is: its state as a badge, its bar, its figures in words.

import { countOf, durationOf, failedOf, kindOf, rateOf, remainingOf, stateOf, totalOf } from "../progress.js";
import { clock, number, t } from "../texts.js";
import { html } from "../vendor/preact.js";

const COLOURS = {
  running: "running",
  stopping: "warning",
  paused: "warning",
  done: "good",
  partlyFailed: "warning",
  failed: "wrong",
  cancelled: "",
};

export function StateBadge({ operation }) {
  const state = stateOf(operation);
  return html`<span class=${`badge ${COLOURS[state]}`}>${t(`operations.state.${state}`)}</span>`;
}

// What an operation does, in words; a method that is not known here by its own name.
export function kindInWords(operation) {
  const kind = kindOf(operation);
  const key = `operations.kind.${kind}`;
  const text = t(key);
  return text === key ? kind : text;
}

// The bar of an operation that goes on or stands still; until there is a total it moves to and fro.
export function Bar({ operation }) {
  const total = totalOf(operation);
  const unknown = stateOf(operation) === "paused" ? 0 : undefined;
  const value = total ? Math.min(countOf(operation), total) : unknown;
  return html`<progress aria-label=${t("operations.progress")} max=${total || 1} value=${value} />`;
}

// `1,250 of 5,000 (25 %) · 740/s · 0:05 left · 3 failed`.
export function figures(operation, readings) {
  const count = countOf(operation);
  const total = totalOf(operation);
  const parts = [countInWords(count, total)];
  const rate = stateOf(operation) === "paused" ? undefined : rateOf(readings);
  const remaining = remainingOf(readings, total);
  if (!operation.done && rate !== undefined) {
    parts.push(rateInWords(rate));
    if (remaining !== undefined) parts.push(t("operations.left", { time: clock(remaining) }));
  }
  const failed = failedOf(operation);
  if (failed) parts.push(t("operations.failed", { count: failed, failed: number(failed) }));
  return parts.join(" · ");
}

export function rateInWords(rate) {
  return t("operations.rate", { rate: number(rate < 10 ? Math.round(rate * 10) / 10 : Math.round(rate)) });
}

// How long it took or has taken: `0.4 s`, `0:25`, `1:02:03`.
export function durationInWords(operation) {
  const seconds = durationOf(operation, Date.now());
  if (seconds === undefined) return "";
  if (!operation.done || seconds >= 10) return clock(seconds);
  if (seconds < 0.1) return t("operations.seconds.few");
  return t("operations.seconds", { seconds: Math.round(seconds * 10) / 10 });
}

function countInWords(count, total) {
  if (total === undefined) return t("operations.count", { count, counted: number(count) });
  const percent = total ? Math.floor((count * 100) / total) : 100;
  return t("operations.countOf", { counted: number(count), total: number(total), percent: String(percent) });
}
