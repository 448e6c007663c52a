// A dialog that holds the keyboard until it is closed, and gives it back.

import { t } from "../texts.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact.js";
import { ErrorNotice } from "./notice.js";

// `submit(signal)` does the work; the dialog shows its error and stays, or closes. Who closes it meanwhile ends
// the work: nothing more is asked, and no other page opened. `leave` is for a dialog in which “Cancel” could be
// taken for what it does.
export function Dialog({ title, action, leave = t("action.cancel"), danger, disabled, submit, close, children }) {
  const dialog = useRef();
  const told = useRef();
  const closing = useRef(new AbortController()).current;
  const [error, setError] = useState();
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    const opener = document.activeElement;
    const shown = dialog.current;
    shown.showModal();
    return () => {
      closing.abort();
      // Nothing outside a dialog takes the focus before it is closed.
      shown.close();
      opener?.focus?.();
    };
  }, []);
  useLayoutEffect(() => {
    if (error) told.current.scrollIntoView({ block: "nearest" });
  }, [error]);
  const onSubmit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      await submit(closing.signal);
    } catch (raised) {
      if (!closing.signal.aborted) setError(raised);
    } finally {
      setBusy(false);
    }
  };
  const cancel = (event) => {
    event.preventDefault();
    close();
  };
  return html`<dialog ref=${dialog} aria-labelledby="dialog-title" onCancel=${cancel}>
    <form onSubmit=${onSubmit}>
      <header>
        <h2 id="dialog-title">${title}</h2>
        <button type="button" class="quiet" aria-label=${t("action.close")} onClick=${close}>✕</button>
      </header>
      <div class="content">${children}
        ${error && html`<div ref=${told}><${ErrorNotice} error=${error} /></div>`}</div>
      <footer>
        <button type="button" onClick=${close}>${leave}</button>
        <button class=${danger ? "danger" : "primary"} disabled=${busy || disabled}>
          ${busy ? t("action.busy") : action}
        </button>
      </footer>
    </form>
  </dialog>`;
}

// Ask before what cannot be taken back: the name must be typed.
export function Deletion({ title, name, warning, submit, close }) {
  const [typed, setTyped] = useState("");
  return html`<${Dialog} title=${title} action=${t("action.delete")} danger
    disabled=${typed !== name} submit=${submit} close=${close}>
    <p>${warning}</p>
    <div class="field">
      <label for="deletion-name">${t("deletion.type", { name })}</label>
      <input id="deletion-name" autocomplete="off" spellcheck="false" value=${typed}
        onInput=${(event) => setTyped(event.target.value)} />
    </div>
  <//>`;
}
