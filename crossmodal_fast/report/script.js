"use strict";
(() => {
  const root = document.documentElement;
  const list = document.getElementById("queries");
  const filters = document.getElementById("filters");
  const status = document.getElementById("status");
  const media = JSON.parse(document.getElementById("media").textContent);
  for (const part of document.querySelectorAll("[data-media]")) part.src = media[part.dataset.media];

  const queries = [...document.querySelectorAll(".query")];
  const told = (query) => [...query.querySelectorAll("h2, .text")].map((part) => part.textContent).join("\n");
  const words = new Map(queries.map((query) => [query, told(query).toLowerCase()]));
  const row = (query) => Number(query.dataset.row);
  const score = (query) => Number(query.dataset.score);
  const orders = {
    row: (a, b) => row(a) - row(b),
    low: (a, b) => score(a) - score(b) || row(a) - row(b),
    high: (a, b) => score(b) - score(a) || row(a) - row(b),
  };

  let sorted = "row";

  function apply() {
    const sought = filters.search.value.trim().toLowerCase();
    let shown = 0;
    for (const query of queries) {
      query.hidden =
        !words.get(query).includes(sought) || (filters.misses.checked && query.dataset.verdict !== "miss");
      shown += !query.hidden;
    }
    if (sorted !== filters.sort.value) {  // a sound that plays stops when its query is moved
      sorted = filters.sort.value;
      list.append(...[...queries].sort(orders[sorted]));
    }
    status.textContent = `${shown} of ${queries.length} queries on this page`;
  }

  /* The state of the filters is kept in the address, so that a link leads back to what was seen. */
  function remember() {
    const state = new URLSearchParams();
    if (filters.search.value) state.set("search", filters.search.value);
    if (filters.misses.checked) state.set("misses", "1");
    if (filters.sort.value !== "row") state.set("sort", filters.sort.value);
    history.replaceState(null, "", `#${state}`);
  }

  function recall() {
    const state = new URLSearchParams(location.hash.slice(1));
    filters.search.value = state.get("search") || "";
    filters.misses.checked = state.has("misses");
    filters.sort.value = Object.hasOwn(orders, state.get("sort")) ? state.get("sort") : "row";
    apply();
  }

  function move(step) {
    const shown = [...list.children].filter((query) => !query.hidden);
    const now = shown.indexOf(document.activeElement.closest(".query"));
    const next = now < 0 ? 0 : Math.min(Math.max(now + step, 0), shown.length - 1);
    if (shown.length) shown[next].focus();
  }

  function play() {
    const query = document.activeElement.closest(".query");
    const sound = query && query.querySelector("audio");
    if (sound && sound.paused) sound.play();
    else if (sound) sound.pause();
  }

  function turn() {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  }

  function misses() {
    if (filters.misses.closest("[hidden]")) return;
    filters.misses.checked = !filters.misses.checked;
    apply();
    remember();
  }

  const keys = {
    j: () => move(1), k: () => move(-1), p: play, m: misses, d: turn, "/": () => filters.search.focus(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target === filters.search) filters.search.blur();
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    if (Object.hasOwn(keys, event.key)) {
      event.preventDefault();
      keys[event.key]();
    }
  });
  document.addEventListener("play", (event) => {
    for (const other of document.querySelectorAll("audio")) if (other !== event.target) other.pause();
  }, true);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("input", () => { apply(); remember(); });
  document.getElementById("theme").addEventListener("click", turn);
  recall();
  root.dataset.ready = "1";
})();
