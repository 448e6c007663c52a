// All attributes of an instance as a tree that can be searched; values are text, large ones are fetched.

import { keepAs, request } from "../api.js";
import { inlineBytes, tagText, treeRows, value } from "../dicom/attributes.js";
import { useAnswer } from "../loading.js";
import { size, t } from "../texts.js";
import { html, useMemo, useState } from "../vendor/preact.js";
import { Download } from "./download.js";
import { Field } from "./field.js";
import { Empty } from "./notice.js";

const ROWS = 500;
const SHOWN_LETTERS = 1000;
const INDENT_REM = 1.1;
const BYTES = "application/octet-stream; transfer-syntax=*";

export function AttributeTable({ dataSet }) {
  const dictionary = useAnswer(async () => (await import("../dicom/keywords.js")).default, []);
  const [wanted, setWanted] = useState("");
  const [open, setOpen] = useState(new Set());
  const [limit, setLimit] = useState(ROWS);
  const tree = useMemo(
    () => treeRows(dataSet, { keywords: dictionary.value || {}, open, wanted, limit }),
    [dataSet, dictionary.value, open, wanted, limit],
  );
  const toggle = (path) => {
    const changed = new Set(open);
    if (!changed.delete(path)) changed.add(path);
    setOpen(changed);
  };
  return html`<div class="panel">
    <div class="inside"><${Field} label=${t("attributes.search")} hint=${t("attributes.search.hint")} type="search"
      value=${wanted} onInput=${(event) => setWanted(event.target.value)} /></div>
    ${tree.rows.length === 0
      ? html`<${Empty} title=${t("attributes.notFound")}>${t("attributes.notFound.next")}<//>`
      : html`<div class="scroller"><table class="attributes narrowing">
          <caption class="visually-hidden">${t("viewer.attributes")}</caption>
          <thead><tr><th scope="col">${t("attributes.tag")}</th><th scope="col">${t("attributes.keyword")}</th>
            <th scope="col">${t("attributes.vr")}</th><th scope="col">${t("attributes.value")}</th></tr></thead>
          <tbody>${tree.rows.map((row) => html`<${Row} key=${row.path} row=${row} toggle=${toggle}
            instance=${value(dataSet, "00080018")} />`)}</tbody></table></div>`}
    ${tree.more && html`<div class="tail"><button type="button" onClick=${() => setLimit(limit + ROWS)}>
      ${t("list.more")}</button></div>`}
  </div>`;
}

function Row({ row, toggle, instance }) {
  const indent = { paddingLeft: `${0.9 + row.depth * INDENT_REM}rem` };
  if (row.item) {
    return html`<tr class="item"><td colspan="4" style=${indent}>${t("attributes.item", { at: row.item })}</td></tr>`;
  }
  const name = row.keyword || (parseInt(row.tag.slice(3, 4), 16) % 2 ? t("attributes.private") : "");
  return html`<tr>
    <td class="mono nowrap" style=${indent}>${row.items === undefined ? tagText(row.tag) : html`<button type="button"
      class="link" aria-expanded=${row.isOpen ? "true" : "false"} onClick=${() => toggle(row.path)}>
      <span aria-hidden="true">${row.isOpen ? "▾" : "▸"}</span> ${tagText(row.tag)}</button>`}</td>
    <td>${name}</td><td class="mono">${row.vr}</td>
    <td class="first"><${Value} row=${row} instance=${instance} /></td>
  </tr>`;
}

function Value({ row, instance }) {
  const [isWhole, setWhole] = useState(false);
  const { element } = row;
  if (row.items !== undefined) {
    return html`<span class="soft">${t("attributes.items", { count: row.items, items: row.items })}</span>`;
  }
  const fileName = `${instance}-${row.tag}.bin`;
  if (element.BulkDataURI) return html`<${Bulk} uri=${element.BulkDataURI} fileName=${fileName} />`;
  if (element.InlineBinary !== undefined) {
    const bytes = inlineBytes(element);
    return html`<span class="row plain-row">${size(bytes.length)} <button type="button" class="link"
      onClick=${() => keepAs(new Blob([bytes]), fileName)}>${t("action.download")}</button></span>`;
  }
  if (isWhole || row.text.length <= SHOWN_LETTERS) return html`<span class="value">${row.text}</span>`;
  return html`<span class="value">${row.text.slice(0, SHOWN_LETTERS)}… <button type="button" class="link"
    onClick=${() => setWhole(true)}>${t("list.more")}</button></span>`;
}

// A value that the metadata only name. The server's own address may be another one than this page's.
function Bulk({ uri, fileName }) {
  const { pathname } = new URL(uri, location.href);
  const bytes = useAnswer((signal) => bulkSize(pathname, signal), [pathname]);
  return html`<span class="row plain-row">${bytes.value ? size(bytes.value) : ""}
    <${Download} class="link" path=${pathname} fileName=${fileName} options=${{ accept: BYTES }}>
      ${t("action.download")}<//></span>`;
}

// How large a value is, from its first byte; undefined where the server tells only by sending it.
async function bulkSize(path, signal) {
  const abort = new AbortController();
  signal.addEventListener("abort", () => abort.abort());
  const response = await request("GET", path, { accept: BYTES, headers: { Range: "bytes=0-0" }, signal: abort.signal });
  const range = response.headers.get("Content-Range");
  const told = range ? range.split("/")[1] : response.headers.get("Content-Length");
  abort.abort();
  return Number(told) || undefined;
}
