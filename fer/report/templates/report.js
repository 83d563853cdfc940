// The page's own few lines: theme switch, and starting tablesort and GLightbox.
"use strict";

const root = document.documentElement;
const darkIsAsked = () => matchMedia("(prefers-color-scheme: dark)").matches;

function remember(theme) {
  try { localStorage.setItem("report-theme", theme); } catch { /* storage can be off for local files: the switch still works */ }
}

function remembered() {
  try { return localStorage.getItem("report-theme"); } catch { return null; }
}

if (remembered()) root.dataset.theme = remembered();

function startThemeSwitch() {
  const button = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : darkIsAsked());
  const show = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
  };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    show();
  });
  show();
}

function openForPrint() {
  for (const details of document.querySelectorAll("details.print-open")) details.open = true;
}

document.addEventListener("DOMContentLoaded", () => {
  startThemeSwitch();
  for (const table of document.querySelectorAll("table.sortable")) new Tablesort(table, { descending: true });
  // Without the empty addresses the library would offer to load a video player from the network.
  GLightbox({ selector: ".glightbox", touchNavigation: true, loop: false, zoomable: true, plyr: { css: "", js: "" } });
  addEventListener("beforeprint", openForPrint);
});
