// The public REST API, as the pages ask it.

import { signOut, token } from "./session.js";

export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

// Give the response of one request; an ApiError if it is no success, or there is no server.
export async function request(verb, path, { query, body, accept, headers, signal } = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query || {})) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") url.searchParams.append(name, one);
    }
  }
  const sent = new Headers(headers);
  const asked = token();
  if (asked) sent.set("Authorization", `Bearer ${asked}`);
  if (accept) sent.set("Accept", accept);
  let content = body;
  if (body && Object.getPrototypeOf(body) === Object.prototype) {
    sent.set("Content-Type", "application/json");
    content = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(url, { method: verb, headers: sent, body: content, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "UNAVAILABLE", "");
  }
  if (response.ok) return response;
  // A late answer to who has signed out says nothing of who has signed in since.
  if (response.status === 401 && asked === token()) signOut();
  throw await toError(response);
}

// Read a response as `json`, `blob` or `arrayBuffer`; one that breaks off is an ApiError too.
export async function bodyOf(response, kind) {
  try {
    return await response[kind]();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (error instanceof SyntaxError) throw new ApiError(response.status, "UNREADABLE", "");
    throw new ApiError(0, "UNAVAILABLE", "");
  }
}

// Give the JSON of an answer; undefined where it has no body.
export async function call(verb, path, options) {
  const response = await request(verb, path, options);
  return response.status === 204 ? undefined : bodyOf(response, "json");
}

// Give one page of a list: its items, and the token of the next page. A list with a `body` is asked by it.
export async function page(path, key, { pageSize = 50, pageToken, query, body, signal } = {}) {
  const answer = body
    ? await call("POST", path, { query, body: { ...body, pageSize, pageToken }, signal })
    : await call("GET", path, { query: { pageSize, pageToken, ...query }, signal });
  return { items: answer[key] || [], next: answer.nextPageToken || "" };
}

// Give an object URL of what the server answers; who takes it revokes it.
export async function objectUrl(path, options) {
  const response = await request("GET", path, options);
  return URL.createObjectURL(await bodyOf(response, "blob"));
}

// Have the browser keep what the server answers as a file.
export async function download(path, fileName, options) {
  const response = await request("GET", path, options);
  keepAs(await bodyOf(response, "blob"), fileName);
}

// Have the browser keep bytes as a file.
export function keepAs(blob, fileName) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function toError(response) {
  let told = {};
  try {
    const answer = await response.json();
    told = (Array.isArray(answer) ? answer[0] : answer).error || {};
  } catch {
    // Something before the server answered in its own words.
  }
  return new ApiError(response.status, told.status || "", told.message || response.statusText);
}
