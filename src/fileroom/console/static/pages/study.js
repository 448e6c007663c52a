// One study: whose and when, and its series with a small picture of each.

import { call, objectUrl } from "../api.js";
import { date, patientName, personName, time, value } from "../dicom/attributes.js";
import { useAnswer } from "../loading.js";
import { storePath, web } from "../names.js";
import { Empty, ErrorNotice, Loading } from "../parts/notice.js";
import { Heading } from "../parts/page.js";
import { Link } from "../router.js";
import { number, t } from "../texts.js";
import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { storeCrumbs } from "./studies.js";
import { DeleteStudy, DownloadStudy } from "./study_actions.js";

const SERIES_PAGE = 60;
const THUMBNAIL = "256,256";

export function studyCrumbs(place) {
  return [...storeCrumbs(place), [place.dicomStore, storePath(place)]];
}

export async function findStudy(place, signal) {
  const query = { StudyInstanceUID: place.study, includefield: "StudyDescription" };
  const response = await call("GET", `${web(place)}/studies`, { query, signal });
  return response?.[0] || null;
}

export function Study({ place }) {
  const route = `${web(place)}/studies/${place.study}`;
  const study = useAnswer((signal) => findStudy(place, signal), [route]);
  const about = useAnswer((signal) => call("GET", "/console/about.json", { signal }), []);
  const [open, setOpen] = useState("");
  const close = () => setOpen("");
  const title = study.value ? patientName(study.value) || t("studies.noName") : t("study");
  return html`<main>
    <${Heading} title=${title} tab=${t("study")} about=${study.value && value(study.value, "00081030")}
      crumbs=${studyCrumbs(place)}>
      ${study.value && about.value?.ohif && html`<a class="button" href=${ohifAddress(place)}>${t("study.ohif")}</a>`}
      ${study.value && html`<button type="button" onClick=${() => setOpen("download")}>${t("action.download")}</button>
        <button type="button" onClick=${() => setOpen("delete")}>${t("action.delete")}</button>`}
    <//>
    <${ErrorNotice} error=${study.error} again=${study.again} />
    ${study.value === undefined && study.loading && html`<${Loading} />`}
    ${study.value === null && html`<div class="panel"><${Empty} title=${t("study.absent")}>
      <span>${t("error.404")}</span>
      <${Link} to=${storePath(place)} class="button">${t("study.toStudies")}<//><//></div>`}
    ${study.value && html`<${Facts} study=${study.value} /><${AllSeries} place=${place} route=${route} />`}
    ${open === "delete" && html`<${DeleteStudy} place=${place} study=${study.value} close=${close} />`}
    ${open === "download" && html`<${DownloadStudy} place=${place} study=${study.value} close=${close} />`}
  </main>`;
}

// Where OHIF shows a study: its settings read the store from the address.
function ohifAddress(place) {
  const query = new URLSearchParams({ StudyInstanceUIDs: place.study, dicomStore: storePath(place).slice(1) });
  return `/ohif/viewer?${query}`;
}

function Facts({ study }) {
  const text = (tag) => value(study, tag) ?? "";
  const facts = [
    [t("studies.id"), text("00100020")],
    [t("study.born"), date(text("00100030"))],
    [t("study.sex"), text("00100040")],
    [t("studies.date"), [date(text("00080020")), time(text("00080030"))].filter(Boolean).join(" ")],
    [t("studies.accession"), text("00080050")],
    [t("study.referring"), personName(value(study, "00080090"))],
    [t("studies.series"), number(text("00201206"))],
    [t("studies.instances"), number(text("00201208"))],
  ];
  return html`<section class="panel" aria-label=${t("study")}><div class="inside stack">
    <dl class="figures facts">${facts.map(([label, told]) => html`<div>
      <dt>${label}</dt><dd>${told || "–"}</dd></div>`)}</dl>
    <p class="mono small soft uid">${text("0020000D")}</p>
  </div></section>`;
}

function AllSeries({ place, route }) {
  const [shown, setShown] = useState(SERIES_PAGE);
  const all = useAnswer(
    async (signal) => (await call("GET", `${route}/series`, { query: { limit: 5000 }, signal })) || [],
    [route],
  );
  if (all.error) return html`<${ErrorNotice} error=${all.error} again=${all.again} />`;
  if (!all.value) return html`<${Loading} />`;
  const series = [...all.value].sort((one, other) => numberOf(one) - numberOf(other));
  return html`<section class="stack" aria-label=${t("studies.series")}>
    <ul class="cards plain">${series.slice(0, shown).map((each) => html`<${SeriesCard} key=${value(each, "0020000E")}
      place=${place} route=${route} series=${each} />`)}</ul>
    ${series.length > shown && html`<div><button type="button" onClick=${() => setShown(shown + SERIES_PAGE)}>
      ${t("list.more")}</button></div>`}
  </section>`;
}

function numberOf(series) {
  return Number(value(series, "00200011") ?? Number.MAX_SAFE_INTEGER);
}

function SeriesCard({ place, route, series }) {
  const uid = value(series, "0020000E");
  const count = Number(value(series, "00201209") || 0);
  const order = value(series, "00200011");
  const description = value(series, "0008103E") || t("study.noDescription");
  const about = [value(series, "00080060"), order !== undefined && t("study.number", { order: String(order) })];
  return html`<li class="panel card">
    <${Thumbnail} route=${`${route}/series/${uid}`} />
    <div class="inside">
      <${Link} to=${`${storePath(place)}/studies/${place.study}/series/${uid}`}>${description}<//>
      <span class="small soft">${about.filter(Boolean).join(" · ")}</span>
      <span class="small soft">${t("study.count", { count, instances: number(count) })}</span>
    </div>
  </li>`;
}

// A picture that is asked for once it is about to be seen; a series of documents has none.
function Thumbnail({ route }) {
  const frame = useRef();
  const [picture, setPicture] = useState({});
  useEffect(() => {
    const abort = new AbortController();
    const observer = new IntersectionObserver(([entry]) => {
      if (!entry.isIntersecting) return;
      observer.disconnect();
      readThumbnail(route, abort.signal).then(
        (url) => (abort.signal.aborted ? url && URL.revokeObjectURL(url) : setPicture({ url, isKnown: true })),
        () => abort.signal.aborted || setPicture({ isKnown: true }),
      );
    }, { rootMargin: "200px" });
    observer.observe(frame.current);
    return () => {
      observer.disconnect();
      abort.abort();
    };
  }, [route]);
  useEffect(() => () => picture.url && URL.revokeObjectURL(picture.url), [picture.url]);
  return html`<div class="thumbnail" ref=${frame}>
    ${picture.url && html`<img src=${picture.url} alt="" />`}
    ${picture.isKnown && !picture.url && html`<span class="small">${t("study.noPicture")}</span>`}
  </div>`;
}

async function readThumbnail(route, signal) {
  const [first] = (await call("GET", `${route}/instances`, { query: { limit: 1 }, signal })) || [];
  if (!value(first, "00280010")) return "";
  return objectUrl(`${route}/thumbnail`, { query: { viewport: THUMBNAIL }, accept: "image/jpeg", signal });
}
