// The datasets of a project and location.

import { call } from "../api.js";
import { api, datasetPath, datasetsPath, lastSegment } from "../names.js";
import { Calls } from "../parts/calls.js";
import { Deletion, Dialog } from "../parts/dialog.js";
import { Field } from "../parts/field.js";
import { List, usePages } from "../parts/list.js";
import { Empty } from "../parts/notice.js";
import { Heading } from "../parts/page.js";
import { Link } from "../router.js";
import { curl, gcloud, literal } from "../shell.js";
import { t } from "../texts.js";
import { html, useState } from "../vendor/preact.js";

export function Datasets({ place }) {
  const route = `${api(datasetsPath(place))}/datasets`;
  const pages = usePages(route, "datasets");
  const [open, setOpen] = useState();
  const done = () => {
    setOpen(undefined);
    pages.again();
  };
  const create = html`<button type="button" class="primary" onClick=${() => setOpen({ kind: "create" })}>
    ${t("datasets.create")}</button>`;
  const columns = [
    { label: t("dataset"), cell: (row) => {
      const to = datasetPath({ ...place, dataset: lastSegment(row.name) });
      return html`<${Link} to=${to}>${lastSegment(row.name)}<//>`;
    } },
    { label: t("datasets.timeZone"), cell: (row) => row.timeZone || "UTC" },
    { label: "", cell: (row) => html`<div class="row"><button type="button" class="quiet"
      onClick=${() => setOpen({ kind: "delete", name: lastSegment(row.name) })}>${t("action.delete")}</button></div>` },
  ];
  return html`<main>
    <${Heading} title=${t("datasets.title")} about=${`${place.project} · ${place.location}`}
      crumbs=${[[t("projects.title"), "/"], [place.project]]}>${create}<//>
    <${List} pages=${pages} columns=${columns} keyOf=${(row) => row.name} caption=${t("datasets.title")}
      empty=${html`<${Empty} title=${t("datasets.empty")}><span>${t("datasets.empty.next")}</span>${create}<//>`} />
    ${open?.kind === "create" && html`<${CreateDataset} place=${place} route=${route} done=${done} close=${() => setOpen()} />`}
    ${open?.kind === "delete" && html`<${Deletion} title=${t("datasets.delete")} name=${open.name}
      warning=${t("datasets.delete.warning", { name: open.name })} close=${() => setOpen()}
      submit=${async (signal) => {
        await call("DELETE", `${route}/${encodeURIComponent(open.name)}`, { signal });
        done();
      }} />`}
  </main>`;
}

function CreateDataset({ place, route, done, close }) {
  const [name, setName] = useState("");
  const [timeZone, setTimeZone] = useState("");
  const wrong = name && !/^[\w.-]{1,256}$/u.test(name) ? t("name.wrong") : "";
  const submit = async (signal) => {
    await call("POST", route, { query: { datasetId: name }, body: timeZone ? { timeZone } : {}, signal });
    done();
  };
  const id = name || "DATASET";
  const calls = {
    curl: curl("POST", `${route}?datasetId=${id}`, timeZone ? { timeZone } : {}),
    gcloud: gcloud(["datasets", "create", id], place, { "time-zone": timeZone }),
    Python: `client.wait(client.create_dataset(${literal(datasetPath({ ...place, dataset: id }).slice(1))}`
      + (timeZone ? `, time_zone=${literal(timeZone)}` : "") + "))",
  };
  return html`<${Dialog} title=${t("datasets.create")} action=${t("action.create")} disabled=${!name || wrong}
    submit=${submit} close=${close}>
    <${Field} label=${t("datasets.name")} hint=${t("name.hint")} wrong=${wrong} required value=${name}
      onInput=${(event) => setName(event.target.value)} />
    <${Field} label=${t("datasets.timeZone")} hint=${t("datasets.timeZone.hint")} value=${timeZone}
      placeholder="Europe/Paris" onInput=${(event) => setTimeZone(event.target.value)} />
    <${Calls} calls=${calls} />
  <//>`;
}
