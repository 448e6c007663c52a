// The objects of an operation that failed, a page at a time: which, why, and what to do.

import { page } from "../api.js";
import { keyword, tagText } from "../dicom/attributes.js";
import { useAnswer } from "../loading.js";
import { setQuery } from "../router.js";
import { number, t } from "../texts.js";
import { html, useState } from "../vendor/preact.js";
import { Download } from "./download.js";
import { Field } from "./field.js";
import { Empty, ErrorNotice, Loading } from "./notice.js";

const PAGE_SIZE = 100;
const COUNTED_MAX = 10_000;
const REASONS = ["NOT_DICOM", "EMPTY", "TRUNCATED", "MALFORMED", "NESTING_LIMIT", "ELEMENT_LIMIT", "HEADER_LIMIT",
  "MISSING_UID", "INVALID_UID", "INVALID_VALUE", "DICOMDIR", "DUPLICATE_DIFFERENT", "DELETED_MEANWHILE", "HEALED",
  "STUDY_DELETING", "SOURCE_NOT_FOUND", "SOURCE_CHANGED", "SOURCE_DENIED", "CHECKSUM_MISMATCH", "WORKER_CRASHED",
  "TIME_LIMIT", "MEMORY_LIMIT", "NO_PIXEL_DATA", "UNSUPPORTED_TRANSCODING", "UNSUPPORTED_REFERENCE",
  "DESTINATION_DENIED", "DESTINATION_EXISTS", "NO_SPACE", "DATA_LOSS", "INTERNAL"];

// `kind` is what the operation does, `done` whether no failure is still to come.
export function Failures({ route, name, kind, failed, done, query }) {
  const reason = REASONS.includes(query.get("reason")) ? query.get("reason") : "";
  const counts = useCounts(route, done && failed);
  if (!failed && !reason) return null;
  const choose = (wanted) => setQuery({ reason: wanted });
  const offered = counts ? REASONS.filter((code) => counts.has(code) || code === reason) : REASONS;
  const count = (code) => (counts?.has(code) ? ` (${number(counts.get(code))})` : "");
  return html`<section class="panel" aria-labelledby="failures">
    <div class="inside stack">
      <div class="row apart">
        <h2 id="failures">${t("failures.title")} <span class="soft">${number(failed)}</span></h2>
        <${Downloads} route=${route} name=${name} reason=${reason} />
      </div>
      <div class="failure-filter"><${Field} label=${t("failures.reason")} value=${reason}
        onChange=${(event) => choose(event.target.value)}>
        <option value="">${t("failures.reason.all")}</option>
        ${offered.map((code) => html`<option value=${code}>${code}${count(code)}: ${t(`reason.${code}`)}</option>`)}
      <//></div>
    </div>
    <${FailurePages} key=${reason} route=${route} kind=${kind} reason=${reason} failed=${failed} counts=${counts}
      choose=${choose} />
  </section>`;
}

// How many failed for each reason, where they are few enough to be read for it.
function useCounts(route, failed) {
  const { value } = useAnswer(async (signal) => {
    if (!failed || failed > COUNTED_MAX) return undefined;
    const counts = new Map();
    let pageToken;
    do {
      const { items, next } = await page(`${route}:failures`, "failures", { pageSize: 1000, pageToken, signal });
      counted(items, counts);
      pageToken = next;
    } while (pageToken);
    return counts;
  }, [route, failed]);
  return value;
}

// Count failures by their reason, in addition to others.
function counted(failures, counts = new Map()) {
  for (const { reason } of failures) counts.set(reason, (counts.get(reason) || 0) + 1);
  return counts;
}

// One page is shown at a time, so that a hundred thousand failures are no longer than a hundred.
function FailurePages({ route, kind, reason, failed, counts, choose }) {
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
  const total = reason ? counts?.get(reason) : failed;
  const shown = { first, last: first + items.length - 1, total };
  return html`<${Remedies} items=${items} kind=${kind} counts=${counts} choose=${reason ? undefined : choose} />
    <${FailureTable} items=${items} busy=${isTurning} />
    <nav class="tail small soft" aria-label=${t("failures.pages")}>
      <span role="status">${t(total === undefined ? "studies.shown" : "studies.shownOf", shown)}</span>
      <div class="row">
        <button type="button" disabled=${tokens.length === 1 || isTurning} onClick=${() => turn(tokens.slice(0, -1))}>
          ${t("failures.previous")}</button>
        <button type="button" disabled=${!next || isTurning} onClick=${() => turn([...tokens, next])}>
          ${t("failures.next")}</button>
      </div>
    </nav>`;
}

// Cause and remedy of each reason, once: of those on the page where not all were counted.
function Remedies({ items, kind, counts, choose }) {
  const told = (choose && counts) || counted(items);
  const reasons = [...told].sort((one, other) => other[1] - one[1]).map(([reason]) => reason);
  return html`<ul class="plain remedies">${reasons.map((code) => html`<li key=${code}>
    <strong class="mono">${code} <span class="soft">${counts?.has(code) && number(counts.get(code))}</span></strong>
    <span>${t(`reason.${code}`)}<br /><span class="soft">→ ${remedyOf(code, kind)}</span></span>
    ${choose && html`<button type="button" class="quiet" onClick=${() => choose(code)}>
      ${t("failures.only")}<span class="visually-hidden"> (${code})</span></button>`}
  </li>`)}</ul>`;
}

// An instance that cannot be exported has been imported already.
function remedyOf(code, kind) {
  const isStored = code === "MALFORMED" && kind !== "ImportDicomData";
  return t(isStored ? "failures.remedy.stored" : `remedy.${code}`);
}

function FailureTable({ items, busy }) {
  const keywords = useKeywords(items.some(({ tag }) => tag));
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
      <td><${Tag} tag=${failure.tag} keywords=${keywords} /></td>
      <td class="number">${failure.byteOffset !== undefined && number(failure.byteOffset)}</td>
    </tr>`)}</tbody></table></div>`;
}

// The names of attributes are many: they are brought in where one is told of.
function useKeywords(isWanted) {
  const { value } = useAnswer(async () => isWanted && (await import("../dicom/keywords.js")).default, [isWanted]);
  return value || {};
}

function Tag({ tag, keywords }) {
  if (!tag) return null;
  return html`<span class="mono nowrap">${tagText(tag)}</span><br />${keyword(tag, keywords)}`;
}

// All failures, or all of one reason, as a file.
function Downloads({ route, name, reason }) {
  return html`<div class="row">${["csv", "ndjson"].map((format) => html`<${Download} path=${`${route}:failures`}
    fileName=${`failures-${name}.${format}`} options=${{ query: { format, reason } }}>
    ${t(`failures.download.${format}${reason && ".these"}`)}<//>`)}</div>`;
}
