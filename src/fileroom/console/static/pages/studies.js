// The studies of a DICOM store: search, page through them, and what can be done with one.

import { date, patientName, value, values } from "../dicom/attributes.js";
import { NOTHING, studyKeys } from "../dicom/search.js";
import { useAnswer } from "../loading.js";
import { datasetPath, storePath, web } from "../names.js";
import { useTyped } from "../parts/field.js";
import { Menu } from "../parts/menu.js";
import { Empty, ErrorNotice, Loading } from "../parts/notice.js";
import { Heading } from "../parts/page.js";
import { findStudies, StudySearch } from "../parts/study_search.js";
import { noteStore } from "../recent.js";
import { Link, setQuery } from "../router.js";
import { onSession } from "../session.js";
import { number, t } from "../texts.js";
import { html, useEffect, useState } from "../vendor/preact.js";
import { datasetCrumbs } from "./dataset.js";
import { ExportDialog } from "./export.js";
import { ImportDialog } from "./import.js";
import { DeleteStudy, DownloadStudy } from "./study_actions.js";

const PAGE_SIZE = 50;
// What names nobody is kept in the address, to be shared; the rest in this tab's memory, by store.
const IN_ADDRESS = ["from", "to", "modality"];
const remembered = new Map();
onSession(() => remembered.clear());

export function storeCrumbs(place) {
  return [...datasetCrumbs(place), [place.dataset, datasetPath(place)]];
}

export function Studies({ place, query }) {
  const route = web(place);
  const [search, setSearch] = useState(() => ({
    ...NOTHING,
    ...remembered.get(route),
    ...Object.fromEntries(IN_ADDRESS.map((name) => [name, query.get(name) || ""])),
  }));
  const [open, setOpen] = useState();
  const close = () => setOpen(undefined);
  useEffect(() => noteStore(place), []);
  const offset = Math.max(0, Number(query.get("offset")) || 0);
  const asked = studyKeys(search);
  const found = useAnswer(
    (signal) => findStudies(route, asked, { offset, limit: PAGE_SIZE }, signal),
    [route, JSON.stringify(asked)],
    [offset],
  );
  const apply = (wanted) => {
    setSearch(wanted);
    remembered.set(route, wanted);
    setQuery({ ...Object.fromEntries(IN_ADDRESS.map((name) => [name, wanted[name]])), offset: "" });
  };
  const isSearch = Object.keys(asked).length > 0;
  return html`<main>
    <${Heading} title=${place.dicomStore} about=${t("store")} crumbs=${storeCrumbs(place)}>
      <button type="button" onClick=${() => setOpen({ kind: "import" })}>${t("action.import")}</button>
      <button type="button" onClick=${() => setOpen({ kind: "export" })}>${t("action.export")}</button>
    <//>
    <${Search} search=${search} apply=${apply} isSearch=${isSearch} />
    <${ErrorNotice} error=${found.error} again=${found.again} />
    ${!found.value && found.loading && html`<div class="panel"><${Loading} /></div>`}
    ${found.value && !found.error && html`<div class="panel" aria-busy=${found.loading ? "true" : "false"}>
      ${found.value.studies.length
        ? html`<${StudyTable} place=${place} found=${found.value} busy=${found.loading} setOpen=${setOpen} />`
        : html`<${Nothing} isSearch=${isSearch} offset=${found.value.offset}
            clear=${() => apply(NOTHING)} bringIn=${() => setOpen({ kind: "import" })} />`}
    </div>`}
    ${open?.kind === "import" && html`<${ImportDialog} place=${place} close=${close} />`}
    ${open?.kind === "export" && html`<${ExportDialog} place=${place} close=${close} />`}
    ${open?.kind === "delete" && html`<${DeleteStudy} place=${place} study=${open.study} close=${close} />`}
    ${open?.kind === "download" && html`<${DownloadStudy} place=${place} study=${open.study} close=${close} />`}
  </main>`;
}

