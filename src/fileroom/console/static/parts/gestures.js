// What wheel, pointers and keys do in a viewport.

import { useEffect, useRef } from "../vendor/preact.js";

const ZOOM_MIN = 0.1;
const ZOOM_MAX = 40;
const STEP = 1.2;
const PAGE = 10;
const NUDGE_PIXELS = 40;
// So much of a turn of the wheel is one frame: touchpads tell small turns, mice large ones.
const TURN = 40;

// Zoom about a point that is told from the middle of the viewport.
export function zoomedAt(view, factor, point = { x: 0, y: 0 }) {
  const zoom = Math.min(ZOOM_MAX, Math.max(ZOOM_MIN, view.zoom * factor));
  const real = zoom / view.zoom;
  return { zoom, x: point.x + (view.x - point.x) * real, y: point.y + (view.y - point.y) * real };
}

// `actions` has `mode`, `at`, `count`, `go`, `zoom`, `move`, `drag`, `invert`, `reset` and `toggle`.
export function useGestures(area, actions) {
  const latest = useRef();
  latest.current = actions;
  useEffect(() => {
    const element = area.current;
    const stops = [onWheel(element, latest), onPointers(element, latest), onKeys(element, latest)];
    return () => stops.forEach((stop) => stop());
  }, []);
}

function listen(element, handlers, options) {
  for (const [name, handler] of Object.entries(handlers)) element.addEventListener(name, handler, options);
  return () => {
    for (const [name, handler] of Object.entries(handlers)) element.removeEventListener(name, handler, options);
  };
}

function fromMiddle(element, event) {
  const box = element.getBoundingClientRect();
  return { x: event.clientX - box.left - box.width / 2, y: event.clientY - box.top - box.height / 2 };
}

function onWheel(element, latest) {
  let turned = 0;
  const wheel = (event) => {
    event.preventDefault();
    const { at, go, zoom } = latest.current;
    if (event.ctrlKey || event.metaKey) {
      zoom(Math.exp(-event.deltaY / 300), fromMiddle(element, event));
      return;
    }
    turned += event.deltaMode === 1 ? event.deltaY * TURN : event.deltaY;
    const frames = Math.abs(event.deltaY) >= 100 ? Math.sign(turned) : Math.trunc(turned / TURN);
    if (!frames) return;
    turned = 0;
    go(at + frames);
  };
  return listen(element, { wheel }, { passive: false });
}

// One pointer does what the mode says, two pinch; Shift or the middle button moves, Ctrl zooms.
function onPointers(element, latest) {
  const held = new Map();
  const pointerdown = (event) => {
    if (event.button === 2) return;
    event.preventDefault();
    element.focus();
    element.setPointerCapture(event.pointerId);
    held.set(event.pointerId, { x: event.clientX, y: event.clientY, button: event.button });
  };
  const pointermove = (event) => {
    const before = held.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY, button: before.button };
    const others = [...held].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    held.set(event.pointerId, now);
    if (others.length) pinch(element, latest.current, before, now, others[0]);
    else pull(element, latest.current, before, now, event);
  };
  const release = (event) => held.delete(event.pointerId);
  return listen(element, { pointerdown, pointermove, pointerup: release, pointercancel: release });
}

function pinch(element, { zoom, move }, before, now, other) {
  const spread = (place) => Math.max(1, Math.hypot(place.x - other.x, place.y - other.y));
  const middle = { clientX: (now.x + other.x) / 2, clientY: (now.y + other.y) / 2 };
  zoom(spread(now) / spread(before), fromMiddle(element, middle));
  move((now.x - before.x) / 2, (now.y - before.y) / 2);
}

function pull(element, { mode, drag, move, zoom }, before, now, event) {
  const [x, y] = [now.x - before.x, now.y - before.y];
  if (mode === "pan" || event.shiftKey || before.button === 1) move(x, y);
  else if (mode === "zoom" || event.ctrlKey) zoom(Math.exp(-y / 150));
  else drag(x, y);
}

function onKeys(element, latest) {
  const keydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { at, count, go, zoom, move, invert, reset, toggle } = latest.current;
    const nudges = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const turns = {
      ArrowUp: at - 1, ArrowLeft: at - 1, ArrowDown: at + 1, ArrowRight: at + 1,
      PageUp: at - PAGE, PageDown: at + PAGE, Home: 0, End: count - 1,
    };
    const others = {
      "+": () => zoom(STEP), "=": () => zoom(STEP), "-": () => zoom(1 / STEP), 0: reset, i: invert, " ": toggle,
    };
    if (event.shiftKey && nudges[event.key]) move(...nudges[event.key].map((each) => each * NUDGE_PIXELS));
    else if (event.key in turns) go(turns[event.key]);
    else if (others[event.key]) others[event.key]();
    else return;
    event.preventDefault();
  };
  return listen(element, { keydown });
}
