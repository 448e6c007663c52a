// A stack of frames to look at: scrolled, windowed, zoomed, moved, and played.

import { value } from "../dicom/attributes.js";
import { describe, draw, rangeOf } from "../dicom/pixels.js";
import { around, createLoader, spread } from "../dicom/stack.js";
import { dragged, widened } from "../dicom/windows.js";
import { useAnswer } from "../loading.js";
import { measure, t } from "../texts.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact.js";
import { ErrorNotice } from "./notice.js";
import { StackTools } from "./stack_tools.js";
import { zoomedAt, useGestures } from "./gestures.js";

const REACH = 18;
const RANGE_FRAMES = 24;
const RANGE_BYTES_MAX = 32 * 1024 * 1024;
const PREFETCH_BYTES_MAX = 128 * 1024 * 1024;
const WHOLE = { zoom: 1, x: 0, y: 0 };

// `read(frame, window, signal)` gives a frame as the loader keeps it.
export function Stack({ frames, at, setAt, read }) {
  const [chosen, setChosen] = useState();
  const [isInverted, setInverted] = useState(false);
  const [mode, setMode] = useState("window");
  const [view, setView] = useState(WHOLE);
  const [play, setPlay] = useState({ isOn: false, rate: rateOf(frames.at(0).instance) });
  const area = useRef();
  const loaded = useFrames(frames, at, chosen, read);
  const { instance, frame } = frames.at(at);
  const described = useMemo(() => describe(instance, frame), [frames, at]);
  const range = useRange(frames, read, described.kind === "grey"
    && (chosen === "full" || !described.windows.length), loaded.frame);
  const window = chosen === "full" ? range : chosen || described.windows[0] || range;
  const go = (to) => setAt(Math.min(frames.length - 1, Math.max(0, to)));
  const size = useSize(area);
  const fit = fitted(size, described);
  const zoom = (factor, point) => setView((before) => zoomedAt(before, factor, point));
  const move = (x, y) => setView((before) => ({ ...before, x: before.x + x, y: before.y + y }));
  const canWindow = described.kind === "grey" || described.windows.length > 0;
  const tools = {
    go, zoom, move, invert: () => setInverted(!isInverted),
    reset: () => {
      setView(WHOLE);
      setChosen(undefined);
      setInverted(false);
    },
    toggle: () => setPlay((before) => ({ ...before, isOn: !before.isOn })),
    drag: (x, y) => canWindow && window && setChosen((before) => dragged(before?.width ? before : window, x, y)),
  };
  usePlay(play, loaded.frame, () => setAt((at + 1) % frames.length), at);
  const pull = mode === "window" && !canWindow ? "pan" : mode;
  useGestures(area, { mode: pull, at, count: frames.length, ...tools });
  return html`<section class="stack viewer" aria-label=${t("viewer.images")}>
    <${StackTools} mode=${pull} setMode=${setMode} described=${described} window=${window} chosen=${chosen}
      setChosen=${setChosen} canWindow=${canWindow} isInverted=${isInverted} play=${play} setPlay=${setPlay}
      count=${frames.length} modality=${value(instance, "00080060")} tools=${tools} />
    <div class=${`viewport ${pull}`} ref=${area} tabindex="0" role="application"
      aria-label=${t("viewer.images")} aria-describedby="viewer-keys">
      <${Picture} frame=${loaded.frame} described=${described} window=${window} isInverted=${isInverted}
        view=${view} fit=${fit} />
      <div class="overlay top left" role="status">${t("viewer.frame", { at: at + 1, total: frames.length })}
        ${!loaded.frame && !loaded.error && html` · ${t("loading")}`}</div>
      <div class="overlay bottom left">${overlayText(described, window)}</div>
      <div class="overlay bottom right">${t("viewer.zoom", { percent: Math.round(100 * fit * view.zoom) })}</div>
    </div>
    <${ErrorNotice} error=${loaded.error} again=${loaded.again} />
    ${frames.length > 1 && html`<input class="slider" type="range" min="1" max=${frames.length} value=${at + 1}
      aria-label=${t("viewer.position")} onInput=${(event) => go(Number(event.target.value) - 1)} />`}
    <p id="viewer-keys" class="small soft">${t("viewer.keys")}</p>
  </section>`;
}

function overlayText(described, window) {
  const measures = `${described.columns} × ${described.rows}`;
  if (!window || described.kind === "rgb") return measures;
  const told = t("viewer.window", { center: measure(window.center), width: measure(window.width) });
  return `${measures} · ${told} ${described.unit}`;
}

