// Light or dark: as the system has it, until the reader chooses.

const KEY = "fileroom.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

export function theme() {
  return localStorage.getItem(KEY) || (dark.matches ? "dark" : "light");
}

export function applyTheme() {
  document.documentElement.dataset.theme = theme();
}

export function toggleTheme() {
  localStorage.setItem(KEY, theme() === "dark" ? "light" : "dark");
  applyTheme();
}

dark.addEventListener("change", applyTheme);
