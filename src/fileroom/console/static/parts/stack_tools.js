// The buttons of a stack: what a drag does, windows, zoom, play.

import { CT_PRESETS, rounded } from "../dicom/windows.js";
import { t } from "../texts.js";
import { html, useState } from "../vendor/preact.js";

const STEP = 1.2;
const RATES = [1, 2, 5, 10, 15, 20, 25, 30, 60];

export function StackTools({
  mode, setMode, described, window, chosen, setChosen, canWindow, isInverted, play, setPlay, count, modality, tools,
}) {
  const pressed = (is) => (is ? "true" : "false");
  const rates = RATES.includes(play.rate) ? RATES : [...RATES, play.rate].sort((one, other) => one - other);
  return html`<div class="tools row" role="toolbar" aria-label=${t("viewer.tools")}>
    <div class="row" role="group" aria-label=${t("viewer.drag")}>${["window", "pan", "zoom"].map((name) => html`<button
      type="button" aria-pressed=${pressed(mode === name)} disabled=${name === "window" && !canWindow}
      onClick=${() => setMode(name)}>${t(`viewer.mode.${name}`)}</button>`)}
    </div>
    ${canWindow && html`<${Windows} described=${described} window=${window} chosen=${chosen} setChosen=${setChosen}
      modality=${modality} />`}
    <div class="row">
      <button type="button" aria-pressed=${pressed(isInverted)} onClick=${tools.invert}>${t("viewer.invert")}</button>
      <button type="button" aria-label=${t("viewer.smaller")} onClick=${() => tools.zoom(1 / STEP)}>−</button>
      <button type="button" aria-label=${t("viewer.larger")} onClick=${() => tools.zoom(STEP)}>+</button>
      <button type="button" onClick=${tools.reset}>${t("viewer.reset")}</button>
    </div>
    ${count > 1 && html`<div class="row">
      <button type="button" aria-pressed=${pressed(play.isOn)} onClick=${tools.toggle}>
        ${play.isOn ? `❚❚ ${t("viewer.pause")}` : `▶ ${t("viewer.play")}`}</button>
      <select class="short" aria-label=${t("viewer.rate")} value=${play.rate}
        onChange=${(event) => setPlay({ ...play, rate: Number(event.target.value) })}>
        ${rates.map((rate) => html`<option value=${rate}>${t("viewer.perSecond", { rate })}</option>`)}
      </select>
    </div>`}
  </div>`;
}

// Named windows, and the two numbers of the one that is shown.
function Windows({ described, window, chosen, setChosen, modality }) {
  const unnamed = described.windows.length > 1 ? "viewer.preset.own" : "viewer.preset.only";
  const own = described.windows.map((each, index) => ({
    ...each, key: `own-${index}`, label: each.name || t(unnamed, { at: index + 1 }),
  }));
  const presets = modality === "CT" && described.kind === "grey"
    ? CT_PRESETS.map((each) => ({ ...each, label: t(`viewer.preset.${each.key}`) })) : [];
  const all = [...own, ...presets];
  const same = (each) => window && each.center === window.center && each.width === window.width;
  const current = chosen === "full" || (!chosen && !own.length) ? "full" : all.find(same)?.key || "";
  const choose = (event) => {
    const { key } = event.target.selectedOptions[0].dataset;
    const found = all.find((each) => each.key === key);
    if (key === "full") setChosen("full");
    else if (found) setChosen({ center: found.center, width: found.width, shape: found.shape });
  };
  const set = (change) => setChosen({ ...window, ...change });
  return html`<div class="row">
    <select class="preset" aria-label=${t("viewer.preset")} onChange=${choose}>
      ${!current && html`<option data-key="" selected>${t("viewer.preset.none")}</option>`}
      ${all.map((each) => html`<option key=${each.key} data-key=${each.key} selected=${each.key === current}>
        ${each.label}</option>`)}
      ${described.kind === "grey" && html`<option data-key="full" selected=${current === "full"}>
        ${t("viewer.preset.full")}</option>`}
    </select>
    <${Measure} label=${t("viewer.center")} measure=${window?.center} set=${(center) => set({ center })} />
    <${Measure} label=${t("viewer.width")} measure=${window?.width} least=${1} set=${(width) => set({ width })} />
  </div>`;
}

function Measure({ label, measure, least, set }) {
  const shown = measure === undefined ? "" : rounded(measure);
  const [typed, setTyped] = useState();
  const apply = (event) => {
    const given = Number(event.target.value);
    if (event.target.value !== "" && Number.isFinite(given) && (least === undefined || given >= least)) set(given);
    setTyped(undefined);
  };
  return html`<label class="measure small">${label} <input type="number" step="any" min=${least} value=${typed ?? shown}
    onInput=${(event) => setTyped(event.target.value)} onChange=${apply} /></label>`;
}
