// A button that has the browser keep what the server answers; a refusal is told beside it.

import { download } from "../api.js";
import { html, useState } from "../vendor/preact.js";
import { ErrorNotice } from "./notice.js";

export function Download({ path, fileName, options, children, ...button }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState();
  const keep = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await download(path, fileName, options);
    } catch (raised) {
      setError(raised);
    }
    setBusy(false);
  };
  return html`<button type="button" disabled=${busy} onClick=${keep} ...${button}>${children}${busy && " …"}</button>
    <${ErrorNotice} error=${error} />`;
}
