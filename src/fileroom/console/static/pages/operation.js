// One operation, live: how far it is, how fast, what became of the objects, and which failed.

import { call } from "../api.js";
import { useRepeated } from "../loading.js";
import { api, datasetPath, operationPath, storePath } from "../names.js";
import { Calls } from "../parts/calls.js";
import { Failures } from "../parts/failures.js";
import { ErrorNotice, Loading } from "../parts/notice.js";
import { Heading } from "../parts/page.js";
import { Plot } from "../parts/plot.js";
import { Bar, durationInWords, figures, kindInWords, rateInWords, StateBadge } from "../parts/progress.js";
import { countOf, durationOf, failedOf, isAskedToWait, isTrial, kindOf, rateOf, requestOf, stateOf, throughput, toldOf, totalOf,
  withReading } from "../progress.js";
import { Link } from "../router.js";
import { curl, gcloud, literal } from "../shell.js";
import { dateTime, number, t } from "../texts.js";
import { html, useMemo, useRef } from "../vendor/preact.js";
import { datasetCrumbs } from "./dataset.js";
import { Actions } from "./operation_actions.js";
import { StoreLink } from "./operations.js";

const POLL_MILLISECONDS = 1000;
const PLOT_WINDOW_SECONDS = 3;
const PLOT_READINGS_MIN = 3;

export function OperationPage({ place, query }) {
  const path = operationPath(place, place.operation);
  const route = api(path);
  const { operation, readings, error } = useOperation(route);
  const title = operation ? kindInWords(operation) : t("operation");
  const crumbs = [...datasetCrumbs(place), [place.dataset, datasetPath(place)],
    [t("operations.title"), `${datasetPath(place)}/operations`]];
  return html`<main>
    <${Heading} title=${title} about=${place.operation} tab=${`${title} ${place.operation}`} crumbs=${crumbs}>
      <${Link} to=${`${path}/logs`} class="button">${t("logs.title")}<//>
      ${operation && html`<${Actions} place=${place} route=${route} operation=${operation} />`}
    <//>
    <${ErrorNotice} error=${error} />
    ${!operation && !error && html`<div class="panel"><${Loading} /></div>`}
    ${operation && html`<${Overview} place=${place} operation=${operation} readings=${readings} />
      <${Throughput} operation=${operation} readings=${readings} />
      <${Failures} route=${route} name=${place.operation} kind=${kindOf(operation)} failed=${failedOf(operation)}
        done=${operation.done} query=${query} />
      <div class="panel"><div class="inside stack">
        <${Request} operation=${operation} />
        <${Calls} calls=${readingCalls(place, route)} />
      </div></div>`}
  </main>`;
}

// Read it each second until it is done, through an absence of the server too.
function useOperation(route) {
  const readings = useRef([]);
  const { value, error } = useRepeated(
    async (signal) => {
      const operation = await call("GET", route, { signal });
      readings.current = withReading(readings.current, Date.now() / 1000, countOf(operation));
      return operation;
    },
    POLL_MILLISECONDS,
    (operation) => !operation.done,
    [route],
  );
  return { operation: value, readings: readings.current, error };
}

function Overview({ place, operation, readings }) {
  const { source, destination, place: below } = requestOf(operation);
  const { createTime, endTime, cancelRequested } = operation.metadata;
  const facts = [
    [t("store"), html`<${StoreLink} place=${place} operation=${operation} />`],
    [t(source ? "operations.source" : destination ? "operations.destination" : "operations.part"),
      below && html`<code><${PartLink} place=${place} operation=${operation} below=${below} /></code>`],
    [t("operations.created"), dateTime(createTime)],
    [t("operations.ended"), dateTime(endTime)],
    [t("operations.duration"), durationInWords(operation)],
    [t("operations.meanRate"), operation.done && countOf(operation) > 0 && meanRate(operation)],
  ];
  return html`<div class="panel"><div class="inside stack">
    <div class="row"><span role="status"><${StateBadge} operation=${operation} /></span>
      ${operation.metadata.fileroom && html`<span>${figures(operation, readings)}</span>`}</div>
    ${!operation.done && html`<${Bar} operation=${operation} />`}
    ${!operation.done && cancelRequested && html`<p class="soft">${t("operations.stopping")}</p>`}
    <${Why} operation=${operation} />
    ${isTrial(operation) && html`<div class="notice"><strong>${t("operations.trial")}</strong>
      <span>${t("operations.trial.next")}</span></div>`}
    <${Account} operation=${operation} />
    <dl class="facts">${facts.map(([name, text]) => text && html`<div><dt>${name}</dt><dd>${text}</dd></div>`)}</dl>
  </div></div>`;
}

