// A table that is read page by page, as the API gives it.

import { page } from "../api.js";
import { useAnswer } from "../loading.js";
import { number, t } from "../texts.js";
import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { ErrorNotice, Loading } from "./notice.js";

// The rows of a list method so far.
export function usePages(path, key, { pageSize = 50, query = {}, body } = {}) {
  return useRows(
    (pageToken, signal) => page(path, key, { pageSize, query, body, pageToken, signal }),
    [path, JSON.stringify([query, body])],
  );
}

// The rows so far of what `read(pageToken, signal)` gives as { items, next }; `more` reads the next page, `again`
// begins anew, as another of `inputs` does. What then comes too late is no row.
export function useRows(read, inputs) {
  const first = useAnswer((signal) => read(undefined, signal), inputs);
  const [later, setLater] = useState({});
  const more = later.first === first.value ? later : { items: [], next: first.value?.next };
  const abort = useRef();
  useEffect(() => () => abort.current?.abort(), [first.value]);
  const readMore = async () => {
    const { signal } = abort.current = new AbortController();
    const before = { first: first.value, items: more.items, next: more.next };
    setLater({ ...before, busy: true });
    try {
      const { items, next } = await read(more.next, signal);
      if (!signal.aborted) setLater({ ...before, items: [...before.items, ...items], next });
    } catch (error) {
      if (!signal.aborted) setLater({ ...before, error });
    }
  };
  return {
    rows: first.value && [...first.value.items, ...more.items],
    loading: first.loading,
    error: first.error || more.error,
    again: first.again,
    hasMore: Boolean(more.next),
    busy: more.busy,
    more: readMore,
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
