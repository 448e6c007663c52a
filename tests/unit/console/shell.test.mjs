// Lines to be copied into a shell.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { command, curl, gcloud, literal, quoted } from "../../../src/fileroom/console/static/shell.js";

const HOSTILE = "it's \"$(id)\" `id`; \\ **\n#";

const words = (line) => execFileSync("sh", ["-c", `printf '%s\\0' ${line}`], { encoding: "utf8" }).split("\0").slice(0, -1);

test("text of any kind is one word of a shell", () => {
  for (const text of ["plain-1.2_3/a", "gs://b/**", "", HOSTILE]) assert.deepEqual(words(quoted(text)), [text]);
  assert.equal(quoted("gs://b/c"), "gs://b/c");
});

test("a command is its words and those flags that have a value", () => {
  const line = gcloud(["datasets", "create", HOSTILE], { project: "p q", location: "l" }, { "time-zone": "" });
  assert.deepEqual(words(line),
    ["gcloud", "healthcare", "datasets", "create", HOSTILE, "--location=l", "--project=p q"]);
});

test("a long command goes on in the next line", () => {
  const line = command(["fileroom", "download", "1".repeat(60)], { to: ".", server: "http://127.0.0.1:8080" });
  assert.deepEqual(line.split(" \\\n"), [`fileroom download ${"1".repeat(60)}`, "  --to=. --server=http://127.0.0.1:8080"]);
});

test("curl is given the address and the body whole", () => {
  globalThis.location = { origin: "http://127.0.0.1:8080" };
  const line = curl("POST", "/v1/it's:import", { uri: HOSTILE });
  assert.deepEqual(words(line).slice(3), ["-H", "Authorization: Bearer ", "-H", "Content-Type: application/json",
    "-d", JSON.stringify({ uri: HOSTILE }), "http://127.0.0.1:8080/v1/it's:import"]);
});

test("Python reads a literal as the text", () => {
  const told = execFileSync("python3", ["-c", `import sys; sys.stdout.buffer.write(${literal(HOSTILE)}.encode())`]);
  assert.equal(told.toString(), HOSTILE);
});