// A study that is worked on has a page, unless it was deleted.
function PartLink({ place, operation, below }) {
  const { dicomStore } = requestOf(operation);
  const [, study] = /^studies\/([\d.]+)/.exec(below) || [];
  if (!study || !dicomStore || kindOf(operation).startsWith("Delete")) return below;
  return html`<${Link} to=${`${storePath({ ...place, dicomStore })}/studies/${study}`}>${below}<//>`;
}

function meanRate(operation) {
  const seconds = durationOf(operation);
  return seconds > 0 && rateInWords(countOf(operation) / seconds);
}

// Why it stands still, or why it did not end well.
function Why({ operation }) {
  const { pausedWhy } = operation.metadata.fileroom || {};
  if (pausedWhy && !operation.done) {
    return html`<div class="notice warning" role="status"><strong>${t("operations.paused", { why: pausedWhy })}</strong>
      <span>${t(isAskedToWait(operation) ? "operations.paused.asked" : "operations.paused.next")}</span></div>`;
  }
  const failed = failedOf(operation);
  const told = { count: failed, failed: number(failed), total: number(totalOf(operation) ?? countOf(operation)) };
  switch (stateOf(operation)) {
    case "partlyFailed":
      return html`<div class="notice warning"><strong>${t("operations.partlyFailed", told)}</strong>
        <span>${t("operations.partlyFailed.next")}</span></div>`;
    case "cancelled":
      return html`<div class="notice"><strong>${t("operations.cancelled")}</strong>
        <span>${t("operations.cancelled.next")}</span></div>`;
    case "failed":
      if (failed && failed === countOf(operation)) {
        return html`<div class="notice wrong"><strong>${t("operations.allFailed", told)}</strong>
          <span>${t("operations.allFailed.next")}</span></div>`;
      }
      return html`<div class="notice wrong" role="alert"><strong>${t("operations.endedWith")}</strong>
        <span>${operation.error.message}</span></div>`;
    default:
      return null;
  }
}

function Account({ operation }) {
  const account = operation.metadata.fileroom;
  if (!account) return null;
  return html`<dl class="figures">${toldOf(operation).map((term) => html`<div><dt>${t(`operations.account.${term}`)}</dt>
    <dd>${number(account[term])}</dd></div>`)}</dl>`;
}

function Throughput({ operation, readings }) {
  const data = useMemo(() => throughput(readings, PLOT_WINDOW_SECONDS), [readings]);
  const rates = data[1];
  if (rates.length < PLOT_READINGS_MIN || !countOf(operation)) return null;
  const now = operation.done ? 0 : rateOf(readings, PLOT_WINDOW_SECONDS) || 0;
  const words = t(operation.done ? "operations.throughput.ended" : "operations.throughput.now",
    { now: rateInWords(now), highest: rateInWords(Math.max(...rates)) });
  return html`<section class="panel"><div class="inside stack">
    <div class="row apart"><h2>${t("operations.throughput")}</h2><span class="soft small">${words}</span></div>
    <${Plot} data=${data} label=${`${t("operations.throughput")}: ${words}`} />
    <p class="soft small">${t("operations.throughput.since")}</p>
  </div></section>`;
}

function Request({ operation }) {
  const { fileroomRequest } = operation.metadata;
  if (!fileroomRequest) return null;
  return html`<details><summary>${t("operations.request")}</summary>
    <pre tabindex="0">${JSON.stringify(fileroomRequest, null, 2)}</pre></details>`;
}

function readingCalls(place, route) {
  return {
    curl: curl("GET", route),
    gcloud: gcloud(["operations", "describe", place.operation], place),
    Python: `client.wait(${literal(operationPath(place, place.operation).slice(1))})`,
  };
}
