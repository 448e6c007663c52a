// What stands above every page: the places to go, language, theme, the way out.

import { Link, useLocation } from "../router.js";
import { signOut, token } from "../session.js";
import { language, LANGUAGES, setLanguage, t } from "../texts.js";
import { theme, toggleTheme } from "../theme.js";
import { html, useState } from "../vendor/preact.js";

export function Frame({ children }) {
  const { path } = useLocation();
  const [, drawn] = useState(0);
  const inBuckets = path.startsWith("/buckets");
  const toggle = () => {
    toggleTheme();
    drawn((count) => count + 1);
  };
  return html`<a class="skip" href="#main">${t("skip")}</a>
    <header class="header">
      <${Link} to="/" class="brand"><img src="/console/icon.svg" alt="" /><span>Fileroom</span><//>
      <nav aria-label=${t("nav")}>
        <${Link} to="/" aria-current=${inBuckets ? undefined : "page"}>${t("nav.datasets")}<//>
        <${Link} to="/buckets" aria-current=${inBuckets ? "page" : undefined}>${t("nav.buckets")}<//>
      </nav>
      <div class="row">
        <label class="visually-hidden" for="language">${t("language")}</label>
        <select id="language" class="slim" value=${language} onChange=${(event) => setLanguage(event.target.value)}>
          ${Object.entries(LANGUAGES).map(([code, name]) => html`<option value=${code} lang=${code}>${name}</option>`)}
        </select>
        <button type="button" class="quiet" aria-label=${t(theme() === "dark" ? "theme.light" : "theme.dark")} onClick=${toggle}>
          ${theme() === "dark" ? "☀" : "☾"}
        </button>
        ${token() && html`<button type="button" class="quiet" onClick=${signOut}>${t("signOut")}</button>`}
      </div>
    </header>
    <div id="main">${children}</div>`;
}
