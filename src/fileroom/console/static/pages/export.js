// Export a DICOM store: to which bucket and directory, as which kind of file, all of it or some.

import { ApiError, call, request } from "../api.js";
import { searchKeys } from "../dicom/search.js";
import { api, lastSegment, operationPath, storePath } from "../names.js";
import { Calls } from "../parts/calls.js";
import { Dialog } from "../parts/dialog.js";
import { Field } from "../parts/field.js";
import { Empty, ErrorNotice } from "../parts/notice.js";
import { Link, navigate } from "../router.js";
import { curl, gcloud, literal } from "../shell.js";
import { t } from "../texts.js";
import { html, useState } from "../vendor/preact.js";
import { chosenOf, useBuckets } from "./import.js";

const EXPLICIT = "1.2.840.10008.1.2.1";
const COMPRESSED = [
  ["1.2.840.10008.1.2.4.50", "JPEG Baseline"],
  ["1.2.840.10008.1.2.4.70", "JPEG Lossless"],
  ["1.2.840.10008.1.2.4.80", "JPEG-LS Lossless"],
  ["1.2.840.10008.1.2.4.90", "JPEG 2000 Lossless"],
  ["1.2.840.10008.1.2.4.91", "JPEG 2000"],
  ["1.2.840.10008.1.2.4.201", "HTJ2K Lossless"],
  ["1.2.840.10008.1.2.5", "RLE Lossless"],
];
const DICOM_SYNTAXES = [["", "as stored"], [EXPLICIT, "Explicit VR Little Endian"],
  ["1.2.840.10008.1.2", "Implicit VR Little Endian"], ...COMPRESSED];
const FRAME_SYNTAXES = [["*", "as stored"], [EXPLICIT, "Explicit VR Little Endian"]];

// What can be written, and the transfer syntaxes that each knows.
const FILE_TYPES = {
  "application/dicom": DICOM_SYNTAXES,
  "application/octet-stream": FRAME_SYNTAXES,
  "image/jpeg": [],
  "image/png": [],
};

export function ExportDialog({ place, close }) {
  const store = api(storePath(place));
  const [project, setProject] = useState(place.project);
  const buckets = useBuckets(project, "write");
  const [bucket, setBucket] = useState("");
  const [directory, setDirectory] = useState("");
  const [type, setType] = useState("application/dicom");
  const [syntax, setSyntax] = useState("");
  const [filter, setFilter] = useState({ kind: "all", text: "" });
  const chosen = chosenOf(buckets, bucket);
  const below = directory.trim().replace(/^\/+/, "");
  const prefix = chosen ? `gs://${chosen}${below ? `/${below}` : ""}` : "";
  const mimeType = type === "application/dicom" && !syntax ? "" : type + (syntax ? `; transfer-syntax=${syntax}` : "");
  const body = { gcsDestination: { uriPrefix: prefix, ...(mimeType && { mimeType }) } };
  const submit = async (signal) => {
    const paths = await chosenPaths(store, filter, signal);
    const sent = { ...body };
    if (paths) sent.filterConfig = { resourcePathsGcsUri: await keepFilter(chosen, directory, paths, signal) };
    const { name } = await call("POST", `${store}:export`, { body: sent, signal });
    navigate(operationPath(place, lastSegment(name)));
  };
  if (buckets.value && !buckets.value.length && project === place.project) {
    return html`<${Dialog} title=${t("export.title", { store: place.dicomStore })} action=${t("action.export")}
      disabled submit=${submit} close=${close}>
      <${Empty} title=${t("export.noBucket")}><span>${t("export.noBucket.next")}</span>
        <${Link} to="/buckets">${t("nav.buckets")}<//><//>
    <//>`;
  }
  const choose = (event) => {
    setType(event.target.value);
    setSyntax(FILE_TYPES[event.target.value][0]?.[0] || "");
  };
  return html`<${Dialog} title=${t("export.title", { store: place.dicomStore })} action=${t("action.export")}
    disabled=${!chosen || (filter.kind !== "all" && !filter.text.trim())} submit=${submit} close=${close}>
    <div class="fields pairs">
      <${Field} label=${t("export.kind")} value="bucket"><option value="bucket">${t("bucket")}</option><//>
      <${Field} label=${t("project")} value=${project} onChange=${(event) => setProject(event.target.value.trim())} />
      <${Field} label=${t("bucket")} value=${chosen} onChange=${(event) => setBucket(event.target.value)}>
        ${(buckets.value || []).map(({ name }) => html`<option value=${name}>${name}</option>`)}
      <//>
      <${Field} label=${t("export.directory")} hint=${t("export.directory.hint")} value=${directory}
        onInput=${(event) => setDirectory(event.target.value)} />
    </div>
    <${ErrorNotice} error=${buckets.error} again=${buckets.again} />
    <div class="fields">
      <${Field} label=${t("export.type")} value=${type} onChange=${choose}>
        ${Object.keys(FILE_TYPES).map((each) => html`<option value=${each}>${t(`export.type.${each}`)}</option>`)}
      <//>
      ${FILE_TYPES[type].length > 0 &&
      html`<${Field} label=${t("export.syntax")} value=${syntax} onChange=${(event) => setSyntax(event.target.value)}>
        ${FILE_TYPES[type].map(([uid, name]) => html`<option value=${uid}>
          ${name === "as stored" ? t("export.asStored") : name}</option>`)}
      <//>`}
    </div>
    <${Filter} filter=${filter} setFilter=${setFilter} />
    <div class="field"><span class="label">URI</span><code class="uri">${prefix || "…"}</code></div>
    <${Calls} calls=${exportCalls(place, store, prefix, mimeType, body)} />
  <//>`;
}

