// Log entries of a dataset or of one operation, newest first, as Cloud Logging gives them.

import { datasetPath, operationPath } from "../names.js";
import { Calls } from "../parts/calls.js";
import { Field, useTyped } from "../parts/field.js";
import { Tail, usePages } from "../parts/list.js";
import { Empty, ErrorNotice, Loading } from "../parts/notice.js";
import { Heading } from "../parts/page.js";
import { setQuery } from "../router.js";
import { command, curl } from "../shell.js";
import { dateTime, t } from "../texts.js";
import { html, useState } from "../vendor/preact.js";
import { datasetCrumbs, DatasetTabs } from "./dataset.js";

const ROUTE = "/v2/entries:list";
const PAGE_SIZE = 100;
const SEVERITIES = ["", "INFO", "WARNING", "ERROR"];
const COLOURS = { INFO: "running", NOTICE: "running", WARNING: "warning" };

export function Logs({ place, query }) {
  const severity = SEVERITIES.includes(query.get("severity")) ? query.get("severity") : "";
  // What is typed may name a patient's object: it stays out of the address.
  const [typed, setTyped] = useState("");
  const conditions = [...scope(place), severity && `severity>=${severity}`, typed];
  const filter = conditions.filter(Boolean).join(" AND ");
  const body = { resourceNames: [`projects/${place.project}`], filter, orderBy: "timestamp desc" };
  const pages = usePages(ROUTE, "entries", { pageSize: PAGE_SIZE, body });
  const clear = () => {
    setTyped("");
    setQuery({ severity: "" });
  };
  return html`<main>
    <${LogHeading} place=${place}>
      <button type="button" onClick=${pages.again}>${t("logs.refresh")}</button>
    <//>
    ${!place.operation && html`<${DatasetTabs} place=${place} current="logs" />`}
    <${Filter} place=${place} severity=${severity} typed=${typed} apply=${setTyped} />
    <${Entries} pages=${pages} filtered=${severity || typed} clear=${clear} />
    <div class="panel"><div class="inside stack">
      <div class="field"><span class="label">${t("logs.asked")}</span><code class="uri">${filter}</code></div>
      <${Calls} calls=${logCalls(place, filter, body)} />
    </div></div>
  </main>`;
}

// The conditions that the page stands for.
function scope(place) {
  const within = ['resource.type="healthcare_dataset"', `resource.labels.location="${place.location}"`,
    `resource.labels.dataset_id="${place.dataset}"`];
  if (place.operation) within.push(`operation.id="${operationPath(place, place.operation).slice(1)}"`);
  return within;
}

function LogHeading({ place, children }) {
  const crumbs = datasetCrumbs(place);
  if (!place.operation) {
    return html`<${Heading} title=${place.dataset} about=${t("dataset")} tab=${`${t("logs.title")} · ${place.dataset}`}
      crumbs=${crumbs}>${children}<//>`;
  }
  const operations = `${datasetPath(place)}/operations`;
  crumbs.push([place.dataset, datasetPath(place)], [t("operations.title"), operations],
    [place.operation, operationPath(place, place.operation)]);
  return html`<${Heading} title=${t("logs.title")} about=${t("logs.ofOperation", { operation: place.operation })}
    tab=${`${t("logs.title")} · ${place.operation}`} crumbs=${crumbs}>${children}<//>`;
}

function Filter({ place, severity, typed, apply }) {
  const [text, setText] = useTyped(typed);
  const submit = (event) => {
    event.preventDefault();
    apply(text.trim());
  };
  return html`<form class="panel" role="search" onSubmit=${submit}><div class="inside stack">
    <div class="row" role="group" aria-label=${t("logs.severity")}>
      ${SEVERITIES.map((each) => html`<button type="button" aria-pressed=${each === severity ? "true" : "false"}
        onClick=${() => setQuery({ severity: each })}>${t(`logs.severity.${each || "all"}`)}</button>`)}
    </div>
    <div class="log-filter">
      <${Field} label=${t("logs.filter")} value=${text} onInput=${(event) => setText(event.target.value)} />
      <button class="primary">${t("logs.apply")}</button>
    </div>
    <div class="row small"><span class="soft">${t("logs.examples")}</span>
      ${examples(place).map((example) => html`<button type="button" class="link mono" onClick=${() => setText(example)}>
        ${example}</button>`)}</div>
  </div></form>`;
}

function examples(place) {
  const today = `${new Date().toISOString().slice(0, 10)}T00:00:00Z`;
  const found = [`timestamp>="${today}"`, "severity=ERROR"];
  if (!place.operation) found.push(`operation.id="${datasetPath(place).slice(1)}/operations/…"`);
  return found;
}

function Entries({ pages, filtered, clear }) {
  if (pages.error && !pages.rows) {
    return html`<${ErrorNotice} error=${pages.error} again=${pages.again} />`;
  }
  if (!pages.rows) return html`<div class="panel"><${Loading} /></div>`;
  // A page may be empty and not the last: the server looks at so many operations at a time.
  if (!pages.rows.length && !pages.hasMore) {
    return html`<div class="panel">${filtered
      ? html`<${Empty} title=${t("logs.noMatch")}>
          <button type="button" onClick=${clear}>${t("logs.clear")}</button><//>`
      : html`<${Empty} title=${t("logs.empty")}><span>${t("logs.empty.next")}</span><//>`}</div>`;
  }
  return html`<div class="panel" aria-busy=${pages.loading ? "true" : "false"}>
    <ul class="plain entries" aria-label=${t("logs.title")}>
      ${pages.rows.map((entry) => html`<li key=${entry.insertId}><${Entry} entry=${entry} /></li>`)}
    </ul>
    <${Tail} pages=${pages} />
  </div>`;
}

// One line, which opens to the whole entry.
function Entry({ entry }) {
  const [open, setOpen] = useState(false);
  const severity = entry.severity || "DEFAULT";
  const { jsonPayload: { error, source, resourceName, message } = {}, textPayload = "" } = entry;
  return html`<details onToggle=${(event) => setOpen(event.target.open)}>
    <summary>
      <time class="soft nowrap" datetime=${entry.timestamp}>${dateTime(entry.timestamp)}</time>
      <span class=${`badge ${COLOURS[severity] || (severity === "DEFAULT" ? "" : "wrong")}`}>${severity}</span>
      <span class="line">${message || error?.message || textPayload}
        ${" "}<span class="mono soft">${source || resourceName}</span></span>
    </summary>
    ${open && html`<pre tabindex="0">${JSON.stringify(entry, null, 2)}</pre>`}
  </details>`;
}

function logCalls(place, filter, body) {
  return {
    curl: curl("POST", ROUTE, body),
    gcloud: command(["gcloud", "logging", "read", filter], { project: place.project }),
  };
}
