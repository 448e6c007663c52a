// The buckets of the settings: what is in them, and files brought in by dragging them here.

import { call, request } from "../api.js";
import { useAnswer } from "../loading.js";
import { bucketPath, bucketRoute, bucketUri, uploadRoute } from "../names.js";
import { Dialog } from "../parts/dialog.js";
import { Download } from "../parts/download.js";
import { Field } from "../parts/field.js";
import { Tail, useRows } from "../parts/list.js";
import { Empty, ErrorNotice, errorInWords, Loading } from "../parts/notice.js";
import { Heading } from "../parts/page.js";
import { recentStore } from "../recent.js";
import { Link, step } from "../router.js";
import { dateTime, number, size, t } from "../texts.js";
import { createUploads } from "../uploads.js";
import { html, useEffect, useMemo, useState } from "../vendor/preact.js";
import { ImportDialog } from "./import.js";

// What a page of the console can do with a bucket; `delete` is for programs.
const RIGHTS = ["read", "write"];

export function Buckets({ place, state }) {
  if (place.bucket) return html`<${Bucket} bucket=${place.bucket} prefix=${state.prefix || ""} />`;
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
      : html`<${BucketTable} buckets=${buckets.value} />`}</div>`}
    ${open && html`<${CreateBucket} close=${() => setOpen(false)} done=${() => {
      setOpen(false);
      buckets.again();
    }} />`}
  </main>`;
}

function BucketTable({ buckets }) {
  const hasKinds = buckets.some(({ fileroom }) => fileroom?.kind);
  const rights = ({ fileroom }) => RIGHTS.filter((right) => fileroom?.allow?.includes(right));
  return html`<div class="scroller"><table class="narrowing">
    <thead><tr><th scope="col">${t("bucket")}</th>
      ${hasKinds && html`<th scope="col">${t("buckets.kind")}</th>`}
      <th scope="col">${t("buckets.rights")}</th>
      <th scope="col"><span class="visually-hidden">${t("actions")}</span></th></tr></thead>
    <tbody>${buckets.map((each) => html`<tr key=${each.name}>
      <td class="first"><${Link} to=${bucketPath(each.name)}>${bucketUri(each.name)}<//></td>
      ${hasKinds && html`<td>${kindInWords(each.fileroom?.kind)}</td>`}
      <td>${rights(each).map((right) => t(`buckets.right.${right}`)).join(", ")}</td>
      <td class="last"><${Check} bucket=${each.name} /></td></tr>`)}</tbody></table></div>`;
}

// Where a bucket is; the name of a product stays what it is.
function kindInWords(kind = "") {
  return kind === "directory" ? t("buckets.kind.directory") : kind;
}

// Whether listing and reading work now, in words.
function Check({ bucket }) {
  const [told, setTold] = useState();
  const check = async () => {
    setTold({ text: t("loading") });
    try {
      const { items = [] } = await call("GET", `${bucketRoute(bucket)}/o`, { query: { maxResults: 1 } });
      setTold({ kind: "good", text: t(items.length ? "buckets.check.good" : "buckets.check.empty") });
    } catch (error) {
      setTold({ kind: "wrong", text: errorInWords(error) });
    }
  };
  return html`<div class="row">
    ${told && html`<span class=${`badge ${told.kind || ""}`} role="status">${told.text}</span>`}
    <button type="button" onClick=${check}>${t("buckets.check")}</button></div>`;
}

