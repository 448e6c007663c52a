// What becomes of answers that come late, or not whole.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError, call } from "../../../src/fileroom/console/static/api.js";
import { signIn, token } from "../../../src/fileroom/console/static/session.js";

const kept = new Map();
globalThis.sessionStorage = {
  getItem: (key) => kept.get(key) ?? null,
  setItem: (key, text) => kept.set(key, text),
  removeItem: (key) => kept.delete(key),
};
globalThis.location = { origin: "http://127.0.0.1:8080" };

const answering = (...response) => {
  globalThis.fetch = async () => new Response(...response);
};

test("a refused token signs out, but not who has signed in since", async () => {
  signIn("old");
  let answer;
  globalThis.fetch = () => new Promise((resolve) => (answer = resolve));
  const late = call("GET", "/v1/projects");
  signIn("new");
  answer(new Response("{}", { status: 401 }));
  await assert.rejects(late, ApiError);
  assert.equal(token(), "new");

  answering("{}", { status: 401 });
  await assert.rejects(call("GET", "/v1/projects"), { status: 401 });
  assert.equal(token(), "");
});

test("an answer that is no JSON, or breaks off, is an error that can be told", async () => {
  answering("<html>");
  await assert.rejects(call("GET", "/"), { name: "Error", code: "UNREADABLE", status: 200 });
  answering(new ReadableStream({ start: (controller) => controller.error(new TypeError("network error")) }));
  await assert.rejects(call("GET", "/"), { code: "UNAVAILABLE", status: 0 });
});
