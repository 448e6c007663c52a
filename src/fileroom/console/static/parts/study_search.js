// Studies looked for by whose they are, what and when.

import { bodyOf, request } from "../api.js";
import { t } from "../texts.js";
import { html } from "../vendor/preact.js";
import { Field } from "./field.js";

// The fields of a search; `change(search)` is told what they hold.
export function StudySearch({ search, change }) {
  const field = (name, more = {}) => html`<${Field} label=${t(`studies.${name}`)} value=${search[name]} ...${more}
    onInput=${(event) => change({ ...search, [name]: event.target.value })} />`;
  return html`<div class="fields many">
    ${field("name", { hint: t("studies.name.hint") })}
    ${field("id")}
    ${field("accession")}
    ${field("description")}
    ${field("modality", { placeholder: "CT, MR" })}
    ${field("from", { type: "date" })}
    ${field("to", { type: "date" })}
  </div>`;
}

// Some of the studies that a search finds, and how many there are in all; undefined where that is not counted.
export async function findStudies(route, keys, { offset, limit }, signal) {
  const query = { ...keys, limit, offset, includefield: "StudyDescription" };
  const response = await request("GET", `${route}/studies`, { query, signal, accept: "application/dicom+json" });
  const total = response.headers.get("X-Total-Count");
  const studies = response.status === 204 ? [] : await bodyOf(response, "json");
  return { studies, offset, total: total === null ? undefined : Number(total) };
}