function CreateBucket({ done, close }) {
  const [name, setName] = useState("");
  const wrong = name && !/^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/.test(name) ? t("buckets.name.wrong") : "";
  const submit = async (signal) => {
    await call("POST", "/storage/v1/b", { body: { name }, signal });
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
  const route = bucketRoute(bucket);
  const uri = bucketUri(bucket);
  const about = useAnswer((signal) => call("GET", route, { signal }), [bucket]);
  const objects = useObjects(route, prefix);
  const { allow = [], upload: takesFiles = true } = about.value?.fileroom || {};
  const writable = allow.includes("write") && takesFiles;
  const upload = useUploads(bucket, objects.again);
  const parts = prefix.split("/").filter(Boolean);
  const open = (to) => step({ prefix: to });
  const take = (files) => upload.take(files.map(({ name, open }) => ({ name: prefix + name, open })));
  const taken = (event) => take([...event.target.files].map((file) => ({ name: file.name, open: () => file })));
  return html`<main>
    <${Heading} title=${uri} crumbs=${[[t("nav.buckets"), "/buckets"], [bucket]]}>
      ${writable && html`<label class="button primary">${t("buckets.upload")}
        <input class="visually-hidden" type="file" multiple onChange=${taken} /></label>`}
    <//>
    <${ErrorNotice} error=${about.error || (!objects.rows && objects.error)} again=${objects.again} />
    ${parts.length > 0 && html`<nav class="row" aria-label=${t("buckets.directory")}>
      <button type="button" class="link" onClick=${() => open("")}>${uri}</button>
      ${parts.map((part, index) => html`<span aria-hidden="true">/</span><button type="button" class="link"
        onClick=${() => open(`${parts.slice(0, index + 1).join("/")}/`)}>${part}</button>`)}
    </nav>`}
    ${writable && html`<${Drop} account=${upload.account} take=${take} bucket=${bucket} />`}
    <${Objects} bucket=${bucket} prefix=${prefix} objects=${objects} open=${open} writable=${writable} />
  </main>`;
}

// One level of a bucket, page by page: directories as { prefix }, and objects but the one that stands for itself.
function useObjects(route, prefix) {
  return useRows(async (pageToken, signal) => {
    const query = { prefix, delimiter: "/", maxResults: 200, pageToken };
    const { items = [], prefixes = [], nextPageToken } = await call("GET", `${route}/o`, { query, signal });
    const directories = prefixes.map((each) => ({ prefix: each }));
    return { items: [...directories, ...items.filter(({ name }) => name !== prefix)], next: nextPageToken };
  }, [route, prefix]);
}

function Objects({ bucket, prefix, objects, open, writable }) {
  if (!objects.rows) return objects.error ? null : html`<${Loading} />`;
  // A page may be empty and not the last.
  if (!objects.rows.length && !objects.hasMore) {
    return html`<div class="panel"><${Empty} title=${t("buckets.nothing")}>
      ${t(writable ? "buckets.nothing.next" : "buckets.nothing.read")}<//></div>`;
  }
  const route = `${bucketRoute(bucket)}/o`;
  const directories = objects.rows.filter((row) => row.prefix);
  const found = objects.rows.filter((row) => !row.prefix);
  return html`<div class="panel"><div class="scroller"><table class="narrowing">
    <thead><tr><th scope="col">${t("buckets.object")}</th><th scope="col" class="number">${t("buckets.size")}</th>
      <th scope="col">${t("buckets.changed")}</th></tr></thead>
    <tbody>
      ${directories.map((row) => html`<tr key=${row.prefix}><td colspan="3"><button type="button" class="link"
        onClick=${() => open(row.prefix)}>${row.prefix.slice(prefix.length)}</button></td></tr>`)}
      ${found.map((row) => html`<tr key=${row.name}>
        <td class="first"><${Download} class="link" path=${`${route}/${encodeURIComponent(row.name)}?alt=media`}
          fileName=${row.name.split("/").pop()}>${row.name.slice(prefix.length)}<//></td>
        <td class="number">${size(row.size)}</td><td class="nowrap">${dateTime(row.updated)}</td></tr>`)}
    </tbody></table></div>
    ${(objects.hasMore || objects.error) && html`<${Tail} pages=${objects} />`}
  </div>`;
}

// What is on its way to a bucket; to leave the page is to send no more.
function useUploads(bucket, done) {
  const [account, setAccount] = useState();
  const uploads = useMemo(() => createUploads((name, file, signal) => request(
    "POST", uploadRoute(bucket), {
      query: { uploadType: "media", name },
      headers: { "Content-Type": file.type || "application/octet-stream" },
      body: file,
      signal,
    },
  ), setAccount), [bucket]);
  useEffect(() => () => uploads.close(), [uploads]);
  return { account, take: (files) => uploads.take(files).then(done) };
}

function Drop({ account, take, bucket }) {
  const [over, setOver] = useState(false);
  const drop = async (event) => {
    event.preventDefault();
    setOver(false);
    take(await droppedFiles(event.dataTransfer));
  };
  const hold = (event) => {
    event.preventDefault();
    setOver(true);
  };
  return html`<div class=${`drop ${over ? "over" : ""}`} onDragOver=${hold} onDragLeave=${() => setOver(false)} onDrop=${drop}>
    <span>${t("buckets.drop")}</span>
    ${account && html`<${Account} ...${account} />`}
    ${account?.sent > 0 && account.sent + account.failed === account.total && html`<${WhatNext} bucket=${bucket} />`}
  </div>`;
}

// Files are brought in to be imported: into the store that was looked at last, or one to be found.
function WhatNext({ bucket }) {
  const [open, setOpen] = useState(false);
  const store = recentStore();
  if (!store) return html`<${Link} to="/">${t("buckets.sent.next")}<//>`;
  return html`<button type="button" onClick=${() => setOpen(true)}>
      ${t("import.title", { store: store.dicomStore })}</button>
    ${open && html`<${ImportDialog} place=${store} from=${bucket} close=${() => setOpen(false)} />`}`;
}

function Account({ total, sent, failed, failures }) {
  const key = sent + failed === total ? "buckets.sent" : "buckets.sending";
  const unlisted = failed - failures.length;
  return html`<progress max=${total} value=${sent + failed} aria-label=${t("buckets.upload")} />
    <span role="status">${t(key, { count: total, sent: number(sent), total: number(total) })}</span>
    ${failed > 0 && html`<ul class="notice wrong plain" role="alert">
      ${failures.map(({ name, error }) => html`<li>${name}: ${errorInWords(error)}</li>`)}
      ${unlisted > 0 && html`<li>${t("buckets.unlisted", { count: unlisted, failed: number(unlisted) })}</li>`}</ul>`}`;
}

// The files that were dropped, those of directories among them, by their path below what was dropped. What
// cannot be read is among them too, and fails once it is opened.
async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const found = [];
  const walk = async (entry, above) => {
    const name = above + entry.name;
    if (entry.isFile) {
      found.push({ name, open: () => new Promise((resolve, reject) => entry.file(resolve, reject)) });
      return;
    }
    try {
      for await (const each of entriesOf(entry)) await walk(each, `${name}/`);
    } catch (error) {
      found.push({ name: `${name}/`, open: () => Promise.reject(error) });
    }
  };
  for (const entry of entries) await walk(entry, "");
  return found;
}

// What is in a directory, which browsers tell a hundred at a time.
async function* entriesOf(directory) {
  const reader = directory.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    yield* some;
  }
}
