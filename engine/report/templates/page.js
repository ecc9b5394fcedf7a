"use strict";
(() => {
  const find = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const only = (items, index) => items.forEach((item, at) => { item.hidden = at !== index; });

  const root = document.documentElement;
  const theme = find("#theme");
  const darkScheme = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : darkScheme.matches);
  const showTheme = () => {
    theme.textContent = isDark() ? "Light" : "Dark";
    theme.setAttribute("aria-label", isDark() ? "Change to light colours" : "Change to dark colours");
    theme.setAttribute("aria-pressed", String(isDark()));
  };
  theme.hidden = false;
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; showTheme(); });
  darkScheme.addEventListener("change", showTheme);
  showTheme();

  const split = find("#split");
  if (split) {
    const box = find("#compare");
    const show = () => {
      box.style.setProperty("--split", `${split.value}%`);
      find("#split-text").textContent = `${split.value} %`;
      split.setAttribute("aria-valuetext", `${split.value} % before`);
    };
    const drag = (event) => {
      const { left, width } = box.getBoundingClientRect();
      split.value = String(Math.round((100 * (event.clientX - left)) / width));
      show();
    };
    split.addEventListener("input", show);
    box.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      box.setPointerCapture(event.pointerId);
      drag(event);
    });
    box.addEventListener("pointermove", (event) => { if (box.hasPointerCapture(event.pointerId)) drag(event); });
    show();
  }

  const step = find("#step");
  if (step) {
    const pictures = all("[data-step]");
    const texts = all("[data-step-text]");
    const show = () => {
      const index = Number(step.value);
      only(pictures, index);
      only(texts, index);
      step.setAttribute("aria-valuetext", texts[index].textContent.trim());
    };
    step.addEventListener("input", show);
    show();
  }

  const layer = find("#layer");
  if (layer) {
    const maps = all("[data-layer]");
    const show = () => only(maps, layer.selectedIndex);
    layer.addEventListener("change", show);
    show();
  }
})();
