// The heading every page has: where it is, what it is, what can be done. `tab` is for a title that names
// a patient: the browser's history does not get it. Each heading but the first takes the focus, so that keys
// and screen readers are where the reader has gone.

import { Link } from "../router.js";
import { t } from "../texts.js";
import { html, useEffect, useLayoutEffect, useRef } from "../vendor/preact.js";

let isFollowing = false;

export function Heading({ title, tab = title, about, crumbs = [], children }) {
  const heading = useRef();
  useLayoutEffect(() => {
    if (isFollowing) heading.current.focus({ preventScroll: true });
    isFollowing = true;
  }, []);
  useEffect(() => {
    document.title = `${tab} · Fileroom`;
  }, [tab]);
  return html`<header class="stack">
    ${crumbs.length > 0 &&
    html`<nav aria-label=${t("crumbs")}><ol class="crumbs">${crumbs.map(
      ([label, to]) => html`<li>${to ? html`<${Link} to=${to}>${label}<//>` : label}</li>`,
    )}</ol></nav>`}
    <div class="heading">
      <div><h1 tabindex="-1" ref=${heading}>${title}</h1>${about && html`<p class="soft">${about}</p>`}</div>
      <div class="row">${children}</div>
    </div>
  </header>`;
}

export function Tabs({ tabs, current }) {
  return html`<nav class="tabs" aria-label=${t("tabs")}>${tabs.map(
    ([key, label, to]) => html`<${Link} to=${to} aria-current=${key === current ? "page" : undefined}>${label}<//>`,
  )}</nav>`;
}