function Filter({ filter, setFilter }) {
  const hint = filter.kind === "all" ? "" : t(`export.filter.${filter.kind}.hint`);
  const set = (change) => setFilter({ ...filter, ...change });
  return html`<fieldset class="field">
    <legend class="label">${t("export.filter")}</legend>
    <div class="row">${["all", "search", "list"].map((kind) => html`<label class="choice">
      <input type="radio" name="filter" checked=${filter.kind === kind} onChange=${() => set({ kind, text: "" })} />
      ${t(`export.filter.${kind}`)}</label>`)}</div>
    ${filter.kind === "search" && html`<${Field} label=${t("export.filter.search")} hint=${hint} value=${filter.text}
      placeholder="Modality=CT&StudyDate=20240101-" onInput=${(event) => set({ text: event.target.value })} />`}
    ${filter.kind === "list" && html`<label class="field"><span class="label">${t("export.filter.list")}</span>
      <textarea value=${filter.text} onInput=${(event) => set({ text: event.target.value })}></textarea>
      <span class="hint">${hint}</span></label>`}
  </fieldset>`;
}

// The paths that a filter names, one a line; undefined means all. A search that asks for nothing, or finds
// nothing, is an error.
async function chosenPaths(store, filter, signal) {
  if (filter.kind === "all") return undefined;
  if (filter.kind === "list") {
    return filter.text.split(/\s+/).filter(Boolean).map((line) => (line.includes("/") ? line : `/studies/${line}`));
  }
  const keys = searchKeys(filter.text);
  if (!keys) throw new ApiError(400, "INVALID_ARGUMENT", t("export.filter.wrong"));
  const paths = [];
  for (let offset = 0; ; offset += 1000) {
    const query = { ...keys, limit: 1000, offset };
    const found = (await call("GET", `${store}/dicomWeb/studies`, { query, signal })) || [];
    paths.push(...found.map((study) => `/studies/${study["0020000D"].Value[0]}`));
    if (found.length < 1000) break;
  }
  if (!paths.length) throw new ApiError(400, "INVALID_ARGUMENT", t("export.filter.none"));
  return paths;
}

// A filter is a file in the bucket that is written to.
async function keepFilter(bucket, directory, paths, signal) {
  const place = directory.trim().replace(/^\/+|\/+$/g, "");
  const name = `${place ? `${place}/` : ""}filter-${Date.now()}.txt`;
  const route = `/upload/storage/v1/b/${encodeURIComponent(bucket)}/o`;
  await request("POST", route, {
    query: { uploadType: "media", name },
    headers: { "Content-Type": "text/plain" },
    body: `${paths.join("\n")}\n`,
    signal,
  });
  return `gs://${bucket}/${name}`;
}

function exportCalls(place, store, prefix, mimeType, body) {
  const name = storePath(place).slice(1);
  return {
    curl: curl("POST", `${store}:export`, body),
    gcloud: gcloud(["dicom-stores", "export", "gcs", place.dicomStore], place,
      { "gcs-uri-prefix": prefix, "mime-type": mimeType }),
    Python: `client.wait(client.export(${literal(name)}, ${literal(prefix)}`
      + (mimeType ? `, mime_type=${literal(mimeType)}` : "") + "))",
  };
}
