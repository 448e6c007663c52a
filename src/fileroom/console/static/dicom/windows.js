// Windows: which values are shown from black to white (PS3.3 C.11.2.1.2).

export const CT_PRESETS = [
  { key: "soft", center: 40, width: 400 },
  { key: "lung", center: -600, width: 1500 },
  { key: "bone", center: 500, width: 2000 },
  { key: "brain", center: 40, width: 80 },
];

export function fullRange(least, most) {
  if (!(least <= most)) return { center: 0.5, width: 1, shape: "LINEAR_EXACT" };
  return { center: (least + most) / 2, width: Math.max(most - least, 1e-6), shape: "LINEAR_EXACT" };
}

// Give the shade, 0 to 255, of a value.
export function grey({ center, width, shape = "LINEAR" }, isInverted) {
  const share = { LINEAR: linear, LINEAR_EXACT: exact, SIGMOID: sigmoid }[shape] || linear;
  return (meant) => {
    const shade = Math.round(255 * Math.min(1, Math.max(0, share(meant, center, width))));
    return isInverted ? 255 - shade : shade;
  };
}

function linear(meant, center, width) {
  if (width <= 1) return meant > center - 0.5 ? 1 : 0;
  return (meant - (center - 0.5)) / (width - 1) + 0.5;
}

function exact(meant, center, width) {
  return (meant - center) / width + 0.5;
}

function sigmoid(meant, center, width) {
  return 1 / (1 + Math.exp((-4 * (meant - center)) / width));
}

// The window that shows all that either of two shows.
export function widened(one, other) {
  if (!one) return other;
  const least = Math.min(one.center - one.width / 2, other.center - other.width / 2);
  const most = Math.max(one.center + one.width / 2, other.center + other.width / 2);
  return fullRange(least, most);
}

// A measure of a window as a field holds it.
export function rounded(measure) {
  return Number(measure.toPrecision(6));
}

// The window after a drag of so many pixels: across for the width, down for the center.
export function dragged(window, across, down) {
  const pace = Math.max(window.width, 1e-6) / 256;
  const least = (window.shape || "LINEAR") === "LINEAR" ? 1 : 1e-6;
  return {
    ...window,
    width: tidy(Math.max(least, window.width + across * pace * 2)),
    center: tidy(window.center + down * pace),
  };
}

function tidy(number) {
  return Math.abs(number) >= 10 ? Math.round(number) : Number(number.toPrecision(3));
}
