// The archive of a study.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { crc32, createZip } from "../../../src/fileroom/console/static/dicom/zip.js";

test("the check sum is the one of the format", () => {
  assert.equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926);
});

test("Python reads the archive", async () => {
  const zip = createZip(new Date(2024, 0, 2, 3, 4, 6));
  zip.add("1.2/1.dcm", new Uint8Array(1000).fill(7));
  zip.add("1.2/é.dcm", new Uint8Array(0));
  const directory = mkdtempSync(join(tmpdir(), "zip-"));
  const path = join(directory, "a.zip");
  writeFileSync(path, new Uint8Array(await zip.finish().arrayBuffer()));
  const script = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None;"
    + "print([(i.filename, i.file_size, i.date_time) for i in z.infolist()])";
  const told = execFileSync("python3", ["-c", script, path], { encoding: "utf8", env: { ...process.env, PYTHONIOENCODING: "utf8" } });
  rmSync(directory, { recursive: true });
  assert.equal(told.trim(), "[('1.2/1.dcm', 1000, (2024, 1, 2, 3, 4, 6)), ('1.2/é.dcm', 0, (2024, 1, 2, 3, 4, 6))]");
});