// The frame that is shown, once it is there, with its neighbours on their way. A picture that the server
// draws is another one with each window.
function useFrames(frames, at, chosen, read) {
  const [, drawn] = useState(0);
  const latest = useRef();
  const before = useRef(at);
  latest.current = { frames, chosen, read };
  const loader = useMemo(
    () => createLoader(
      (key, signal) => {
        const frame = latest.current.frames.at(parseInt(key, 10));
        return latest.current.read(frame, key.includes(" ") ? latest.current.chosen : undefined, signal);
      },
      () => drawn((count) => count + 1),
    ),
    [frames],
  );
  useEffect(() => () => loader.close(), [loader]);
  const describeAt = (index) => {
    const { instance, frame } = frames.at(index);
    return describe(instance, frame);
  };
  const keyOf = (index) => {
    const isDrawn = chosen?.width && describeAt(index).kind === "rendered";
    return isDrawn ? `${index} ${chosen.center} ${chosen.width}` : String(index);
  };
  useEffect(() => {
    const direction = at < before.current ? -1 : 1;
    before.current = at;
    const { rows, columns, bits } = describeAt(at);
    const reach = Math.min(REACH, Math.floor(PREFETCH_BYTES_MAX / Math.max(1, rows * columns * Math.max(1, bits / 8))));
    loader.want(around(at, frames.length, direction, reach).map(keyOf));
  }, [loader, at, chosen]);
  const key = keyOf(at);
  return { frame: loader.get(key), error: loader.failure(key), again: loader.again };
}

// All that is in the frames of the series, from some of them and those that were shown, so that the same value
// keeps its shade from one to the next. Until they are read, and if they cannot be, all that is in this one.
function useRange(frames, read, isWanted, frame) {
  const latest = useRef();
  latest.current = read;
  const found = useAnswer((signal) => rangeOfSome(isWanted ? frames : [], latest.current, signal), [frames, isWanted]);
  const seen = useRef({});
  if (seen.current.of !== frames) seen.current = { of: frames };
  return useMemo(() => {
    if (frame?.described.kind !== "grey") return undefined;
    const own = rangeOf(frame.samples, frame.described);
    if (!isWanted || found.loading) return own;
    seen.current.range = widened(seen.current.range || found.value, own);
    return seen.current.range;
  }, [frame, isWanted, found.loading, found.value]);
}

async function rangeOfSome(frames, read, signal) {
  let range;
  let bytes = 0;
  try {
    for (const index of spread(frames.length, RANGE_FRAMES)) {
      const frame = await read(frames.at(index), undefined, signal);
      frame.close?.();
      if (frame.described.kind !== "grey") return undefined;
      range = widened(range, rangeOf(frame.samples, frame.described));
      bytes += frame.bytes;
      if (bytes > RANGE_BYTES_MAX) break;
    }
  } catch {
    // The frame that is shown tells of an error.
  }
  return range;
}

function Picture({ frame, described, window, isInverted, view, fit }) {
  const canvas = useRef();
  useLayoutEffect(() => {
    if (!frame) return;
    paint(canvas.current, frame, window, isInverted);
    canvas.current.style.filter = frame.described.kind === "rendered" && isInverted ? "invert(1)" : "none";
  }, [frame, window?.center, window?.width, window?.shape, isInverted]);
  const { rows, columns, aspect } = described;
  return html`<canvas ref=${canvas} style=${{
    width: `${columns * fit}px`,
    height: `${rows * aspect * fit}px`,
    transform: `translate(-50%, -50%) translate(${view.x}px, ${view.y}px) scale(${view.zoom})`,
    imageRendering: fit * view.zoom > 2 ? "pixelated" : "auto",
  }}></canvas>`;
}

function paint(canvas, frame, window, isInverted) {
  const { rows, columns, kind } = frame.described;
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  if (kind === "rendered") {
    context.drawImage(frame.picture, 0, 0, columns, rows);
    return;
  }
  if (kind === "grey" && !window) return;
  const image = context.createImageData(columns, rows);
  draw(frame.samples, frame.described, window, isInverted, new Uint32Array(image.data.buffer));
  context.putImageData(image, 0, 0);
}

function useSize(area) {
  const [size, setSize] = useState({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => setSize(entry.contentRect));
    observer.observe(area.current);
    return () => observer.disconnect();
  }, []);
  return size;
}

// How many pixels of the screen one of the frame takes when all of it is shown.
function fitted({ width, height }, { rows, columns, aspect }) {
  return Math.min(width / columns, height / (rows * aspect)) || 0;
}

// How fast a series asks to be played, in frames a second.
function rateOf(instance) {
  const asked = [value(instance, "00082144"), value(instance, "00180040"), 1000 / Number(value(instance, "00181063"))];
  const rate = Math.round(asked.map(Number).find((each) => each > 0 && Number.isFinite(each)) || 10);
  return Math.min(60, Math.max(1, rate));
}

// The next frame when its time has come, but not before this one was there.
function usePlay({ isOn, rate }, frame, next, at) {
  const latest = useRef();
  latest.current = next;
  const isThere = Boolean(frame);
  useEffect(() => {
    if (!isOn || !isThere) return undefined;
    const timer = setTimeout(() => latest.current(), 1000 / rate);
    return () => clearTimeout(timer);
  }, [isOn, rate, isThere, at]);
}
