// The buckets of the settings: what is in them, and files brought in by dragging them here.

import { call, download, request } from "../api.js";
import { useAnswer } from "../loading.js";
import { Dialog } from "../parts/dialog.js";
import { Field } from "../parts/field.js";
import { Empty, ErrorNotice, Loading } from "../parts/notice.js";
import { Heading } from "../parts/page.js";
import { Link, setQuery } from "../router.js";
import { dateTime, number, size, t } from "../texts.js";
import { html, useEffect, useState } from "../vendor/preact.js";

export function Buckets({ place, query }) {
  if (place.bucket) return html`<${Bucket} bucket=${place.bucket} prefix=${query.get("prefix") || ""} />`;
  return html`<${AllBuckets} />`;
}

function AllBuckets() {
  const [open, setOpen] = useState(false);
  const buckets = useAnswer(
    async (signal) => (await call("GET", "/storage/v1/b", { signal })).items || [],
    [],
  );
  const create = html`<button type="button" class="primary" onClick=${() => setOpen(true)}>
    ${t("buckets.create")}</button>`;
  return html`<main>
    <${Heading} title=${t("nav.buckets")} about=${t("buckets.about")}>${create}<//>
    <${ErrorNotice} error=${buckets.error} again=${buckets.again} />
    ${!buckets.value && buckets.loading && html`<${Loading} />`}
    ${buckets.value && html`<div class="panel">${buckets.value.length === 0
      ? html`<${Empty} title=${t("buckets.empty")}><span>${t("buckets.empty.next")}</span>${create}<//>`
      : html`<div class="scroller"><table>
          <thead><tr><th scope="col">${t("bucket")}</th><th scope="col">${t("buckets.rights")}</th>
            <th scope="col"><span class="visually-hidden">${t("actions")}</span></th></tr></thead>
          <tbody>${buckets.value.map((each) => html`<tr key=${each.name}>
            <td><${Link} to=${`/buckets/${each.name}`}>gs://${each.name}<//></td>
            <td>${(each.fileroom?.allow || []).map((right) => t(`buckets.right.${right}`)).join(", ")}</td>
            <td><${Check} bucket=${each.name} /></td></tr>`)}</tbody></table></div>`}</div>`}
    ${open && html`<${CreateBucket} close=${() => setOpen(false)} done=${() => {
      setOpen(false);
      buckets.again();
    }} />`}
  </main>`;
}

// Whether listing and reading work now, in words.
function Check({ bucket }) {
  const [told, setTold] = useState();
  const check = async () => {
    setTold({ text: t("loading") });
    try {
      const { items = [] } = await call("GET", `/storage/v1/b/${encodeURIComponent(bucket)}/o`, { query: { maxResults: 1 } });
      setTold({ kind: "good", text: t(items.length ? "buckets.check.good" : "buckets.check.empty") });
    } catch (error) {
      setTold({ kind: "wrong", text: error.message || t("error.gone") });
    }
  };
  return html`<div class="row">
    ${told && html`<span class=${`badge ${told.kind || ""}`} role="status">${told.text}</span>`}
    <button type="button" onClick=${check}>${t("buckets.check")}</button></div>`;
}

function CreateBucket({ done, close }) {
  const [name, setName] = useState("");
  const wrong = name && !/^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/.test(name) ? t("buckets.name.hint") : "";
  const submit = async () => {
    await call("POST", "/storage/v1/b", { body: { name } });
    done();
  };
  return html`<${Dialog} title=${t("buckets.create")} action=${t("action.create")} disabled=${!name || wrong}
    submit=${submit} close=${close}>
    <p class="soft">${t("buckets.create.about")}</p>
    <${Field} label=${t("buckets.name")} hint=${t("buckets.name.hint")} wrong=${wrong} value=${name}
      onInput=${(event) => setName(event.target.value)} />
  <//>`;
}

