// A table that is read page by page, as the API gives it.

import { page } from "../api.js";
import { useAnswer } from "../loading.js";
import { number, t } from "../texts.js";
import { html, useEffect, useState } from "../vendor/preact.js";
import { ErrorNotice, Loading } from "./notice.js";

// The rows of a list method so far; `more` reads the next page, `again` begins anew.
export function usePages(path, key, { pageSize = 50, query = {}, body } = {}) {
  const [more, setMore] = useState({ items: [], next: "", busy: false });
  const first = useAnswer(
    (signal) => page(path, key, { pageSize, query, body, signal }),
    [path, JSON.stringify([query, body])],
  );
  useEffect(() => setMore({ items: [], next: first.value?.next || "" }), [first.value]);
  const read = async () => {
    setMore((before) => ({ ...before, busy: true, error: undefined }));
    try {
      const { items, next } = await page(path, key, { pageSize, query, body, pageToken: more.next });
      setMore((before) => ({ items: [...before.items, ...items], next }));
    } catch (error) {
      setMore((before) => ({ ...before, busy: false, error }));
    }
  };
  return {
    rows: first.value && [...first.value.items, ...more.items],
    loading: first.loading,
    error: first.error || more.error,
    again: first.again,
    hasMore: Boolean(more.next),
    busy: more.busy,
    more: read,
  };
}

// `columns` are {label, cell(row), number?}; `empty` is shown where there is nothing.
export function List({ pages, columns, keyOf, empty, caption }) {
  if (pages.error && !pages.rows) return html`<${ErrorNotice} error=${pages.error} again=${pages.again} />`;
  if (!pages.rows) return html`<div class="panel"><${Loading} /></div>`;
  if (!pages.rows.length) return html`<div class="panel">${empty}</div>`;
  return html`<div class="panel">
    <div class="scroller">
      <table>
        <caption class="visually-hidden">${caption}</caption>
        <thead><tr>${columns.map((column) => html`<th scope="col" class=${column.number ? "number" : ""}>
          ${column.label}</th>`)}</tr></thead>
        <tbody>${pages.rows.map((row) => html`<tr key=${keyOf(row)}>${columns.map(
          (column) => html`<td class=${column.number ? "number" : ""}>${column.cell(row)}</td>`,
        )}</tr>`)}</tbody>
      </table>
    </div>
    <${Tail} pages=${pages} />
  </div>`;
}

export function Tail({ pages }) {
  return html`<div class="tail small soft">
    <span role="status">${t("list.shown", { count: pages.rows.length, shown: number(pages.rows.length) })}</span>
    ${pages.error && html`<${ErrorNotice} error=${pages.error} />`}
    ${pages.hasMore && html`<button type="button" disabled=${pages.busy} onClick=${pages.more}>
      ${pages.busy ? t("loading") : t("list.more")}</button>`}
  </div>`;
}
