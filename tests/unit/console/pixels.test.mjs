// Samples and windows.

import assert from "node:assert/strict";
import { test } from "node:test";

import { describe, draw, rangeOf, samplesOf } from "../../../src/fileroom/console/static/dicom/pixels.js";
import { dragged, grey, rounded, widened } from "../../../src/fileroom/console/static/dicom/windows.js";

const CT = { "00280002": [1], "00280004": ["MONOCHROME2"], "00280010": [1], "00280011": [3], "00280100": [16],
  "00280101": [12], "00280102": [11], "00280103": [0], "00281050": [40], "00281051": [400], "00281052": [-1024],
  "00281053": [1] };

function instance(values, more = {}) {
  const told = Object.entries({ ...CT, ...values }).filter(([, value]) => value);
  return { ...Object.fromEntries(told.map(([tag, Value]) => [tag, { Value }])), ...more };
}

function shades(samples, described, window, isInverted = false) {
  const pixels = new Uint32Array(samples.length);
  draw(samples, described, window, isInverted, pixels);
  return [...pixels].map((pixel) => pixel & 0xff);
}

test("samples are rescaled and shown through the window", () => {
  const described = describe(instance({}), 1);
  assert.equal(described.kind, "grey");
  const samples = samplesOf(new Uint16Array([0, 1064, 4095]).buffer, described);
  assert.deepEqual(shades(samples, described, described.windows[0]), [0, 128, 255]);
  assert.deepEqual(shades(samples, described, described.windows[0], true), [255, 127, 0]);
  assert.deepEqual(shades(samples, { ...described, inverse: true }, described.windows[0]), [255, 127, 0]);
});

test("bits beside the stored ones do not count, the highest is the sign", () => {
  const described = describe(instance({ "00280103": [1], "00281052": [0] }), 1);
  const samples = new Uint16Array([0xf7ff, 0x0800, 0x0fff]);
  assert.deepEqual(rangeOf(samples, described), { center: (2047 - 2048) / 2, width: 4095, shape: "LINEAR_EXACT" });
});

test("padding is no part of the full range", () => {
  const described = describe(instance({ "00281052": [0], "00280120": [0] }), 1);
  assert.equal(rangeOf(new Uint16Array([0, 100, 300]), described).width, 200);
});

test("samples of 32 bits are shown too", () => {
  const described = describe(instance({ "00280100": [32], "00280101": [32], "00281052": [0] }), 1);
  const samples = samplesOf(new Uint32Array([0, 3_000_000_000]).buffer, described);
  assert.deepEqual(shades(samples, described, rangeOf(samples, described)), [0, 255]);
});

test("each frame has the slope and window of its own group", () => {
  const own = (slope) => ({ "00289145": { Value: [{ "00281053": { Value: [slope] }, "00281052": { Value: [0] } }] } });
  const enhanced = instance({ "00281050": undefined, "00281051": undefined, "00281053": undefined }, {
    "52009229": { Value: [{ "00289132": { Value: [{ "00281050": { Value: [7] }, "00281051": { Value: [9] } }] } }] },
    "52009230": { Value: [own(2), own(3)] },
  });
  assert.equal(describe(enhanced, 2).slope, 3);
  assert.equal(describe(enhanced, 2).windows[0].center, 7);
});

test("colour is drawn by pixel and by plane; the server draws what else there is", () => {
  const colour = { "00280002": [3], "00280004": ["RGB"], "00280100": [8], "00280101": [8], "00280011": [2],
    "00020010": ["1.2.840.10008.1.2.1"] };
  const red = (planar, bytes) => {
    const described = describe(instance({ ...colour, "00280006": [planar] }), 1);
    assert.equal(described.kind, "rgb");
    const pixels = new Uint32Array(2);
    draw(new Uint8Array(bytes), described, undefined, false, pixels);
    return [...new Uint8Array(pixels.buffer)];
  };
  assert.deepEqual(red(0, [1, 2, 3, 4, 5, 6]), [1, 2, 3, 255, 4, 5, 6, 255]);
  assert.deepEqual(red(1, [1, 4, 2, 5, 3, 6]), [1, 2, 3, 255, 4, 5, 6, 255]);
  for (const other of [{ "00280004": ["YBR_FULL"] }, { "00020010": ["1.2.840.10008.1.2.4.50"] }, { "00280100": [16] }]) {
    assert.equal(describe(instance({ ...colour, ...other }), 1).kind, "rendered");
  }
  assert.equal(describe(instance({ "00280004": ["PALETTE COLOR"] }), 1).kind, "rendered");
  assert.equal(describe(instance({ "00280100": [1] }), 1).kind, "rendered");
});

test("windows have the shapes of the standard", () => {
  assert.equal(grey({ center: 128, width: 256 })(0), 0);
  assert.equal(grey({ center: 128, width: 256 })(255), 255);
  assert.equal(grey({ center: 128, width: 256, shape: "LINEAR_EXACT" })(128), 128);
  assert.equal(grey({ center: 0, width: 10, shape: "SIGMOID" })(0), 128);
  assert.equal(grey({ center: 1, width: 1 })(1), 255);
});

test("a drag never turns a window inside out", () => {
  assert.equal(dragged({ center: 40, width: 400 }, -10_000, 0).width, 1);
  assert.deepEqual(dragged({ center: 40, width: 400 }, 0, 64), { center: 140, width: 400 });
});

test("the range of a series grows by what a frame has beyond it, and never shrinks", () => {
  const first = { center: 50, width: 100, shape: "LINEAR_EXACT" };
  assert.deepEqual(widened(undefined, first), first);
  assert.deepEqual(widened(first, { center: 20, width: 10 }), first);
  assert.deepEqual(widened(first, { center: 150, width: 100 }), { center: 100, width: 200, shape: "LINEAR_EXACT" });
});

test("a measure is told in as many digits as count", () => {
  assert.deepEqual([135.5, 1024500, 0.000123456789].map(rounded), [135.5, 1024500, 0.000123457]);
});
