// The page's own few lines: theme switch, search over runs, folded parts that a link leads to, tablesort, GLightbox.
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

// Every word typed must stand in a run's heading or its folder's name.
function startSearch() {
  const field = document.getElementById("find"), found = document.getElementById("found");
  const runs = [...document.querySelectorAll("details.run")].map((run) => [run, `${run.id} ${run.querySelector("summary").textContent}`.toLowerCase()]);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    for (const [run, text] of runs) run.hidden = !words.every((word) => text.includes(word));
    const shown = runs.filter(([run]) => !run.hidden).length;
    found.textContent = words.length ? `${shown} of ${runs.length} runs` : `${runs.length} runs`;
  });
}

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) { target.hidden = false; target.open = true; target.scrollIntoView(); }
}

document.addEventListener("DOMContentLoaded", () => {
  startThemeSwitch();
  startSearch();
  openTarget();
  addEventListener("hashchange", openTarget);
  for (const table of document.querySelectorAll("table.sortable")) new Tablesort(table, { descending: true });
  // Without the empty addresses the library would offer to load a video player from the network.
  GLightbox({ selector: ".glightbox", touchNavigation: true, loop: false, zoomable: true, plyr: { css: "", js: "" } });
});
