// What the pages say, in the reader's language: one file each in `texts/`.

import en from "./texts/en.js";
import fr from "./texts/fr.js";

const KEY = "fileroom.language";
const MEASURE_DIGITS = 6;
export const LANGUAGES = { en: "English", fr: "Français" };
const TEXTS = { en, fr };

export const language = chosen();
// As the reader's own region writes numbers and dates, where its language is the chosen one.
const locale = navigator.languages.find((tag) => tag.slice(0, 2) === language) || language;
const plurals = new Intl.PluralRules(language);
const numbers = new Intl.NumberFormat(locale);
const measures = new Intl.NumberFormat(locale, { maximumSignificantDigits: MEASURE_DIGITS });
const dates = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium" });

// Give a text. `{name}` in it stands for a value; a text of several forms is chosen by `count`.
export function t(key, values = {}) {
  let text = TEXTS[language][key] ?? en[key] ?? key;
  if (typeof text === "object") text = text[plurals.select(values.count)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === "number" ? numbers.format(value) : String(value);
  });
}

export function setLanguage(code) {
  localStorage.setItem(KEY, code);
  location.reload();
}

export function number(value) {
  return numbers.format(Number(value || 0));
}

// What was measured or reckoned, however small.
export function measure(value) {
  return measures.format(value);
}

export function dateTime(timestamp) {
  return timestamp ? dates.format(new Date(timestamp)) : "";
}

// 1,536 bytes as `1.5 KiB`, or `1,5 Kio` in French.
export function size(bytes) {
  let value = Number(bytes || 0);
  const units = t("units").split(" ");
  for (const unit of units) {
    if (value < 1024 || unit === units.at(-1)) {
      const digits = unit === units[0] || value >= 100 ? 0 : 1;
      return `${value.toLocaleString(locale, { maximumFractionDigits: digits })} ${unit}`;
    }
    value /= 1024;
  }
  return "";
}

// Seconds as `0:05` or `1:02:03`.
export function clock(seconds) {
  const whole = Math.round(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  return shown.map((part, index) => (index ? String(part).padStart(2, "0") : part)).join(":");
}

function chosen() {
  const wanted = [localStorage.getItem(KEY), ...navigator.languages.map((tag) => tag.slice(0, 2))];
  return wanted.find((code) => code in TEXTS) || "en";
}
