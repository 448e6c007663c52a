// A button that opens a list of actions, by mouse and by keys.

import { html, useEffect, useRef, useState } from "../vendor/preact.js";

export function Menu({ label, items }) {
  const [open, setOpen] = useState(false);
  const whole = useRef();
  const button = useRef();
  useEffect(() => {
    if (!open) return undefined;
    whole.current.querySelector('[role="menuitem"]').focus();
    const outside = (event) => whole.current.contains(event.target) || setOpen(false);
    addEventListener("pointerdown", outside);
    return () => removeEventListener("pointerdown", outside);
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
    html`<div role="menu">
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
