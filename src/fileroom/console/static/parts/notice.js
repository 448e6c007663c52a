// What went wrong, in words: what happened and what to do; and what is not there yet.

import { t } from "../texts.js";
import { html } from "../vendor/preact.js";

const WITHOUT_WORDS = { UNAVAILABLE: "error.gone", UNREADABLE: "error.unreadable" };

export function ErrorNotice({ error, again }) {
  if (!error) return null;
  const remedy = remedyOf(error);
  return html`<div class="notice wrong" role="alert">
    <strong>${error.status === 403 ? t("error.403.title") : errorInWords(error)}</strong>
    ${error.status === 403 && html`<span>${error.message}</span>`}
    ${remedy && html`<span>${remedy}</span>`}
    ${again && html`<div><button type="button" onClick=${again}>${t("action.again")}</button></div>`}
  </div>`;
}

// What happened: as the server told it, otherwise in our own words.
export function errorInWords(error) {
  return error.message || t(WITHOUT_WORDS[error.code] || "error.unknown");
}

export function Empty({ title, children }) {
  return html`<div class="empty"><strong>${title}</strong>${children}</div>`;
}

export function Loading() {
  return html`<p class="soft inside" role="status">${t("loading")}</p>`;
}

function remedyOf(error) {
  const known = {
    0: "error.gone.remedy", 401: "error.401", 403: "error.403", 404: "error.404", 429: "error.429", 507: "error.507",
  };
  if (known[error.status]) return t(known[error.status]);
  return error.status >= 500 ? t("error.500") : "";
}
