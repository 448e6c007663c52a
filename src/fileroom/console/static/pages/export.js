// Export a DICOM store: to which bucket and directory, as which kind of file, all of it or some.

import { ApiError, call, request } from "../api.js";
import { api, bucketUri, lastSegment, operationPath, storePath, uploadRoute, web } from "../names.js";
import { Calls } from "../parts/calls.js";
import { ALL, ChosenStudies, pathsOf, useChosen } from "../parts/chosen_studies.js";
import { Dialog } from "../parts/dialog.js";
import { Field } from "../parts/field.js";
import { Empty, ErrorNotice } from "../parts/notice.js";
import { Link, navigate } from "../router.js";
import { command, curl, gcloud, literal } from "../shell.js";
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
  const [directory, setDirectory] = useState(`exports/${place.dicomStore}`);
  const [type, setType] = useState("application/dicom");
  const [syntax, setSyntax] = useState("");
  const [choice, setChoice] = useState(ALL);
  const studies = useChosen(web(place), choice);
  const chosen = chosenOf(buckets, bucket);
  const below = directory.trim().replace(/^\/+/, "");
  const prefix = chosen ? `${bucketUri(chosen)}${below ? `/${below}` : ""}` : "";
  const mimeType = type === "application/dicom" && !syntax ? "" : type + (syntax ? `; transfer-syntax=${syntax}` : "");
  const body = { gcsDestination: { uriPrefix: prefix, ...(mimeType && { mimeType }) } };
  const submit = async (signal) => {
    const paths = await pathsOf(web(place), choice, studies.value, signal);
    const sent = { ...body };
    if (paths) {
      const keeper = keeperOf(buckets, chosen);
      sent.filterConfig = { resourcePathsGcsUri: await keepFilter(keeper, filterName(directory), paths, signal) };
    }
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
    disabled=${!chosen || (choice.kind !== "all" && !studies.value?.isSome)} submit=${submit} close=${close}>
    <div class="fields">
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
    <${ChosenStudies} choice=${choice} change=${setChoice} chosen=${studies} />
    <div class="field"><span class="label">URI</span><code class="uri">${prefix || "…"}</code>
      <span class="hint">${t("export.uri.hint")}</span></div>
    <${ExportCalls} place=${place} store=${store} body=${body} filterUri=${choice.kind !== "all" && chosen
      ? `${bucketUri(chosen)}/${directoryOf(directory)}filter.txt` : ""} />
  <//>`;
}

// A list of what to export is a file in a bucket: where it is written to, otherwise in another that takes files.
function keeperOf(buckets, chosen) {
  const takes = (buckets.value || []).filter(({ fileroom }) => fileroom?.upload !== false).map(({ name }) => name);
  if (!takes.length) throw new ApiError(400, "FAILED_PRECONDITION", t("export.filter.noKeeper"));
  return takes.includes(chosen) ? chosen : takes[0];
}

function directoryOf(typed) {
  const place = typed.trim().replace(/^\/+|\/+$/g, "");
  return place && `${place}/`;
}

function filterName(typed) {
  return `${directoryOf(typed)}filter-${Date.now()}.txt`;
}

async function keepFilter(bucket, name, paths, signal) {
  await request("POST", uploadRoute(bucket), {
    query: { uploadType: "media", name },
    headers: { "Content-Type": "text/plain" },
    body: `${paths.join("\n")}\n`,
    signal,
  });
  return `${bucketUri(bucket)}/${name}`;
}

// The command of Google's knows no filter; ours does.
function ExportCalls({ place, store, body, filterUri }) {
  const { uriPrefix, mimeType } = body.gcsDestination;
  const words = ["dicom-stores", "export", "gcs", place.dicomStore];
  const flags = { "gcs-uri-prefix": uriPrefix, "mime-type": mimeType };
  const { dataset, location, project } = place;
  const given = [storePath(place).slice(1), uriPrefix].map(literal);
  if (mimeType) given.push(`mime_type=${literal(mimeType)}`);
  if (filterUri) given.push(`filter_config_gcs_uri=${literal(filterUri)}`);
  const asked = filterUri ? { ...body, filterConfig: { resourcePathsGcsUri: filterUri } } : body;
  const program = filterUri
    ? { fileroom: command(["fileroom", ...words], { dataset, location, project, ...flags,
      "filter-config-gcs-uri": filterUri }) }
    : { gcloud: gcloud(words, place, flags) };
  const calls = { curl: curl("POST", `${store}:export`, asked), ...program,
    Python: `client.wait(client.export(${given.join(", ")}))` };
  return html`<${Calls} calls=${calls} before=${filterUri && t("export.filter.before", { uri: filterUri })} />`;
}
