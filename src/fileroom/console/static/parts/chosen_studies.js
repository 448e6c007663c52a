// Which studies of a DICOM store are meant: all, those that a search finds, or a list; and what that comes to.

import { ApiError, call } from "../api.js";
import { date, patientName, value, values } from "../dicom/attributes.js";
import { listedPaths, NOTHING, studyKeys } from "../dicom/search.js";
import { useRestedAnswer } from "../loading.js";
import { number, t } from "../texts.js";
import { html } from "../vendor/preact.js";
import { ErrorNotice } from "./notice.js";
import { findStudies, StudySearch } from "./study_search.js";

const SAMPLES = 5;
const MISSING_SHOWN = 20;
const PAGE_SIZE = 1000;
const UIDS_A_REQUEST = 50;

export const ALL = { kind: "all", search: NOTHING, list: "" };

// What a choice comes to, once it rests: { isSome, … } of those that are in the store now.
export function useChosen(route, choice) {
  return useRestedAnswer((text, signal) => lookedUp(route, JSON.parse(text), signal), JSON.stringify(choice));
}

async function lookedUp(route, { kind, search, list }, signal) {
  if (kind === "all") return {};
  if (kind === "list") {
    const listed = listedPaths(list);
    const missing = await missingOf(route, listed, signal);
    return { listed, missing, isSome: listed.length > missing.length };
  }
  const keys = studyKeys(search);
  if (!Object.keys(keys).length) return { isSome: false };
  const found = await findStudies(route, keys, { offset: 0, limit: SAMPLES }, signal);
  return { ...found, isSome: found.studies.length > 0 };
}

// Those of a list that are not in the store.
async function missingOf(route, listed, signal) {
  const there = new Set();
  const studies = [...new Set(listed.map(({ study }) => study).filter(Boolean))];
  for (let at = 0; at < studies.length; at += UIDS_A_REQUEST) {
    const some = studies.slice(at, at + UIDS_A_REQUEST);
    const query = { StudyInstanceUID: some.join(","), limit: some.length };
    const found = (await call("GET", `${route}/studies`, { query, signal })) || [];
    found.forEach((study) => there.add(value(study, "0020000D")));
  }
  const missing = [];
  for (const each of listed) {
    if (!there.has(each.study) || !(await holds(route, each, signal))) missing.push(each);
  }
  return missing;
}

// Whether a study that is there has the series and the instance.
async function holds(route, { study, series, instance }, signal) {
  if (!series) return true;
  const query = { SeriesInstanceUID: series, SOPInstanceUID: instance, limit: 1 };
  const found = await call("GET", `${route}/studies/${study}/${instance ? "instances" : "series"}`, { query, signal });
  return Boolean(found?.length);
}

// The paths of a choice, one a line of a filter; undefined means all. A search that finds nothing is an error.
export async function pathsOf(route, { kind, search }, chosen, signal) {
  if (kind === "all") return undefined;
  if (kind === "list") return chosen.listed.filter((each) => !chosen.missing.includes(each)).map(({ path }) => path);
  const paths = [];
  for (let offset = 0; ; offset += PAGE_SIZE) {
    const { studies } = await findStudies(route, studyKeys(search), { offset, limit: PAGE_SIZE }, signal);
    paths.push(...studies.map((study) => `/studies/${value(study, "0020000D")}`));
    if (studies.length < PAGE_SIZE) break;
  }
  if (!paths.length) throw new ApiError(400, "INVALID_ARGUMENT", t("export.filter.none"));
  return paths;
}

export function ChosenStudies({ choice, change, chosen }) {
  const set = (changed) => change({ ...choice, ...changed });
  // To end a field of the search is not yet to start the export.
  const hold = (event) => {
    if (event.key === "Enter" && event.target.localName === "input") event.preventDefault();
  };
  return html`<fieldset class="field" onKeyDown=${hold}>
    <legend class="label">${t("export.filter")}</legend>
    <div class="row choices">${["all", "search", "list"].map((kind) => html`<label class="choice">
      <input type="radio" name="filter" checked=${choice.kind === kind} onChange=${() => set({ kind })} />
      ${t(`export.filter.${kind}`)}</label>`)}</div>
    ${choice.kind === "search" && html`<${StudySearch} search=${choice.search}
      change=${(search) => set({ search })} />`}
    ${choice.kind === "list" && html`<label class="field"><span class="label">${t("export.filter.list")}</span>
      <textarea value=${choice.list} onInput=${(event) => set({ list: event.target.value })}></textarea>
      <span class="hint">${t("export.filter.list.hint")}</span></label>`}
    ${choice.kind !== "all" && html`<${Found} choice=${choice} chosen=${chosen} />`}
  </fieldset>`;
}

function Found({ choice, chosen }) {
  if (chosen.error) return html`<${ErrorNotice} error=${chosen.error} again=${chosen.again} />`;
  if (!chosen.value) return html`<div class="notice" role="status">${t("import.looking")}</div>`;
  return html`<${choice.kind === "list" ? FoundOfList : FoundBySearch} ...${chosen.value} />`;
}

function FoundBySearch({ studies, total, isSome }) {
  if (!studies) return html`<div class="notice" role="status">${t("export.filter.empty")}</div>`;
  if (!isSome) return html`<div class="notice warning" role="status">${t("export.filter.none")}</div>`;
  const count = total ?? studies.length;
  const isWhole = total !== undefined || studies.length < SAMPLES;
  const told = t(isWhole ? "export.filter.found" : "export.filter.foundAtLeast", { count, found: number(count) });
  return html`<div class="notice" role="status">
    <strong>${told}</strong>
    <ul class="plain small samples">${studies.map((study) => html`<li>${inWords(study)}</li>`)}
      ${(count > studies.length || !isWhole) && html`<li>…</li>`}</ul>
  </div>`;
}

function inWords(study) {
  const told = [patientName(study) || t("studies.noName"), value(study, "00100020"), date(value(study, "00080020")),
    values(study, "00080061").join(", "), value(study, "00081030")];
  return told.filter(Boolean).join(" · ");
}

function FoundOfList({ listed, missing }) {
  if (!listed?.length) return html`<div class="notice" role="status">${t("export.filter.list.empty")}</div>`;
  const count = listed.length - missing.length;
  const told = t("export.filter.list.found", { count, found: number(count), total: number(listed.length) });
  if (!missing.length) return html`<div class="notice" role="status"><strong>${told}</strong></div>`;
  const unlisted = missing.length - MISSING_SHOWN;
  return html`<div class="notice warning" role="status">
    <strong>${told}</strong><span>${t("export.filter.list.missing")}</span>
    <ul class="plain small mono samples">${missing.slice(0, MISSING_SHOWN).map(({ path }) => html`<li>${path}</li>`)}
      ${unlisted > 0 && html`<li>${t("buckets.unlisted", { count: unlisted, failed: number(unlisted) })}</li>`}</ul>
  </div>`;
}
