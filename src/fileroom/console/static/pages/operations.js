// The operations of a dataset, newest first; those that run are kept up to date.

import { call, page } from "../api.js";
import { useRepeated } from "../loading.js";
import { api, datasetPath, lastSegment, operationPath, storePath } from "../names.js";
import { List, usePages } from "../parts/list.js";
import { Empty, ErrorNotice } from "../parts/notice.js";
import { Heading } from "../parts/page.js";
import { Bar, durationInWords, figures, kindInWords, StateBadge } from "../parts/progress.js";
import { countOf, requestOf, withReading } from "../progress.js";
import { Link, setQuery } from "../router.js";
import { dateTime, t } from "../texts.js";
import { html, useRef } from "../vendor/preact.js";
import { datasetCrumbs, DatasetTabs } from "./dataset.js";

const POLL_MILLISECONDS = 1000;
const NEWEST = 10;
const OTHERS_MAX = 20;
const CHOICES = [["", "all"], ["false", "running"], ["true", "ended"]];

export function Operations({ place, query }) {
  const done = query.get("done") || "";
  return html`<main>
    <${Heading} title=${place.dataset} about=${t("dataset")} tab=${`${t("operations.title")} · ${place.dataset}`}
      crumbs=${datasetCrumbs(place)} />
    <${DatasetTabs} place=${place} current="operations" />
    <div class="row" role="group" aria-label=${t("operations.show")}>
      ${CHOICES.map(([value, name]) => html`<button type="button" aria-pressed=${value === done ? "true" : "false"}
        onClick=${() => setQuery({ done: value })}>${t(`operations.show.${name}`)}</button>`)}
    </div>
    <${OperationTable} key=${done} place=${place} done=${done} />
  </main>`;
}

function OperationTable({ place, done }) {
  const route = `${api(datasetPath(place))}/operations`;
  const filter = done && `done=${done}`;
  const pages = usePages(route, "operations", { query: { filter } });
  const fresh = useFresh(route, pages.rows || [], filter);
  const rows = pages.rows && merged(pages.rows, fresh.operations, pages.hasMore);
  const readings = fresh.readings;
  const at = (operation) => operationPath(place, lastSegment(operation.name));
  const columns = [
    { label: t("operation"), cell: (row) => html`<div class="what"><${Link} to=${at(row)}>${kindInWords(row)}<//>
      <span class="soft small mono">${lastSegment(row.name)}</span></div>` },
    { label: t("operations.state"), cell: (row) => html`<${State} operation=${row}
      readings=${readings.get(row.name)} />` },
    { label: t("store"), cell: (row) => html`<${StoreLink} place=${place} operation=${row} />` },
    { label: t("operations.place"), cell: (row) => html`<span class="mono address">${requestOf(row).place}</span>` },
    { label: t("operations.created"), cell: (row) => html`<span class="nowrap">
      ${dateTime(row.metadata.createTime)}</span>` },
    { label: t("operations.duration"), number: true, cell: (row) => durationInWords(row) },
  ];
  return html`${pages.rows && html`<${ErrorNotice} error=${fresh.error} />`}
    <${List} pages=${{ ...pages, rows }} columns=${columns} keyOf=${(row) => row.name} caption=${t("operations.title")}
      empty=${html`<${Nothing} place=${place} done=${done} />`} />`;
}

// Each second the newest operations, and those shown as running that are not among them.
function useFresh(route, rows, filter) {
  const known = useRef({ operations: new Map(), readings: new Map() }).current;
  const { error } = useRepeated(
    async (signal) => {
      const { items } = await page(route, "operations", { pageSize: NEWEST, query: { filter }, signal });
      const newest = new Set(items.map(({ name }) => name));
      const shown = new Map([...rows.map((row) => [row.name, row]), ...known.operations]);
      const others = [...shown.values()].filter((row) => !row.done && !newest.has(row.name)).slice(0, OTHERS_MAX);
      const read = await Promise.all(others.map(({ name }) => call("GET", `/v1/${name}`, { signal })));
      for (const operation of [...items, ...read]) note(known, operation);
    },
    POLL_MILLISECONDS,
    () => true,
    [route],
  );
  return { ...known, error };
}

function note({ operations, readings }, operation) {
  const { name } = operation;
  operations.set(name, operation);
  if (operation.done) readings.delete(name);
  else readings.set(name, withReading(readings.get(name) || [], performance.now() / 1000, countOf(operation)));
}

// The rows with what is newer of them, and with those that began since they were read.
function merged(rows, fresh, hasMore) {
  const oldest = rows.at(-1)?.metadata.createTime || "";
  const found = new Map(rows.map((row) => [row.name, row]));
  for (const [name, operation] of fresh) {
    if (found.has(name) || !hasMore || operation.metadata.createTime > oldest) found.set(name, operation);
  }
  const begun = (operation) => operation.metadata.createTime;
  return [...found.values()].sort((one, other) => (begun(one) < begun(other) ? 1 : -1));
}

export function StoreLink({ place, operation }) {
  const { dicomStore } = requestOf(operation);
  return dicomStore && html`<${Link} to=${storePath({ ...place, dicomStore })}>${dicomStore}<//>`;
}

function State({ operation, readings = [] }) {
  return html`<div class="state">
    <${StateBadge} operation=${operation} />
    ${!operation.done && html`<${Bar} operation=${operation} />
      <span class="small soft">${figures(operation, readings)}</span>`}
  </div>`;
}

function Nothing({ place, done }) {
  if (done) {
    return html`<${Empty} title=${t(done === "false" ? "operations.empty.running" : "operations.empty.ended")}>
      <button type="button" onClick=${() => setQuery({ done: "" })}>${t("operations.show.all")}</button><//>`;
  }
  return html`<${Empty} title=${t("operations.empty")}><span>${t("operations.empty.next")}</span>
    <${Link} to=${datasetPath(place)} class="button">${t("stores.title")}<//><//>`;
}
