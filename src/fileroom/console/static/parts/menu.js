// A button that opens a list of actions, by mouse and by keys.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact.js";

const GAP_PIXELS = 4;

export function Menu({ label, items }) {
  const [open, setOpen] = useState(false);
  const whole = useRef();
  const button = useRef();
  const list = useRef();
  useLayoutEffect(() => {
    if (open) placeAt(list.current, button.current.getBoundingClientRect());
  }, [open]);
  useEffect(() => {
    if (!open) return undefined;
    list.current.querySelector('[role="menuitem"]').focus({ preventScroll: true });
    return onLeaving(whole.current, () => setOpen(false));
  }, [open]);
  const close = () => {
    setOpen(false);
    button.current.focus();
  };
  const onKeyDown = (event) => {
    const found = [...whole.current.querySelectorAll('[role="menuitem"]')];
    const at = found.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Escape") close();
    else if (event.key === "Tab") setOpen(false);
    else if (to !== undefined && open) {
      event.preventDefault();
      found.at(to % found.length).focus();
    }
  };
  return html`<div class="menu" ref=${whole} onKeyDown=${onKeyDown}>
    <button type="button" ref=${button} aria-haspopup="menu" aria-expanded=${open ? "true" : "false"}
      onClick=${() => setOpen(!open)}>${label} ▾</button>
    ${open &&
    html`<div role="menu" ref=${list}>
      ${items.map(
        (item) => html`<button type="button" role="menuitem" class=${item.danger ? "danger" : ""}
          onClick=${() => {
            close();
            item.act();
          }}>${item.label}</button>`,
      )}
    </div>`}
  </div>`;
}

// Over everything, so that a table that scrolls within itself cuts nothing off: below its button, or above it
// where there is no room below.
function placeAt(list, { top, bottom, right }) {
  const { width, height } = list.getBoundingClientRect();
  const below = bottom + GAP_PIXELS;
  const above = top - GAP_PIXELS - height;
  list.style.left = `${Math.max(GAP_PIXELS, right - width)}px`;
  list.style.top = `${below + height > innerHeight && above > 0 ? above : below}px`;
}

// Call `leave` when something else is pressed, or the button moves from under its list.
function onLeaving(whole, leave) {
  const pressed = (event) => whole.contains(event.target) || leave();
  addEventListener("pointerdown", pressed);
  addEventListener("resize", leave);
  addEventListener("scroll", leave, true);
  return () => {
    removeEventListener("pointerdown", pressed);
    removeEventListener("resize", leave);
    removeEventListener("scroll", leave, true);
  };
}
