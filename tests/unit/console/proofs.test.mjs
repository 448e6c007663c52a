// What proves who somebody is: the assertion that a key file signs, and the way back from a provider.

import assert from "node:assert/strict";
import { generateKeyPairSync, createPublicKey, verify } from "node:crypto";
import { test } from "node:test";

const held = new Map();
globalThis.sessionStorage = {
  getItem: (name) => held.get(name) ?? null,
  setItem: (name, value) => held.set(name, value),
  removeItem: (name) => held.delete(name),
};
globalThis.location = { origin: "http://127.0.0.1:8080", pathname: "/console/x", search: "?a=b", assign() {} };
const { assertionOf, goToProvider, keyFileOf, tokenOfReturn } = await import(
  "../../../src/fileroom/console/static/proofs.js");

const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const FILE = {
  type: "service_account",
  private_key_id: "k1",
  private_key: privateKey.export({ type: "pkcs8", format: "pem" }),
  client_email: "importer@p.iam.gserviceaccount.com",
  token_uri: "http://127.0.0.1:8080/token",
};

const read = (segment) => JSON.parse(Buffer.from(segment, "base64url"));

test("an assertion is what the account of the file signs, for an hour", async () => {
  const assertion = await assertionOf(FILE, 1000);
  const [header, claims, signature] = assertion.split(".");
  assert.deepEqual(read(header), { alg: "RS256", typ: "JWT", kid: "k1" });
  assert.deepEqual(read(claims), { iss: FILE.client_email, aud: FILE.token_uri, iat: 1000, exp: 4600 });
  const signed = Buffer.from(`${header}.${claims}`);
  const key = createPublicKey(publicKey.export({ type: "spki", format: "pem" }));
  assert.ok(verify("RSA-SHA256", signed, key, Buffer.from(signature, "base64url")));
});

test("what is no key file is told from one", () => {
  assert.deepEqual(keyFileOf(JSON.stringify(FILE)), FILE);
  for (const text of ["", "{", "3", "null", "{}", '{"type": "authorized_user"}']) {
    assert.equal(keyFileOf(text), undefined);
  }
});

test("a way back counts once, with the state that was drawn for it", async () => {
  const asked = [];
  globalThis.fetch = async (path, { body }) => {
    asked.push([path, Object.fromEntries(body)]);
    return { ok: true, json: async () => ({ access_token: "token" }) };
  };
  let went;
  globalThis.location.assign = (url) => { went = new URL(url, location.origin); };
  await goToProvider("https://login.example.org");
  assert.equal(went.pathname, "/sign-in");
  const state = went.searchParams.get("state");
  const back = new URLSearchParams({ code: "c", state });
  assert.deepEqual(await tokenOfReturn(back), { token: "token", from: "/console/x?a=b" });
  assert.equal(asked[0][1].issuer, "https://login.example.org");
  await assert.rejects(tokenOfReturn(back), "it counts once");
  await goToProvider("https://login.example.org");
  await assert.rejects(tokenOfReturn(new URLSearchParams({ code: "c", state: "made-up" })));
  assert.equal(asked.length, 1);
});
