// The DICOM stores of a dataset: how much each holds, and what can be done with it.

import { call } from "../api.js";
import { useRepeated } from "../loading.js";
import { api, datasetPath, datasetsPath, lastSegment, storePath } from "../names.js";
import { Calls } from "../parts/calls.js";
import { Deletion, Dialog } from "../parts/dialog.js";
import { Field } from "../parts/field.js";
import { List, usePages } from "../parts/list.js";
import { Menu } from "../parts/menu.js";
import { Empty } from "../parts/notice.js";
import { Heading, Tabs } from "../parts/page.js";
import { Link } from "../router.js";
import { curl, gcloud, literal } from "../shell.js";
import { number, size, t } from "../texts.js";
import { html, useState } from "../vendor/preact.js";
import { ExportDialog } from "./export.js";
import { ImportDialog } from "./import.js";

const METRICS_MILLISECONDS = 5000;

export function datasetCrumbs(place) {
  return [
    [t("projects.title"), "/"],
    [`${place.project} · ${place.location}`, datasetsPath(place)],
  ];
}

export function DatasetTabs({ place, current }) {
  const path = datasetPath(place);
  return html`<${Tabs} current=${current} tabs=${[
    ["stores", t("stores.title"), path],
    ["operations", t("operations.title"), `${path}/operations`],
    ["logs", t("logs.title"), `${path}/logs`],
  ]} />`;
}

export function Dataset({ place }) {
  const route = `${api(datasetPath(place))}/dicomStores`;
  const pages = usePages(route, "dicomStores");
  const [open, setOpen] = useState();
  const close = () => setOpen(undefined);
  const done = () => {
    close();
    pages.again();
  };
  const create = html`<button type="button" class="primary" onClick=${() => setOpen({ kind: "create" })}>
    ${t("stores.create")}</button>`;
  const actions = (store) => [
    { label: t("action.import"), act: () => setOpen({ kind: "import", store }) },
    { label: t("action.export"), act: () => setOpen({ kind: "export", store }) },
    { label: t("action.delete"), danger: true, act: () => setOpen({ kind: "delete", store }) },
  ];
  const columns = [
    { label: t("store"), cell: (row) => {
      const dicomStore = lastSegment(row.name);
      return html`<${Link} to=${storePath({ ...place, dicomStore })}>${dicomStore}<//>`;
    } },
    { label: t("stores.holds"), cell: (row) => html`<${Holding} name=${row.name} />` },
    { label: "", cell: (row) => html`<div class="row">
      <${Menu} label=${t("actions")} items=${actions(lastSegment(row.name))} /></div>` },
  ];
  const at = { ...place, dicomStore: open?.store };
  return html`<main>
    <${Heading} title=${place.dataset} about=${t("dataset")} crumbs=${datasetCrumbs(place)}>${create}<//>
    <${DatasetTabs} place=${place} current="stores" />
    <${List} pages=${pages} columns=${columns} keyOf=${(row) => row.name} caption=${t("stores.title")}
      empty=${html`<${Empty} title=${t("stores.empty")}><span>${t("stores.empty.next")}</span>${create}<//>`} />
    ${open?.kind === "create" && html`<${CreateStore} place=${place} route=${route} done=${done} close=${close} />`}
    ${open?.kind === "import" && html`<${ImportDialog} place=${at} close=${close} />`}
    ${open?.kind === "export" && html`<${ExportDialog} place=${at} close=${close} />`}
    ${open?.kind === "delete" && html`<${Deletion} title=${t("stores.delete")} name=${open.store}
      warning=${t("stores.delete.warning", { name: open.store })} close=${close}
      submit=${async (signal) => {
        await call("DELETE", `${route}/${encodeURIComponent(open.store)}`, { signal });
        done();
      }} />`}
  </main>`;
}

// How much a store holds is asked for each row by itself, so that the list need not wait for it.
function Holding({ name }) {
  const ask = (signal) => call("GET", `/v1/${name}:getDICOMStoreMetrics`, { signal });
  const { value } = useRepeated(ask, METRICS_MILLISECONDS, () => true, [name]);
  if (!value) return html`<span class="soft">…</span>`;
  const studies = Number(value.studyCount || 0);
  if (!studies) return html`<span class="soft">${t("stores.nothing")}</span>`;
  const instances = Number(value.instanceCount || 0);
  return html`<span>${t("stores.counts", { count: studies, studies: number(studies), instances: number(instances) })}
    <span class="soft"> · ${size(value.blobStorageSizeBytes)}</span></span>`;
}

function CreateStore({ place, route, done, close }) {
  const [name, setName] = useState("");
  const wrong = name && !/^[\w.-]{1,256}$/u.test(name) ? t("name.wrong") : "";
  const id = name || "DICOM_STORE";
  const calls = {
    curl: curl("POST", `${route}?dicomStoreId=${id}`, {}),
    gcloud: gcloud(["dicom-stores", "create", id], place),
    Python: `client.create_dicom_store(${literal(storePath({ ...place, dicomStore: id }).slice(1))})`,
  };
  const submit = async (signal) => {
    await call("POST", route, { query: { dicomStoreId: name }, body: {}, signal });
    done();
  };
  return html`<${Dialog} title=${t("stores.create")} action=${t("action.create")} disabled=${!name || wrong}
    submit=${submit} close=${close}>
    <${Field} label=${t("stores.name")} hint=${t("name.hint")} wrong=${wrong} required value=${name}
      onInput=${(event) => setName(event.target.value)} />
    <${Calls} calls=${calls} />
  <//>`;
}