function Bucket({ bucket, prefix }) {
  const route = `/storage/v1/b/${encodeURIComponent(bucket)}`;
  const about = useAnswer((signal) => call("GET", route, { signal }), [bucket]);
  const objects = useObjects(route, prefix);
  const writable = (about.value?.fileroom?.allow || []).includes("write");
  const upload = useUpload(bucket, prefix, objects.again);
  const parts = prefix.split("/").filter(Boolean);
  const open = (to) => setQuery({ prefix: to });
  return html`<main>
    <${Heading} title=${`gs://${bucket}`} crumbs=${[[t("nav.buckets"), "/buckets"], [bucket]]}>
      ${writable && html`<label class="button primary">${t("buckets.upload")}
        <input class="visually-hidden" type="file" multiple
          onChange=${(event) => upload.take([...event.target.files].map((file) => ({ file, name: file.name })))} /></label>`}
    <//>
    <${ErrorNotice} error=${about.error || objects.error} again=${objects.again} />
    ${parts.length > 0 && html`<nav class="row" aria-label=${t("buckets.directory")}>
      <button type="button" class="link" onClick=${() => open("")}>gs://${bucket}</button>
      ${parts.map((part, index) => html`<span aria-hidden="true">/</span><button type="button" class="link"
        onClick=${() => open(`${parts.slice(0, index + 1).join("/")}/`)}>${part}</button>`)}
    </nav>`}
    ${writable && html`<${Drop} upload=${upload} />`}
    <${Objects} bucket=${bucket} prefix=${prefix} objects=${objects} open=${open} writable=${writable} />
  </main>`;
}

// One level of a bucket, page by page.
function useObjects(route, prefix) {
  const [pages, setPages] = useState({ items: [], prefixes: [] });
  const [round, setRound] = useState(0);
  const read = async (pageToken, before, signal) => {
    try {
      const query = { prefix, delimiter: "/", maxResults: 200, pageToken };
      const answer = await call("GET", `${route}/o`, { query, signal });
      setPages({
        items: [...before.items, ...(answer.items || [])],
        prefixes: [...before.prefixes, ...(answer.prefixes || [])],
        next: answer.nextPageToken,
        ready: true,
      });
    } catch (error) {
      if (error.name !== "AbortError") setPages({ ...before, error });
    }
  };
  useEffect(() => {
    const abort = new AbortController();
    read("", { items: [], prefixes: [] }, abort.signal);
    return () => abort.abort();
  }, [route, prefix, round]);
  return { ...pages, more: () => read(pages.next, pages), again: () => setRound((count) => count + 1) };
}

function Objects({ bucket, prefix, objects, open, writable }) {
  if (!objects.ready) return objects.error ? null : html`<${Loading} />`;
  const found = objects.items.filter((each) => each.name !== prefix);
  if (!found.length && !objects.prefixes.length) {
    return html`<div class="panel"><${Empty} title=${t("buckets.nothing")}>
      ${t(writable ? "buckets.nothing.next" : "buckets.nothing.read")}<//></div>`;
  }
  const route = `/storage/v1/b/${encodeURIComponent(bucket)}/o`;
  return html`<div class="panel"><div class="scroller"><table>
    <thead><tr><th scope="col">${t("buckets.object")}</th><th scope="col" class="number">${t("buckets.size")}</th>
      <th scope="col">${t("buckets.changed")}</th></tr></thead>
    <tbody>
      ${objects.prefixes.map((each) => html`<tr key=${each}><td colspan="3">
        <button type="button" class="link" onClick=${() => open(each)}>${each.slice(prefix.length)}</button></td></tr>`)}
      ${found.map((each) => html`<tr key=${each.name}>
        <td><button type="button" class="link" onClick=${() => download(
          `${route}/${encodeURIComponent(each.name)}?alt=media`, each.name.split("/").pop())}>
          ${each.name.slice(prefix.length)}</button></td>
        <td class="number">${size(each.size)}</td><td>${dateTime(each.updated)}</td></tr>`)}
    </tbody></table></div>
    ${objects.next && html`<div class="tail"><span class="small soft">${number(found.length)}</span>
      <button type="button" onClick=${objects.more}>${t("list.more")}</button></div>`}
  </div>`;
}

// Send files one after another; what fails is told, the others go on.
function useUpload(bucket, prefix, done) {
  const [state, setState] = useState({ sent: 0, total: 0, failures: [] });
  const take = async (files) => {
    setState({ sent: 0, total: files.length, failures: [] });
    for (const { file, name } of files) {
      const route = `/upload/storage/v1/b/${encodeURIComponent(bucket)}/o`;
      let failure;
      try {
        await request("POST", route, {
          query: { uploadType: "media", name: prefix + name },
          headers: { "Content-Type": file.type || "application/octet-stream" },
          body: file,
        });
      } catch (error) {
        failure = `${name}: ${error.message || t("error.gone")}`;
      }
      setState((before) => ({
        ...before,
        sent: before.sent + 1,
        failures: failure ? [...before.failures, failure].slice(0, 100) : before.failures,
      }));
    }
    done();
  };
  return { ...state, take };
}

function Drop({ upload }) {
  const [over, setOver] = useState(false);
  const drop = async (event) => {
    event.preventDefault();
    setOver(false);
    upload.take(await droppedFiles(event.dataTransfer));
  };
  const hold = (event) => {
    event.preventDefault();
    setOver(true);
  };
  const busy = upload.sent < upload.total;
  return html`<div class=${`drop ${over ? "over" : ""}`} onDragOver=${hold} onDragLeave=${() => setOver(false)} onDrop=${drop}>
    <span>${t("buckets.drop")}</span>
    ${upload.total > 0 && html`<progress max=${upload.total} value=${upload.sent} aria-label=${t("buckets.upload")} />
      <span role="status">${t(busy ? "buckets.sending" : "buckets.sent",
        { sent: number(upload.sent - upload.failures.length), total: number(upload.total) })}</span>`}
    ${upload.failures.length > 0 && html`<ul class="notice wrong plain" role="alert">
      ${upload.failures.map((failure) => html`<li>${failure}</li>`)}</ul>`}
  </div>`;
}

// The files that were dropped, those of directories among them, by their path below what was dropped.
async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const found = [];
  const walk = async (entry, above) => {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      found.push({ file, name: above + entry.name });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return;
      for (const each of some) await walk(each, `${above}${entry.name}/`);
    }
  };
  for (const entry of entries) await walk(entry, "");
  return found;
}
