// Which project and location: those that are known, or any other.

import { call } from "../api.js";
import { useAnswer } from "../loading.js";
import { Field } from "../parts/field.js";
import { Empty, ErrorNotice, Loading } from "../parts/notice.js";
import { Heading } from "../parts/page.js";
import { Link, navigate } from "../router.js";
import { t } from "../texts.js";
import { html, useState } from "../vendor/preact.js";

async function places(signal) {
  const { projects = [] } = await call("GET", "/v1/projects", { signal });
  const found = await Promise.all(
    projects.map(async ({ projectId }) => {
      const answer = await call("GET", `/v1/projects/${encodeURIComponent(projectId)}/locations`, { signal });
      return (answer.locations || []).map(({ locationId }) => ({ project: projectId, location: locationId }));
    }),
  );
  return found.flat();
}

export function Projects() {
  const known = useAnswer(places, []);
  const [project, setProject] = useState("my-project");
  const [location, setLocation] = useState("us-central1");
  const open = (event) => {
    event.preventDefault();
    navigate(`/projects/${project.trim()}/locations/${location.trim()}`);
  };
  return html`<main>
    <${Heading} title=${t("projects.title")} about=${t("projects.about")} />
    ${known.error && html`<${ErrorNotice} error=${known.error} again=${known.again} />`}
    ${known.value === undefined && known.loading && html`<${Loading} />`}
    ${known.value &&
    html`<div class="panel">
      ${known.value.length === 0
        ? html`<${Empty} title=${t("projects.empty")}>${t("projects.empty.next")}<//>`
        : html`<table><thead><tr><th scope="col">${t("project")}</th><th scope="col">${t("location")}</th></tr></thead>
            <tbody>${known.value.map((place) => html`<tr>
              <td><${Link} to=${`/projects/${place.project}/locations/${place.location}`}>${place.project}<//></td>
              <td>${place.location}</td></tr>`)}</tbody></table>`}
    </div>`}
    <form class="panel" onSubmit=${open}>
      <div class="inside stack">
        <div><h2>${t("projects.other")}</h2><p class="soft">${t("projects.any")}</p></div>
        <div class="fields">
          <${Field} label=${t("project")} required value=${project} pattern="[A-Za-z0-9][A-Za-z0-9._\\-]{0,62}"
            title=${t("projects.hint")} hint=${t("projects.hint")} onInput=${(event) => setProject(event.target.value)} />
          <${Field} label=${t("location")} required value=${location} pattern="[a-z0-9][a-z0-9\\-]{0,62}"
            title=${t("projects.location.hint")} hint=${t("projects.location.hint")} onInput=${(event) => setLocation(event.target.value)} />
        </div>
        <div><button class="primary">${t("projects.open")}</button></div>
      </div>
    </form>
  </main>`;
}
