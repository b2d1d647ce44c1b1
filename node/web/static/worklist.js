// Keys, and what must outlive a refresh of the board: the chosen row and what is open.
"use strict";

let chosen = null;
const open = new Set();

const rows = () => [...document.querySelectorAll("#board tr[data-study]")];

function choose(row) {
  for (const each of rows()) each.classList.toggle("chosen", each === row);
  if (!row) return;
  chosen = row.dataset.study;
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function move(step) {
  const every = rows();
  const at = every.findIndex((row) => row.dataset.study === chosen);
  choose(every[Math.min(every.length - 1, Math.max(0, at + step))]);
}

const follow = (relation) => document.querySelector(`#board a[rel=${relation}]`)?.click();

const keys = {
  j: () => move(1),
  ArrowDown: () => move(1),
  k: () => move(-1),
  ArrowUp: () => move(-1),
  n: () => follow("next"),
  p: () => follow("prev"),
  "/": () => document.querySelector("input[name=text]").focus(),
  Enter: () => document.querySelector("tr.chosen a.patient")?.click(),
  w: () => {
    const details = document.querySelector("tr.chosen details");
    if (details) details.open = !details.open;
  },
};

document.addEventListener("keydown", (event) => {
  const own = event.key === "Enter" ? ", button, summary, a" : "";
  const typing = event.target.closest(`input, select, textarea${own}`);
  if (event.key === "Escape") document.activeElement.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});

document.addEventListener("toggle", (event) => {
  const key = event.target.dataset?.key;
  if (key) event.target.open ? open.add(key) : open.delete(key);
}, true);

document.addEventListener("htmx:afterSettle", () => {
  for (const details of document.querySelectorAll("#board details")) details.open = open.has(details.dataset.key);
  const row = rows().find((each) => each.dataset.study === chosen);
  for (const each of rows()) each.classList.toggle("chosen", each === row);
});

// Not every result can be drawn; a picture that is not there leaves no gap.
document.addEventListener("error", (event) => {
  if (event.target.classList?.contains("thumbnail")) event.target.remove();
}, true);

document.addEventListener("htmx:responseError", (event) => {
  const { status, responseText } = event.detail.xhr;
  if (status === 401) location.reload();
  else alert(JSON.parse(responseText).detail);
});
