"use strict";
(() => {
  const KINDS = ["native", "python", "bytecode", "data"];
  const LISTED = 12;
  const PAGE = 1020; // CSS pixels of an A4 page between margins of 12 mm, less what rounding takes
  const data = JSON.parse(document.getElementById("files").textContent);
  const size = (n) => n < 1e5 ? `${(n / 1e3).toFixed(1)} kB` : `${(n / 1e6).toFixed(2)} MB`;
  const element = (name, text, classes) => {
    const made = document.createElement(name);
    made.textContent = text ?? "";
    made.className = classes ?? "";
    return made;
  };

  // A file, or a folder with what is below it, the largest first. Its kind is the largest below it.
  function node(name, value, path, owner) {
    const here = { name, owner, path: path + name };
    if (Array.isArray(value)) return Object.assign(here, { size: value[0], zipped: value[1], kind: value[2] });
    const above = name.endsWith("/") ? here.path : ""; // a distribution is not a folder of its files
    here.below = Object.entries(value).map(([key, one]) => node(key, one, above, owner ?? key));
    here.below.sort((a, b) => b.size - a.size);
    const kinds = [0, 0, 0, 0];
    for (const leaf of leaves(here)) kinds[leaf.kind] += leaf.size;
    here.kind = kinds.indexOf(Math.max(...kinds));
    here.size = here.below.reduce((sum, one) => sum + one.size, 0);
    here.zipped = here.below.reduce((sum, one) => sum + one.zipped, 0);
    return here;
  }

  const leaves = (one) => one.below ? one.below.flatMap(leaves) : [one];

  // Squarified treemap (Bruls, Huizing and van Wijk, 2000): rows along the shorter side.
  function squarify(nodes, x, y, w, h, place) {
    let rest = nodes.filter((one) => one.size > 0);
    let left = rest.reduce((sum, one) => sum + one.size, 0);
    while (rest.length) {
      const scale = w * h / left, side = Math.min(w, h);
      const worst = (sum, small, large) => Math.max(side * side * large / (sum * sum), sum * sum / (side * side * small));
      let count = 0, sum = 0;
      for (; count < rest.length; count++) {
        const next = sum + rest[count].size * scale;
        if (count && worst(next, rest[count].size * scale, rest[0].size * scale) > worst(sum, rest[count - 1].size * scale, rest[0].size * scale)) break;
        sum = next;
      }
      const thick = sum / side;
      let along = 0;
      for (const one of rest.slice(0, count)) {
        const length = one.size * scale / thick;
        if (w >= h) place(one, x, y + along, thick, length);
        else place(one, x + along, y, length, thick);
        along += length;
        left -= one.size;
      }
      if (w >= h) { x += thick; w -= thick; } else { y += thick; h -= thick; }
      rest = rest.slice(count);
    }
  }

  function explorer(panel) {
    const root = node("", data[panel.dataset.files], "");
    const [crumbs, map, list, found, search] = [".crumbs", ".map", ".list", ".found", "input"].map((one) => panel.querySelector(one));
    let trail = [root];

    const matches = (one) => {
      const wanted = search.value.trim().toLowerCase();
      return !wanted || leaves(one).some((leaf) => `${leaf.owner} ${leaf.path}`.toLowerCase().includes(wanted));
    };

    function tile(one, x, y, w, h, classes, text) {
      const made = element("div", text, classes + (matches(one) ? "" : " dim"));
      const [W, H] = [map.clientWidth, map.clientHeight];
      made.style.cssText = `left:${100 * x / W}%;top:${100 * y / H}%;width:${100 * Math.max(w - 1, .5) / W}%;height:${100 * Math.max(h - 1, .5) / H}%`;
      made.title = `${one.path}\n${size(one.size)}`;
      map.append(made);
      return made;
    }

    function place(one, trace, x, y, w, h) {
      if (w * h < 9) return;
      const nested = one.below && w > 50 && h > 44;
      const fits = w > 44 && h > 15;
      const made = tile(one, x, y, w, h, nested ? "folder" : `leaf k-${KINDS[one.kind]}`, fits ? (w > 120 ? `${one.name}  ${size(one.size)}` : one.name) : "");
      const target = one.below ? [...trace, one] : trace;
      if (target.length > trail.length) made.addEventListener("click", () => open(target.slice(0, trail.length + 1), false));
      if (nested) squarify(one.below, x + 2, y + 17, w - 5, h - 20, (child, ...box) => place(child, target, ...box));
    }

    function draw() {
      map.replaceChildren();
      squarify(trail.at(-1).below, 0, 0, map.clientWidth, map.clientHeight, (one, ...box) => place(one, trail, ...box));
      map.dataset.drawn = map.clientWidth;
    }

    function enter(next, focus) {
      trail = next;
      crumbs.replaceChildren(...trail.map((one, depth) => {
        const last = depth === trail.length - 1;
        const crumb = element(last ? "span" : "button", depth ? one.name : "whole layer");
        if (last) Object.assign(crumb, { tabIndex: -1, ariaCurrent: "location" });
        else crumb.addEventListener("click", () => enter(trail.slice(0, depth + 1), true));
        return crumb;
      }));
      show();
      if (focus) crumbs.lastChild.focus();
    }

    // What holds nothing but a folder is opened with it.
    function open(next, focus = true) {
      const below = next.at(-1).below;
      if (below.length === 1 && below[0].below) open([...next, below[0]], focus);
      else enter(next, focus);
    }

    function show() {
      const here = trail.at(-1), searching = search.value.trim() !== "";
      const rows = searching ? leaves(here).filter(matches).sort((a, b) => b.size - a.size) : here.below;
      const total = rows.reduce((sum, one) => sum + one.size, 0);
      const what = searching ? (rows.length === 1 ? "file found" : "files found") : (rows.length === 1 ? "entry" : "entries");
      found.textContent = `${rows.length.toLocaleString("en")} ${what}, ${size(total)}${rows.length > LISTED ? `; the ${LISTED} largest are listed` : ""}`;
      list.replaceChildren(...rows.slice(0, LISTED).map((one) => {
        const row = element("li");
        const name = element(one.below ? "button" : "span", searching ? one.path : one.name);
        if (one.below) name.addEventListener("click", () => open([...trail, one]));
        row.append(element("i", "", `k-${KINDS[one.kind]}`), name, element("span", size(one.size)), element("span", `${size(one.zipped)} zip`, "quiet"));
        return row;
      }));
      draw();
    }

    search.addEventListener("input", show);
    panel.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || (event.target === search && search.value)) return;
      if (trail.length > 1) enter(trail.slice(0, -1), true);
    });
    panel.closest(".target").addEventListener("redraw", draw);
    new ResizeObserver(() => { if (map.clientWidth && map.clientWidth !== Number(map.dataset.drawn)) draw(); }).observe(map);
    open(trail, false);
  }

  const themes = ["", "light", "dark"];
  const button = document.getElementById("theme");
  function setTheme(name) {
    if (name) document.documentElement.dataset.theme = name;
    else delete document.documentElement.dataset.theme;
    button.textContent = { "": "Theme: system", light: "Theme: light", dark: "Theme: dark" }[name];
    try { localStorage.setItem("layersmith-theme", name); } catch { /* a file may have no storage */ }
  }
  button.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || "";
    setTheme(themes[(themes.indexOf(now) + 1) % themes.length]);
  });
  try { setTheme(localStorage.getItem("layersmith-theme") || ""); } catch { /* the same */ }

  const picker = document.getElementById("target");
  const sections = [...document.querySelectorAll("section.target")];
  const explored = new Set();
  function explore(section) {
    if (explored.has(section)) return;
    explored.add(section);
    explorer(section.querySelector("[data-files]"));
  }
  function show(name, jump) {
    const known = sections.find((one) => one.id === name);
    const chosen = known ?? sections[0];
    for (const one of sections) one.hidden = one !== chosen;
    picker.value = chosen.id;
    explore(chosen);
    if (jump && known) known.scrollIntoView();
  }
  picker.addEventListener("change", () => { location.hash = picker.value; });
  addEventListener("hashchange", () => show(decodeURIComponent(location.hash.slice(1)), true));

  // On paper every target is shown, each shrunk so far that it takes one page.
  const fits = document.querySelectorAll(".fit");
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printing");
    for (const one of sections) {
      one.hidden = false;
      explore(one);
      one.dispatchEvent(new Event("redraw"));
    }
    for (const one of fits) {
      let zoom = 1;
      for (let round = 0; round < 3 && one.getBoundingClientRect().height > PAGE; round++) {
        one.style.zoom = zoom *= PAGE / one.getBoundingClientRect().height;
      }
    }
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    for (const one of fits) one.style.zoom = "";
    show(picker.value, false);
  });

  show(decodeURIComponent(location.hash.slice(1)), Boolean(location.hash));
  document.documentElement.dataset.ready = "yes";
})();
