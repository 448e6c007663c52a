// Pages by path: `/console/…` and the names of the API after it.

import { html, useEffect, useState } from "./vendor/preact.js";

export const ROOT = "/console";

export function navigate(path) {
  history.pushState(null, "", ROOT + path);
  dispatchEvent(new PopStateEvent("popstate"));
  scrollTo(0, 0);
}

// Go on within a page to what its address does not name, for it may name a patient: back and forward find it.
export function step(state) {
  history.pushState(state, "", location.href);
  dispatchEvent(new PopStateEvent("popstate"));
  scrollTo(0, 0);
}

// The path after `/console`, the query, and what was stepped to; the component is drawn anew when they change.
export function useLocation() {
  const [, drawn] = useState(0);
  useEffect(() => {
    const draw = () => drawn((count) => count + 1);
    addEventListener("popstate", draw);
    return () => removeEventListener("popstate", draw);
  }, []);
  const path = location.pathname.slice(ROOT.length).replace(/\/$/, "") || "/";
  return { path, query: new URLSearchParams(location.search), state: history.state || {} };
}

// Put parameters into the address without a new page, so that a view can be shared and reloaded.
export function setQuery(values) {
  history.replaceState(history.state, "", addressWith(values));
  dispatchEvent(new PopStateEvent("popstate"));
}

// The same for what the reader can go back from.
export function turnTo(values) {
  history.pushState(history.state, "", addressWith(values));
  dispatchEvent(new PopStateEvent("popstate"));
}

function addressWith(values) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString();
  return location.pathname + (text ? `?${text}` : "");
}

// `template` such as `/projects/:project`: the values of its variables, or null. A path that is not UTF-8 is
// that of no page.
export function match(template, path) {
  const wanted = template.split("/");
  const given = segmentsOf(path);
  if (wanted.length !== given.length) return null;
  const found = {};
  for (const [index, part] of wanted.entries()) {
    if (part.startsWith(":")) found[part.slice(1)] = given[index];
    else if (part !== given[index]) return null;
  }
  return found;
}

function segmentsOf(path) {
  try {
    return path.split("/").map(decodeURIComponent);
  } catch {
    return [];
  }
}

export function Link({ to, children, ...rest }) {
  const follow = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    navigate(to);
  };
  return html`<a href=${ROOT + to} onClick=${follow} ...${rest}>${children}</a>`;
}
