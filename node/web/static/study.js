// The slice that is shown, with what was found laid over it.
"use strict";

const viewer = document.getElementById("viewer");

if (viewer) {
  const { there, slices } = viewer.dataset;
  const [slider, opacity, shown, choice] = ["slice", "opacity", "number", "window"].map((id) => document.getElementById(id));
  const boxes = [...document.querySelectorAll("input[data-segment]")];

  // What arrives late for a slice that is no longer shown is dropped, so that image and overlay never part.
  let wanted = 0;
  const load = (address) => new Promise((resolve) => {
    const image = new Image();
    image.onload = () => resolve(address);
    image.onerror = () => resolve("");
    image.src = address;
  });

  async function show() {
    const turn = ++wanted;
    const number = slider.value;
    const hidden = boxes.filter((box) => !box.checked).map((box) => box.dataset.segment).join(",");
    const layers = [...viewer.querySelectorAll("img")];
    const addresses = layers.map(({ dataset: { kind } }) =>
      kind ? `${there}/slices/${number}/${kind}.png${kind === "segments" && hidden ? `?hidden=${hidden}` : ""}`
        : `${there}/slices/${number}.png${choice ? `?window=${choice.value}` : ""}`);
    const loaded = await Promise.all(addresses.map(load));
    if (turn !== wanted) return;
    layers.forEach((layer, index) => { layer.hidden = !loaded[index]; layer.src = loaded[index]; });
    shown.textContent = `${Number(number) + 1} / ${slices}`;
    viewer.dataset.shown = number;
  }

  slider.addEventListener("input", show);
  choice?.addEventListener("change", show);
  boxes.forEach((box) => box.addEventListener("change", show));
  opacity.addEventListener("input", () => {
    for (const layer of viewer.querySelectorAll(".over")) layer.style.opacity = opacity.value / 100;
  });
  for (const key of document.querySelectorAll("[data-slice]")) {
    key.addEventListener("click", () => { slider.value = key.dataset.slice; show(); });
  }
  viewer.addEventListener("wheel", (event) => {
    event.preventDefault();
    slider.value = Number(slider.value) + Math.sign(event.deltaY);
    show();
  }, { passive: false });
  show();
}
