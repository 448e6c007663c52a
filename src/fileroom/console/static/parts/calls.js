// The same call for a terminal or a program, to be copied.

import { t } from "../texts.js";
import { html, useRef, useState } from "../vendor/preact.js";

// `calls` are texts by language: { curl, gcloud, Python }; `open` shows them at once; `before` says what is to be
// done before them.
export function Calls({ calls, open, before }) {
  const [wanted, choose] = useState("");
  const chosen = wanted in calls ? wanted : Object.keys(calls)[0];
  const [told, setTold] = useState("");
  const shown = useRef();
  const copy = async () => {
    setTold(await copied(shown.current) ? "action.copied" : "calls.selected");
    setTimeout(() => setTold(""), 2000);
  };
  return html`<details open=${open}>
    <summary>${t("calls.title")}</summary>
    <div class="stack">
      ${before && html`<p class="small soft">${before}</p>`}
      <div class="row apart">
        <div class="row" role="group" aria-label=${t("calls.title")}>
          ${Object.keys(calls).map((name) => html`<button type="button" class="quiet"
            aria-pressed=${name === chosen ? "true" : "false"} onClick=${() => choose(name)}>${name}</button>`)}
        </div>
        <button type="button" onClick=${copy}>${t(told || "action.copy")}</button>
      </div>
      <pre tabindex="0" ref=${shown}>${calls[chosen]}</pre>
    </div>
  </details>`;
}

// Whether the text could be copied; browsers let a page do so over HTTPS or on this machine only, and if the
// reader has not forbidden it. Otherwise it is selected, for the reader to copy.
async function copied(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return false;
  }
}
