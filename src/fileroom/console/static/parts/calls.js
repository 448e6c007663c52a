// The same call for a terminal or a program, to be copied.

import { t } from "../texts.js";
import { html, useState } from "../vendor/preact.js";

// `calls` are texts by language: { curl, gcloud, Python }; `open` shows them at once.
export function Calls({ calls, open }) {
  const [chosen, choose] = useState(Object.keys(calls)[0]);
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(calls[chosen]);
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return html`<details open=${open}>
    <summary>${t("calls.title")}</summary>
    <div class="stack">
      <div class="row apart">
        <div class="row" role="group" aria-label=${t("calls.title")}>
          ${Object.keys(calls).map((name) => html`<button type="button" class="quiet"
            aria-pressed=${name === chosen ? "true" : "false"} onClick=${() => choose(name)}>${name}</button>`)}
        </div>
        <button type="button" onClick=${copy}>${copied ? t("action.copied") : t("action.copy")}</button>
      </div>
      <pre tabindex="0">${calls[chosen]}</pre>
    </div>
  </details>`;
}

// The curl line of one call of the API.
export function curl(verb, path, body) {
  const lines = [`curl -X ${verb} -H "Authorization: Bearer $TOKEN"`];
  if (body) lines.push(`  -H "Content-Type: application/json" -d '${quoted(JSON.stringify(body))}'`);
  lines.push(`  '${quoted(location.origin + path)}'`);
  return lines.join(" \\\n");
}

// Text within the single quotes of a shell.
export function quoted(text) {
  return text.replaceAll("'", "'\\''");
}
