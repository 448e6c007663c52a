// What can be done with a whole study: take it home, or delete it.

import { bodyOf, call, keepAs, request } from "../api.js";
import { patientName, value } from "../dicom/attributes.js";
import { createZip, ZIP_BYTES_MAX, ZIP_FILES_MAX } from "../dicom/zip.js";
import { useAnswer } from "../loading.js";
import { lastSegment, operationPath, storePath, web } from "../names.js";
import { Calls } from "../parts/calls.js";
import { Dialog } from "../parts/dialog.js";
import { ErrorNotice, Loading } from "../parts/notice.js";
import { navigate } from "../router.js";
import { command, curl, literal, quoted } from "../shell.js";
import { number, size, t } from "../texts.js";
import { html, useState } from "../vendor/preact.js";

const AS_STORED = "application/dicom; transfer-syntax=*";
const INSTANCES_PAGE = 10_000;

export function DeleteStudy({ place, study, close }) {
  const uid = value(study, "0020000D");
  const route = `${web(place)}/studies/${uid}`;
  const store = storePath(place).slice(1);
  const calls = {
    curl: curl("DELETE", route),
    fileroom: command(["fileroom", "studies", "delete", uid], { "dicom-store": store }),
    Python: `client.wait(client.delete_study(${literal(store)},\n    ${literal(`studies/${uid}`)}))`,
  };
  const submit = async (signal) => {
    const { name } = await call("DELETE", route, { signal });
    navigate(operationPath(place, lastSegment(name)));
  };
  return html`<${Dialog} title=${t("study.delete")} action=${t("action.delete")} danger submit=${submit} close=${close}>
    <p>${t("study.delete.warning", {
      name: patientName(study) || t("studies.noName"),
      series: number(value(study, "00201206")),
      instances: number(value(study, "00201208")),
      count: Number(value(study, "00201208") || 0),
    })}</p>
    <p class="mono small soft uid">${uid}</p>
    <${Calls} calls=${calls} />
  <//>`;
}

export function DownloadStudy({ place, study, close }) {
  const uid = value(study, "0020000D");
  const route = `${web(place)}/studies/${uid}`;
  const metrics = useAnswer((signal) => call("GET", `${route}:getStudyMetrics`, { signal }), [route]);
  const [taken, setTaken] = useState();
  const bytes = Number(metrics.value?.blobStorageSizeBytes || 0);
  const count = Number(metrics.value?.instanceCount || 0);
  const isTooMuch = bytes > ZIP_BYTES_MAX || count > ZIP_FILES_MAX;
  const submit = async (signal) => {
    keepAs(await studyZip(route, uid, setTaken, signal), `${uid}.zip`);
    close();
  };
  return html`<${Dialog} title=${t("study.download")} action=${t("study.download.zip")}
    disabled=${!metrics.value || isTooMuch} submit=${submit} close=${close}>
    <${ErrorNotice} error=${metrics.error} again=${metrics.again} />
    ${!metrics.value && metrics.loading && html`<${Loading} />`}
    ${metrics.value && html`<p>${t("study.download.holds", { count, files: number(count), size: size(bytes) })}</p>`}
    ${isTooMuch && html`<p class="notice warning">${t("study.download.tooMuch")}</p>`}
    ${taken !== undefined && html`<div class="field">
      <progress max=${count} value=${taken} aria-label=${t("study.download")}></progress>
      <span class="small soft" role="status">
        ${t("study.download.taken", { files: number(taken), total: number(count) })}</span>
    </div>`}
    <${Calls} open calls=${downloadCalls(place, uid, route)} />
  <//>`;
}

function downloadCalls(place, uid, route) {
  const store = storePath(place).slice(1);
  return {
    fileroom: command(["fileroom", "download", uid], { "dicom-store": store, server: location.origin, to: "." }),
    curl: `curl -H "Authorization: Bearer $TOKEN" -o study.multipart \\\n`
      + `  -H 'Accept: multipart/related; type="application/dicom"; transfer-syntax=*' \\\n`
      + `  ${quoted(location.origin + route)}`,
    Python: `for file in client.retrieval(${literal(store)}).instances(\n    ${literal(`studies/${uid}`)}\n):\n    ...`,
  };
}

// Every file of a study as it was stored, one after another, so that only one is held twice.
async function studyZip(route, uid, told, signal) {
  const zip = createZip();
  let files = 0;
  told(files);
  for (let offset = 0; ; offset += INSTANCES_PAGE) {
    const found = (await call("GET", `${route}/instances`, { query: { limit: INSTANCES_PAGE, offset }, signal })) || [];
    for (const instance of found) {
      const [series, sop] = [value(instance, "0020000E"), value(instance, "00080018")];
      const path = `${route}/series/${series}/instances/${sop}`;
      const response = await request("GET", path, { accept: AS_STORED, signal });
      zip.add(`${uid}/${series}/${sop}.dcm`, new Uint8Array(await bodyOf(response, "arrayBuffer")));
      files += 1;
      told(files);
    }
    if (found.length < INSTANCES_PAGE) return zip.finish();
  }
}
