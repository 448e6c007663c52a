// The objects of an operation that failed, a page at a time: which, why, and what to do.

import { page } from "../api.js";
import { useAnswer } from "../loading.js";
import { setQuery } from "../router.js";
import { number, t } from "../texts.js";
import { html, useState } from "../vendor/preact.js";
import { Download } from "./download.js";
import { Field } from "./field.js";
import { Empty, ErrorNotice, Loading } from "./notice.js";

const PAGE_SIZE = 100;
const REASONS = ["NOT_DICOM", "EMPTY", "TRUNCATED", "MALFORMED", "NESTING_LIMIT", "ELEMENT_LIMIT", "HEADER_LIMIT",
  "MISSING_UID", "INVALID_UID", "INVALID_VALUE", "DICOMDIR", "DUPLICATE_DIFFERENT", "DELETED_MEANWHILE",
  "STUDY_DELETING", "SOURCE_NOT_FOUND", "SOURCE_CHANGED", "SOURCE_DENIED", "CHECKSUM_MISMATCH", "WORKER_CRASHED",
  "TIME_LIMIT", "MEMORY_LIMIT", "NO_PIXEL_DATA", "UNSUPPORTED_TRANSCODING", "UNSUPPORTED_REFERENCE",
  "DESTINATION_DENIED", "DESTINATION_EXISTS", "NO_SPACE", "DATA_LOSS", "INTERNAL"];

export function Failures({ route, name, failed, query }) {
  const reason = REASONS.includes(query.get("reason")) ? query.get("reason") : "";
  if (!failed && !reason) return null;
  const choose = (wanted) => setQuery({ reason: wanted });
  return html`<section class="panel" aria-labelledby="failures">
    <div class="inside stack">
      <div class="row apart">
        <h2 id="failures">${t("failures.title")} <span class="soft">${number(failed)}</span></h2>
        <${Downloads} route=${route} name=${name} reason=${reason} />
      </div>
      <div class="failure-filter"><${Field} label=${t("failures.reason")} value=${reason}
        onChange=${(event) => choose(event.target.value)}>
        <option value="">${t("failures.reason.all")}</option>
        ${REASONS.map((code) => html`<option value=${code}>${code}: ${t(`reason.${code}`)}</option>`)}
      <//></div>
    </div>
    <${FailurePages} key=${reason} route=${route} reason=${reason} failed=${failed} choose=${choose} />
  </section>`;
}

// One page is shown at a time, so that a hundred thousand failures are no longer than a hundred.
function FailurePages({ route, reason, failed, choose }) {
  const [tokens, setTokens] = useState([""]);
  const [isFull, setFull] = useState(false);
  const found = useAnswer(
    async (signal) => {
      const answer = await page(`${route}:failures`, "failures",
        { pageSize: PAGE_SIZE, pageToken: tokens.at(-1), query: { reason }, signal });
      setFull(Boolean(answer.next));
      return { ...answer, pageNumber: tokens.length };
    },
    [route, reason],
    // A page that is full stays as it is, however many more there are.
    [tokens.at(-1), isFull ? "full" : failed],
  );
  const turn = (wanted) => {
    setFull(false);
    setTokens(wanted);
  };
  if (!found.value) {
    return html`<div class="inside">${found.error
      ? html`<${ErrorNotice} error=${found.error} again=${found.again} />` : html`<${Loading} />`}</div>`;
  }
  const { items, next, pageNumber } = found.value;
  if (!items.length) {
    return html`<${Empty} title=${t("failures.none")}>
      <button type="button" onClick=${() => choose("")}>${t("failures.reason.all")}</button><//>`;
  }
  // A click that comes before the page does would turn to the same one again.
  const isTurning = found.loading || pageNumber !== tokens.length;
  const first = (pageNumber - 1) * PAGE_SIZE + 1;
  const shown = { first, last: first + items.length - 1, total: failed };
  return html`<${Remedies} items=${items} choose=${reason ? undefined : choose} />
    <${FailureTable} items=${items} busy=${isTurning} />
    <nav class="tail small soft" aria-label=${t("failures.pages")}>
      <span role="status">${t(reason ? "failures.shown" : "failures.shownOf", shown)}</span>
      <div class="row">
        <button type="button" disabled=${tokens.length === 1 || isTurning} onClick=${() => turn(tokens.slice(0, -1))}>
          ${t("failures.previous")}</button>
        <button type="button" disabled=${!next || isTurning} onClick=${() => turn([...tokens, next])}>
          ${t("failures.next")}</button>
      </div>
    </nav>`;
}

// Cause and remedy of each reason on the page, once.
function Remedies({ items, choose }) {
  const counts = new Map();
  for (const { reason } of items) counts.set(reason, (counts.get(reason) || 0) + 1);
  const reasons = [...counts].sort((one, other) => other[1] - one[1]).map(([reason]) => reason);
  return html`<ul class="plain remedies">${reasons.map((code) => html`<li key=${code}>
    <strong class="mono">${code}</strong>
    <span>${t(`reason.${code}`)}<br /><span class="soft">→ ${t(`remedy.${code}`)}</span></span>
    ${choose && html`<button type="button" class="quiet" onClick=${() => choose(code)}>
      ${t("failures.only")}<span class="visually-hidden"> (${code})</span></button>`}
  </li>`)}</ul>`;
}

function FailureTable({ items, busy }) {
  return html`<div class="scroller" tabindex="0" role="region" aria-label=${t("failures.title")}
    aria-busy=${busy ? "true" : "false"}><table class="failures">
    <caption class="visually-hidden">${t("failures.title")}</caption>
    <thead><tr>
      <th scope="col">${t("failures.reason")}</th><th scope="col">${t("failures.object")}</th>
      <th scope="col">${t("failures.message")}</th><th scope="col">${t("failures.tag")}</th>
      <th scope="col" class="number">${t("failures.byteOffset")}</th>
    </tr></thead>
    <tbody>${items.map((failure, index) => html`<tr key=${index}>
      <td class="mono">${failure.reason}</td>
      <td class="mono object">${failure.source}</td>
      <td class="message">${failure.error.message}</td>
      <td class="mono nowrap">${failure.tag}</td>
      <td class="number">${failure.byteOffset !== undefined && number(failure.byteOffset)}</td>
    </tr>`)}</tbody></table></div>`;
}

// All failures, or all of one reason, as a file.
function Downloads({ route, name, reason }) {
  return html`<div class="row">${["csv", "ndjson"].map((format) => html`<${Download} path=${`${route}:failures`}
    fileName=${`failures-${name}.${format}`} options=${{ query: { format, reason } }}>
    ${t(`failures.download.${format}`)}<//>`)}</div>`;
}
