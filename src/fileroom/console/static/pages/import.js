// Import into a DICOM store: from which bucket, which objects; what matches is shown before it starts.

import { call } from "../api.js";
import { useAnswer, useRestedAnswer } from "../loading.js";
import { api, bucketUri, lastSegment, operationPath, storePath } from "../names.js";
import { Calls } from "../parts/calls.js";
import { Dialog } from "../parts/dialog.js";
import { Field } from "../parts/field.js";
import { Empty, ErrorNotice } from "../parts/notice.js";
import { noteStore } from "../recent.js";
import { Link, navigate } from "../router.js";
import { curl, gcloud, literal } from "../shell.js";
import { number, size, t } from "../texts.js";
import { html, useEffect, useState } from "../vendor/preact.js";

// The buckets of a project, and those of none, that give a right: `read` or `write`.
export function useBuckets(project, right) {
  const ask = async (signal) => {
    const { items = [] } = await call("GET", "/storage/v1/b", { query: { project }, signal });
    return items.filter(({ fileroom }) => (fileroom?.allow || [right]).includes(right));
  };
  return useAnswer(ask, [project]);
}

// The bucket that was chosen, if it is one of those listed; otherwise the first of them.
export function chosenOf(buckets, bucket) {
  const names = (buckets.value || []).map(({ name }) => name);
  return names.includes(bucket) ? bucket : names[0] || "";
}

// `from` names the bucket that is chosen at first.
export function ImportDialog({ place, from = "", close }) {
  const store = api(storePath(place));
  const [project, setProject] = useState(place.project);
  const buckets = useBuckets(project, "read");
  const [bucket, setBucket] = useState(from);
  const [overridden, setOverridden] = useState(false);
  const [path, setPath] = useState("**");
  const chosen = chosenOf(buckets, bucket);
  useEffect(() => noteStore(place), []);
  const uri = chosen ? `${bucketUri(chosen)}/${overridden ? path : "**"}` : "";
  const preview = usePreview(store, uri);
  const body = { gcsSource: { uri } };
  const submit = async (signal) => {
    const { name } = await call("POST", `${store}:import`, { body, signal });
    navigate(operationPath(place, lastSegment(name)));
  };
  if (buckets.value && !buckets.value.length && project === place.project) {
    return html`<${Dialog} title=${t("import.title", { store: place.dicomStore })} action=${t("action.import")}
      disabled submit=${submit} close=${close}>
      <${Empty} title=${t("import.noBucket")}><span>${t("import.noBucket.next")}</span>
        <${Link} to="/buckets">${t("nav.buckets")}<//><//>
    <//>`;
  }
  return html`<${Dialog} title=${t("import.title", { store: place.dicomStore })} action=${t("action.import")}
    disabled=${!uri || preview.error || preview.value?.explanation} submit=${submit} close=${close}>
    <div class="fields">
      <${Field} label=${t("project")} value=${project} onChange=${(event) => setProject(event.target.value.trim())} />
      <${Field} label=${t("bucket")} value=${chosen} onChange=${(event) => setBucket(event.target.value)}>
        ${(buckets.value || []).map(({ name }) => html`<option value=${name}>${name}</option>`)}
      <//>
    </div>
    <${ErrorNotice} error=${buckets.error} again=${buckets.again} />
    <details open=${overridden} onToggle=${(event) => setOverridden(event.target.open)}>
      <summary>${t("import.advanced")}</summary>
      <div class="stack">
        <${Field} label=${t("import.path")} value=${path} onInput=${(event) => setPath(event.target.value)} />
        <table class="small"><caption class="visually-hidden">${t("import.wildcards")}</caption><tbody>
          ${["**", "*", "?"].map((sign) => html`<tr><td><code>${sign}</code></td>
            <td>${t(`import.wildcard.${sign}`)}</td></tr>`)}
        </tbody></table>
      </div>
    </details>
    <div class="field"><span class="label">URI</span><code class="uri">${uri || "…"}</code></div>
    <${Preview} preview=${preview} />
    <${Calls} calls=${importCalls(place, store, uri, body)} />
  <//>`;
}

// Ask what a URI means once the typing rests.
function usePreview(store, uri) {
  return useRestedAnswer(async (rested, signal) => {
    if (!rested) return undefined;
    return call("POST", `${store}:previewImport`, { body: { gcsSource: { uri: rested } }, signal });
  }, uri);
}

function Preview({ preview }) {
  if (preview.error) return html`<div class="notice warning" role="status">${preview.error.message}</div>`;
  if (!preview.value) return html`<div class="notice" role="status">${t("import.looking")}</div>`;
  const { count = "0", sizeBytes, samples = [], more, explanation } = preview.value;
  if (explanation) return html`<div class="notice warning" role="status">${explanation}</div>`;
  const found = Number(count);
  return html`<div class="notice" role="status">
    <strong>${t(more ? "import.matchesAtLeast" : "import.matches", { count: found, found: number(found) })}
      , ${size(sizeBytes)}</strong>
    <ul class="plain small mono samples">${samples.map((name) => html`<li>${name}</li>`)}
      ${found > samples.length && html`<li>…</li>`}</ul>
  </div>`;
}

function importCalls(place, store, uri, body) {
  const name = storePath(place).slice(1);
  return {
    curl: curl("POST", `${store}:import`, body),
    gcloud: gcloud(["dicom-stores", "import", "gcs", place.dicomStore], place, { "gcs-uri": uri }),
    Python: `client.wait(client.import_(${literal(name)}, ${literal(uri)}))`,
  };
}
