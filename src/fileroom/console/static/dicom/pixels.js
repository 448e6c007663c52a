// From the samples of a frame to what a canvas shows.

import { numbers, value, values } from "./attributes.js";
import { fullRange, grey } from "./windows.js";

const UNCOMPRESSED = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"];
const MONOCHROME = ["MONOCHROME1", "MONOCHROME2"];

// How the samples of a frame are to be read. `kind` is "grey", "rgb", or "rendered" for what the server draws.
export function describe(instance, frame) {
  const number = (tag, otherwise) => Number(value(instance, tag) ?? otherwise);
  const transform = functional(instance, frame, "00289145") || instance;
  const described = {
    rows: number("00280010", 0),
    columns: number("00280011", 0),
    bits: number("00280100", 0),
    stored: number("00280101", 0),
    high: number("00280102", number("00280101", 1) - 1),
    signed: number("00280103", 0) === 1,
    planar: number("00280006", 0) === 1,
    inverse: value(instance, "00280004") === "MONOCHROME1",
    padding: value(instance, "00280120"),
    slope: Number(value(transform, "00281053") ?? 1) || 1,
    intercept: Number(value(transform, "00281052") ?? 0) || 0,
    unit: value(transform, "00281054") || "",
    aspect: aspectOf(instance, frame),
    windows: windowsOf(functional(instance, frame, "00289132") || instance),
  };
  return { ...described, kind: kindOf(instance, described) };
}

function kindOf(instance, { bits, windows }) {
  const samples = Number(value(instance, "00280002") ?? 1);
  const interpretation = value(instance, "00280004");
  if (samples === 3 && bits === 8 && interpretation === "RGB") {
    return UNCOMPRESSED.includes(value(instance, "00020010")) ? "rgb" : "rendered";
  }
  if (samples !== 1 || !MONOCHROME.includes(interpretation) || ![8, 16, 32].includes(bits)) return "rendered";
  // Tables instead of a slope or of a window are the server's to apply.
  if (instance["00283000"] || (instance["00283010"] && !windows.length)) return "rendered";
  return instance["7FE00008"] || instance["7FE00009"] ? "rendered" : "grey";
}

// An item of the functional groups of a frame: its own, else the one that all frames share.
function functional(instance, frame, tag) {
  const own = values(instance, "52009230")[frame - 1];
  const shared = value(instance, "52009229");
  return value(own, tag) || value(shared, tag);
}

function windowsOf(holder) {
  const widths = numbers(holder, "00281051");
  const explained = values(holder, "00281055");
  const shape = value(holder, "00281056") || "LINEAR";
  return numbers(holder, "00281050")
    .map((center, index) => ({ center, width: widths[index], shape, name: explained[index] || "" }))
    .filter(({ center, width }) => Number.isFinite(center) && width > 0);
}

// How much taller than wide a pixel is.
function aspectOf(instance, frame) {
  const measures = functional(instance, frame, "00289110") || instance;
  for (const [holder, tag] of [[measures, "00280030"], [instance, "00181164"], [instance, "00280034"]]) {
    const [down, across] = numbers(holder, tag);
    if (down > 0 && across > 0) return down / across;
  }
  return 1;
}

// The samples of a frame: of 16 and 32 bits, little endian.
export function samplesOf(buffer, { bits, signed }) {
  if (bits === 8) return new Uint8Array(buffer);
  const whole = buffer.slice(0, buffer.byteLength - (buffer.byteLength % (bits / 8)));
  if (bits === 16) return new Uint16Array(whole);
  return signed ? new Int32Array(whole) : new Uint32Array(whole);
}

// What a sample means: bits beside those that are stored are left out, then it is rescaled.
export function meaning(described) {
  const { bits, stored, high, signed, slope, intercept } = described;
  if (bits === 32) return (sample) => sample * slope + intercept;
  const shift = Math.max(0, high + 1 - stored);
  const mask = 2 ** stored - 1;
  const sign = signed ? 2 ** (stored - 1) : Infinity;
  return (sample) => {
    const kept = (sample >> shift) & mask;
    return (kept >= sign ? kept - mask - 1 : kept) * slope + intercept;
  };
}

// The window that shows all that is in a frame.
export function rangeOf(samples, described) {
  const { padding, slope, intercept, bits } = described;
  const mean = meaning(described);
  const without = padding === undefined ? NaN : padding * slope + intercept;
  const [step, seen] = [Math.max(1, Math.floor(samples.length / 1_000_000)), bits === 32 ? null : new Set()];
  let [least, most] = [Infinity, -Infinity];
  for (let at = 0; at < samples.length; at += step) {
    if (seen?.has(samples[at])) continue;
    seen?.add(samples[at]);
    const meant = mean(samples[at]);
    if (meant === without) continue;
    if (meant < least) least = meant;
    if (meant > most) most = meant;
  }
  return fullRange(least, most);
}

// Draw a frame into the 32-bit pixels of an ImageData.
export function draw(samples, described, window, isInverted, pixels) {
  if (described.kind === "rgb") drawColour(samples, described, isInverted, pixels);
  else drawGrey(samples, described, window, isInverted !== described.inverse, pixels);
}

function drawGrey(samples, described, window, isInverted, pixels) {
  const shade = grey(window, isInverted);
  const mean = meaning(described);
  const opaque = (sample) => 0xff000000 | (shade(mean(sample)) * 0x010101);
  const length = Math.min(pixels.length, samples.length);
  if (described.bits === 32) {
    for (let at = 0; at < length; at += 1) pixels[at] = opaque(samples[at]);
    return;
  }
  const table = tableOf(described, window, isInverted, opaque);
  for (let at = 0; at < length; at += 1) pixels[at] = table[samples[at]];
}

let lastTable = { key: "" };

// The shade of every sample there can be; slices of a series mostly share one table.
function tableOf({ bits, stored, high, signed, slope, intercept }, window, isInverted, opaque) {
  const { center, width, shape } = window;
  const key = [bits, stored, high, signed, slope, intercept, center, width, shape, isInverted].join(" ");
  if (lastTable.key !== key) {
    lastTable = { key, table: Uint32Array.from({ length: 2 ** bits }, (_, sample) => opaque(sample)) };
  }
  return lastTable.table;
}

function drawColour(samples, { planar, rows, columns }, isInverted, pixels) {
  const size = rows * columns;
  const [step, plane] = planar ? [1, size] : [3, 1];
  const flip = isInverted ? 0x00ffffff : 0;
  const length = Math.min(pixels.length, Math.floor(samples.length / 3));
  for (let at = 0; at < length; at += 1) {
    const first = at * step;
    const colour = samples[first] | (samples[first + plane] << 8) | (samples[first + 2 * plane] << 16);
    pixels[at] = 0xff000000 | (colour ^ flip);
  }
}