function Search({ search, apply, isSearch }) {
  const [typed, setTyped] = useTyped(search);
  const submit = (event) => {
    event.preventDefault();
    apply(typed);
  };
  return html`<form class="panel" role="search" onSubmit=${submit}><div class="inside stack">
    <${StudySearch} search=${typed} change=${setTyped} />
    <div class="row">
      <button class="primary">${t("studies.search")}</button>
      ${isSearch && html`<button type="button" onClick=${() => apply(NOTHING)}>${t("studies.clear")}</button>`}
    </div>
  </div></form>`;
}

function StudyTable({ place, found, busy, setOpen }) {
  const base = `${storePath(place)}/studies`;
  const actions = (study) => [
    { label: t("action.download"), act: () => setOpen({ kind: "download", study }) },
    { label: t("action.delete"), danger: true, act: () => setOpen({ kind: "delete", study }) },
  ];
  return html`<div class="scroller"><table class="studies">
    <caption class="visually-hidden">${t("studies.title")}</caption>
    <thead><tr>
      <th scope="col">${t("studies.name")}</th><th scope="col">${t("studies.id")}</th>
      <th scope="col">${t("studies.date")}</th><th scope="col">${t("studies.description")}</th>
      <th scope="col">${t("studies.modality")}</th><th scope="col" class="number">${t("studies.series")}</th>
      <th scope="col" class="number">${t("studies.instances")}</th>
      <th scope="col"><span class="visually-hidden">${t("actions")}</span></th>
    </tr></thead>
    <tbody>${found.studies.map((study) => {
      const uid = value(study, "0020000D");
      return html`<tr key=${uid}>
        <td><${Link} to=${`${base}/${uid}`}>${patientName(study) || t("studies.noName")}<//></td>
        <td>${value(study, "00100020")}</td>
        <td class="nowrap">${date(value(study, "00080020"))}</td>
        <td>${value(study, "00081030")}</td>
        <td>${values(study, "00080061").join(", ")}</td>
        <td class="number">${number(value(study, "00201206"))}</td>
        <td class="number">${number(value(study, "00201208"))}</td>
        <td><div class="row"><${Menu} label=${t("actions")} items=${actions(study)} /></div></td>
      </tr>`;
    })}</tbody></table></div>
    <${Pager} found=${found} busy=${busy} />`;
}

function Pager({ found, busy }) {
  const { offset } = found;
  const last = offset + found.studies.length;
  const hasNext = found.total === undefined ? found.studies.length === PAGE_SIZE : last < found.total;
  const shown = { first: offset + 1, last, total: found.total };
  const turn = (to) => {
    setQuery({ offset: to > 0 ? String(to) : "" });
    scrollTo(0, 0);
  };
  return html`<nav class="tail small soft" aria-label=${t("studies.pages")}>
    <span role="status">${t(found.total === undefined ? "studies.shown" : "studies.shownOf", shown)}</span>
    <div class="row">
      <button type="button" disabled=${offset === 0 || busy} onClick=${() => turn(offset - PAGE_SIZE)}>
        ${t("studies.previous")}</button>
      <button type="button" disabled=${!hasNext || busy} onClick=${() => turn(offset + PAGE_SIZE)}>
        ${t("studies.next")}</button>
    </div>
  </nav>`;
}

function Nothing({ isSearch, offset, clear, bringIn }) {
  if (isSearch) {
    return html`<${Empty} title=${t("studies.notFound")}><span>${t("studies.notFound.next")}</span>
      <button type="button" onClick=${clear}>${t("studies.clear")}</button><//>`;
  }
  if (offset > 0) {
    return html`<${Empty} title=${t("studies.noMore")}>
      <button type="button" onClick=${() => setQuery({ offset: "" })}>${t("studies.first")}</button><//>`;
  }
  return html`<${Empty} title=${t("studies.empty")}><span>${t("studies.empty.next")}</span>
    <button type="button" class="primary" onClick=${bringIn}>${t("action.import")}</button><//>`;
}
