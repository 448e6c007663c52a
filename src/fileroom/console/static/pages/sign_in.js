// Who somebody is, is asked for once in each tab: an access token, a key file, or an OpenID provider.

import { ApiError, call } from "../api.js";
import { ErrorNotice } from "../parts/notice.js";
import { Field } from "../parts/field.js";
import { useAnswer } from "../loading.js";
import { goToProvider, keyFileOf, tokenOfKey, tokenOfReturn } from "../proofs.js";
import { ROOT, useLocation } from "../router.js";
import { signIn, signOut } from "../session.js";
import { t } from "../texts.js";
import { html, useEffect, useState } from "../vendor/preact.js";

const RETURN = "/signed-in";

export function SignIn() {
  const { path, query } = useLocation();
  const [typed, setTyped] = useState("");
  const [error, setError] = useState();
  const about = useAnswer((signal) => call("GET", "/console/about.json", { signal }), []);
  const attempt = async (work, wrong) => {
    setError(undefined);
    try {
      await work();
    } catch (raised) {
      if (!(raised instanceof ApiError) && !(raised instanceof TypeError)) throw raised;
      signOut();
      setError(raised.status === 401 || raised instanceof TypeError
        ? new ApiError(400, "", wrong) : raised);
    }
  };
  const enter = async (token) => {
    await call("GET", "/v1/projects", { headers: { Authorization: `Bearer ${token.trim()}` } });
    signIn(token);
  };
  useEffect(() => {
    if (path !== RETURN) return;
    attempt(async () => {
      const { token, from } = await tokenOfReturn(query);
      history.replaceState(null, "", from || ROOT);
      await enter(token);
    }, t("signIn.wrong"));
  }, []);
  const submit = (event) => {
    event.preventDefault();
    attempt(() => enter(typed), t("signIn.wrong"));
  };
  const readKey = (event) => {
    const [chosen] = event.target.files;
    event.target.value = "";
    if (!chosen) return;
    attempt(async () => {
      const file = keyFileOf(await chosen.text());
      if (!file) throw new ApiError(400, "", t("signIn.noKey"));
      let token;
      try {
        token = await tokenOfKey(file);
      } catch (raised) {
        if (!(raised instanceof DOMException)) throw raised;
        throw new ApiError(400, "", t("signIn.noKey"));
      }
      await enter(token);
    }, t("signIn.noKey"));
  };
  const { providers = [], takesKeys = false } = about.value || {};
  return html`<main class="narrow">
    <form class="panel" onSubmit=${submit}>
      <div class="inside stack">
        <h1><img src="/console/icon.svg" alt="" width="28" height="28" /> ${t("signIn.title")}</h1>
        ${providers.map((issuer) => html`<div key=${issuer}>
          <button type="button" onClick=${() => attempt(() => goToProvider(issuer), t("signIn.wrong"))}>
            ${t("signIn.provider", { host: new URL(issuer).host })}</button></div>`)}
        <p class="soft">${t("signIn.about")}</p>
        <pre tabindex="0">${"fileroom auth print-access-token \\\n  --data DIR"}</pre>
        <p class="small soft">${t("signIn.served")}
          ${" "}<code>.venv/bin/fileroom auth print-access-token --data demo-data</code></p>
        <${Field} label=${t("signIn.token")} type="password" required value=${typed}
          onInput=${(event) => setTyped(event.target.value)} />
        <${ErrorNotice} error=${error} />
        <div><button class="primary" disabled=${!typed.trim()}>${t("signIn.action")}</button></div>
        ${takesKeys && html`<${Field} label=${t("signIn.key")} hint=${t("signIn.keyHint")} type="file"
          accept=".json,application/json" onChange=${readKey} />`}
      </div>
    </form>
  </main>`;
}
