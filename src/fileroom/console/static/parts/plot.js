// A curve over time, in the colours of the theme; what it shows is told in words beside it.

import { language } from "../texts.js";
import { html, useEffect, useRef } from "../vendor/preact.js";

const HEIGHT = 180;
// Seconds between two marks of the axis of time.
const STEPS = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600];
const times = new Intl.DateTimeFormat(language, { timeStyle: "medium", hourCycle: "h23" });
const values = new Intl.NumberFormat(language, { notation: "compact" });

// `data` is [seconds since 1970, value] as two rows; `label` the text for those who do not see it.
export function Plot({ data, label }) {
  const place = useRef();
  const drawn = useRef();
  const latest = useRef(data);
  latest.current = data;
  useEffect(() => keepDrawn(place.current, drawn, latest), []);
  useEffect(() => drawn.current?.setData(data), [data]);
  return html`<div class="plot" role="img" aria-label=${label}>
    <link rel="stylesheet" href="/console/vendor/uplot.css" />
    <div ref=${place}></div>
  </div>`;
}

// Draw it, and draw it anew when its width or the theme changes; gives the way to stop that.
function keepDrawn(place, drawn, latest) {
  let stopped = false;
  let Curve;
  const draw = () => {
    drawn.current?.destroy();
    drawn.current = new Curve(options(place.clientWidth), latest.current, place);
  };
  const resize = new ResizeObserver(() => drawn.current?.setSize({ width: place.clientWidth, height: HEIGHT }));
  const theme = new MutationObserver(draw);
  // Only who sees a plot loads what draws it.
  import("../vendor/uplot.js").then((module) => {
    if (stopped) return;
    Curve = module.default;
    draw();
    resize.observe(place);
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  });
  return () => {
    stopped = true;
    resize.disconnect();
    theme.disconnect();
    drawn.current?.destroy();
    drawn.current = undefined;
  };
}

function options(width) {
  const styles = getComputedStyle(document.documentElement);
  const colour = (name) => styles.getPropertyValue(name).trim();
  const axis = {
    stroke: colour("--ink-soft"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1 },
    font: "12px system-ui, sans-serif",
  };
  return {
    width,
    height: HEIGHT,
    cursor: { show: false },
    legend: { show: false },
    scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(1, (high || 0) * 1.1)] } },
    series: [{}, { stroke: colour("--accent"), fill: colour("--accent-soft"), width: 2, points: { show: false } }],
    axes: [
      { ...axis, size: 30, space: 90, incrs: STEPS, values: inWords((tick) => times.format(new Date(tick * 1000))) },
      { ...axis, size: 56, space: 36, values: inWords((tick) => values.format(tick)) },
    ],
  };
}

function inWords(tell) {
  return (_, ticks) => ticks.map(tell);
}
