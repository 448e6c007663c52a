// The access token is asked for once in each tab.

import { ApiError, call } from "../api.js";
import { ErrorNotice } from "../parts/notice.js";
import { Field } from "../parts/field.js";
import { signIn, signOut } from "../session.js";
import { t } from "../texts.js";
import { html, useState } from "../vendor/preact.js";

export function SignIn() {
  const [typed, setTyped] = useState("");
  const [error, setError] = useState();
  const submit = async (event) => {
    event.preventDefault();
    setError(undefined);
    try {
      await call("GET", "/v1/projects", { headers: { Authorization: `Bearer ${typed.trim()}` } });
      signIn(typed);
    } catch (raised) {
      if (!(raised instanceof ApiError) && !(raised instanceof TypeError)) throw raised;
      signOut();
      setError(raised.status === 401 || raised instanceof TypeError
        ? new ApiError(400, "", t("signIn.wrong")) : raised);
    }
  };
  return html`<main class="narrow">
    <form class="panel" onSubmit=${submit}>
      <div class="inside stack">
        <h1><img src="/console/icon.svg" alt="" width="28" height="28" /> ${t("signIn.title")}</h1>
        <p class="soft">${t("signIn.about")}</p>
        <pre tabindex="0">${"fileroom auth print-access-token \\\n  --data DIR"}</pre>
        <p class="small soft">${t("signIn.served")}
          ${" "}<code>.venv/bin/fileroom auth print-access-token --data demo-data</code></p>
        <${Field} label=${t("signIn.token")} type="password" required value=${typed}
          onInput=${(event) => setTyped(event.target.value)} />
        <${ErrorNotice} error=${error} />
        <div><button class="primary" disabled=${!typed.trim()}>${t("signIn.action")}</button></div>
      </div>
    </form>
  </main>`;
}
