// One labelled field of a form, with its hint or what is wrong with it.

import { html, useEffect, useMemo, useRef, useState } from "../vendor/preact.js";

let numbers = 0;

export function Field({ label, hint, wrong, children, ...input }) {
  const id = useMemo(() => `field-${++numbers}`, []);
  const shownHint = wrong ? "" : hint;
  const told = [shownHint && `${id}-hint`, wrong && `${id}-wrong`].filter(Boolean).join(" ") || undefined;
  const shared = { id, "aria-describedby": told, "aria-invalid": wrong ? "true" : undefined };
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${children
      ? html`<select ...${shared} ...${input}>${children}</select>`
      : html`<input autocomplete="off" spellcheck="false" ...${shared} ...${input} />`}
    ${shownHint && html`<span class="hint" id=${`${id}-hint`}>${shownHint}</span>`}
    ${wrong && html`<span class="wrong" id=${`${id}-wrong`} role="alert">${wrong}</span>`}
  </div>`;
}

// What is typed before it is applied. Another applied value, such as none, takes its place; the
// first one does not, or who types at once would lose it.
export function useTyped(applied) {
  const [typed, setTyped] = useState(applied);
  const last = useRef(applied);
  useEffect(() => {
    if (last.current !== applied) setTyped(applied);
    last.current = applied;
  }, [applied]);
  return [typed, setTyped];
}
