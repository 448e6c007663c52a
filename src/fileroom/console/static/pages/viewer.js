// One series: its images to scroll through, and all attributes of the instance that is shown.

import { bodyOf, call, request } from "../api.js";
import { patientName, value } from "../dicom/attributes.js";
import { describe, samplesOf } from "../dicom/pixels.js";
import { framesOf, inOrder, withPictures } from "../dicom/stack.js";
import { useAnswer } from "../loading.js";
import { storePath, web } from "../names.js";
import { AttributeTable } from "../parts/attribute_table.js";
import { Stack } from "../parts/stack.js";
import { Empty, ErrorNotice, Loading } from "../parts/notice.js";
import { Heading } from "../parts/page.js";
import { setQuery, turnTo } from "../router.js";
import { t } from "../texts.js";
import { html, useMemo, useState } from "../vendor/preact.js";
import { studyCrumbs } from "./study.js";

const DECODED = "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1";

export function Viewer({ place, query }) {
  const study = `${web(place)}/studies/${place.study}`;
  const route = `${study}/series/${place.series}`;
  const metadata = useAnswer((signal) => call("GET", `${route}/metadata`, { signal }), [route]);
  const instances = useMemo(() => inOrder(metadata.value || []), [metadata.value]);
  const frames = useMemo(() => framesOf(withPictures(instances)), [instances]);
  const [at, setAt] = useState(0);
  const view = query.get("view") === "attributes" || (metadata.value && !frames.length) ? "attributes" : "images";
  const shown = uidOf(frames.at(at)?.instance);
  const show = (name) => turnTo(name === "images" ? { view: "", instance: "" } : { view: name, instance: shown });
  const first = instances[0];
  const description = first && (value(first, "0008103E") || t("study.noDescription"));
  const about = first && [patientName(first), value(first, "00080060")].filter(Boolean).join(" · ");
  return html`<main class="wide viewer-page">
    <${Heading} title=${description || t("viewer.series")} tab=${t("viewer.series")} about=${about}
      crumbs=${[...studyCrumbs(place), [t("study"), `${storePath(place)}/studies/${place.study}`]]}>
      <div class="row" role="group" aria-label=${t("viewer.view")}>${["images", "attributes"].map((name) => html`<button
        type="button" aria-pressed=${view === name ? "true" : "false"} disabled=${name === "images" && !frames.length}
        onClick=${() => name !== view && show(name)}>${t(`viewer.${name}`)}</button>`)}</div>
    <//>
    <${ErrorNotice} error=${metadata.error} again=${metadata.again} />
    ${!metadata.value && metadata.loading && html`<div class="panel"><${Loading} /></div>`}
    ${metadata.value && !instances.length && html`<div class="panel"><${Empty} title=${t("viewer.absent")}>
      ${t("error.404")}<//></div>`}
    ${instances.length > 0 && view === "images" && html`<${Stack} frames=${frames} at=${at} setAt=${setAt}
      read=${(frame, window, signal) => readFrame(route, frame, window, signal)} />`}
    ${instances.length > 0 && view === "attributes" && html`<${Attributes} instances=${instances}
      shown=${query.get("instance") || shown} />`}
  </main>`;
}

// The attributes of one instance, which the address names: at first the one whose image was shown.
function Attributes({ instances, shown }) {
  const chosen = Math.max(0, instances.findIndex((each) => uidOf(each) === shown));
  const turn = (to) => setQuery({ instance: uidOf(instances[Math.min(instances.length - 1, Math.max(0, to))]) });
  const instance = instances[chosen];
  return html`<section class="stack" aria-label=${t("viewer.attributes")}>
    ${instances.length > 1 && html`<div class="row">
      <button type="button" disabled=${chosen === 0} onClick=${() => turn(chosen - 1)}>
        ${t("studies.previous")}</button>
      <label class="row">${t("viewer.instance")} <input class="short" type="number" min="1" max=${instances.length}
        value=${chosen + 1} onChange=${(event) => turn(Number(event.target.value) - 1)} /></label>
      <span class="soft">${t("viewer.ofInstances", { total: instances.length })}</span>
      <button type="button" disabled=${chosen === instances.length - 1} onClick=${() => turn(chosen + 1)}>
        ${t("studies.next")}</button>
    </div>`}
    <${AttributeTable} key=${uidOf(instance)} dataSet=${instance} />
  </section>`;
}

function uidOf(instance) {
  return value(instance, "00080018");
}

// The samples of a frame, or the picture that the server draws of one that is not for us to draw.
async function readFrame(route, { instance, frame }, window, signal) {
  const path = `${route}/instances/${uidOf(instance)}/frames/${frame}`;
  const described = describe(instance, frame);
  if (described.kind === "rendered") {
    const query = { window: window && `${window.center},${window.width},${functionOf(window)}` };
    const response = await request("GET", `${path}/rendered`, { query, accept: "image/jpeg", signal });
    const picture = await createImageBitmap(await bodyOf(response, "blob"));
    return { described, picture, bytes: 4 * picture.width * picture.height, close: () => picture.close() };
  }
  const response = await request("GET", path, { accept: DECODED, signal });
  const buffer = await bodyOf(response, "arrayBuffer");
  return { described, samples: samplesOf(buffer, described), bytes: buffer.byteLength };
}

function functionOf({ shape = "LINEAR" }) {
  return { LINEAR_EXACT: "linear-exact", SIGMOID: "sigmoid" }[shape] || "linear";
}
