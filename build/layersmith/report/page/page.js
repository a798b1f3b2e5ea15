"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const drawn = new Map();
  const config = { displayModeBar: false, responsive: true, scrollZoom: false };

  // light-dark() is resolved by the browser: a probe element tells what a variable means now.
  const probe = document.createElement("i");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };

  const kindColour = (kind) => ({
    layer: "card", distribution: "tile", root: "tile", "standard library": "other",
  }[kind] || kind);

  function inkOn(kind) {
    if (["python", "bytecode", "data"].includes(kind)) return `on-${kind}`;
    if (kind === "c1") return "on-python";
    return kind === "native" || /^c\d$/.test(kind) ? "on-native" : "text";
  }

  function themedTrace(trace, theme) {
    const copy = structuredClone(trace);
    if (trace.type === "treemap" || trace.type === "icicle") {
      const kinds = trace.customdata.map((row) => row[1]);
      copy.marker = {
        ...copy.marker,
        colors: kinds.map((kind) => theme.of(kindColour(kind))),
        line: { color: theme.of("card"), width: 1 },
      };
      copy.textfont = { size: 12, color: kinds.map((kind) => theme.of(inkOn(kind))) };
      copy.pathbar = { ...copy.pathbar, textfont: { color: theme.of("text"), size: 13 } };
      if (trace.type === "treemap") copy.marker.cornerradius = 3;
    } else if (trace.type === "box") {
      const name = { layer: "native", "no-bytecode": "bytecode", plain: "python", floor: "data" }[trace.meta];
      copy.marker = { color: theme.of(name), size: 6, opacity: 0.75 };
      copy.line = { color: theme.of(name), width: 2 };
    } else {
      copy.marker = { ...copy.marker, color: theme.of(trace.meta), size: trace.type === "scatter" ? 8 : undefined };
      if (trace.type === "scatter") copy.line = { color: theme.of(trace.meta), width: 2 };
    }
    return copy;
  }

  function themedLayout(layout, theme) {
    const copy = structuredClone(layout);
    copy.font = { color: theme.of("text"), size: 13, family: getComputedStyle(document.body).fontFamily };
    copy.autosize = true;
    copy.hoverlabel = { bgcolor: theme.of("card"), bordercolor: theme.of("quiet"), font: { color: theme.of("text") } };
    for (const axis of ["xaxis", "yaxis"]) {
      if (!copy[axis]) continue;
      Object.assign(copy[axis], {
        gridcolor: theme.of("line"), linecolor: theme.of("line"), zeroline: false, fixedrange: true,
        tickfont: { color: theme.of("quiet") },
      });
    }
    for (const shape of copy.shapes || []) shape.line = { ...shape.line, color: theme.of("bad"), width: 1.5 };
    for (const note of copy.annotations || []) note.font = { color: theme.of("bad"), size: 12 };
    return copy;
  }

  function currentTheme() {
    const cache = new Map();
    const of = (name) => {
      if (!cache.has(name)) cache.set(name, colour(name));
      return cache.get(name);
    };
    return { of };
  }

  function narrow(layout, traces) {
    if (!layout.xaxis) {
      layout.height = Math.min(layout.height, 420);
      return;
    }
    layout.font.size = 11;
    layout.xaxis.nticks = 4;
    if (traces > 1 && layout.legend) {
      layout.legend = { orientation: "h", y: -0.2, yanchor: "top" };
      layout.height += 20 * traces;
      layout.margin.b = 20 + 20 * traces;
    }
  }

  function draw(holder) {
    const name = holder.dataset.figure;
    const figure = figures[name];
    const theme = currentTheme();
    const data = figure.data.map((trace) => themedTrace(trace, theme));
    const layout = themedLayout(figure.layout, theme);
    if (holder.clientWidth < 480) narrow(layout, data.length);
    const level = drawn.get(holder)?.level;
    if (level !== undefined && data[0].ids) data[0].level = level;
    const first = !drawn.has(holder);
    drawn.set(holder, { level });
    Plotly.react(holder, data, layout, config).then(() => {
      holder.dataset.drawn = "yes";
      if (!first) return;
      for (const event of ["plotly_treemapclick", "plotly_icicleclick"]) {
        holder.on(event, (clicked) => {
          const next = clicked.nextLevel;
          if (next === undefined) return;
          drawn.get(holder).level = next;
          follow(holder, next);
        });
      }
    });
  }

  // The list beside a chart does by keyboard what a click into the chart does.
  function follow(holder, level) {
    const list = document.querySelector(`select[data-zooms="${CSS.escape(holder.dataset.figure)}"]`);
    if (list) list.value = [...list.options].some((one) => one.value === level) ? level : list.options[0].value;
    holder.dataset.level = level;
  }

  for (const list of document.querySelectorAll("select[data-zooms]")) {
    list.addEventListener("change", () => {
      const holder = document.querySelector(`[data-figure="${CSS.escape(list.dataset.zooms)}"]`);
      if (!drawn.has(holder)) draw(holder);
      drawn.get(holder).level = list.value;
      holder.dataset.level = list.value;
      Plotly.restyle(holder, { level: [list.value] });
    });
  }

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting && !drawn.has(entry.target)) draw(entry.target);
    }
  }, { rootMargin: "400px" });
  document.querySelectorAll("[data-figure]").forEach((holder) => seen.observe(holder));

  const redraw = () => { for (const holder of drawn.keys()) if (holder.clientWidth) draw(holder); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  const themes = ["", "light", "dark"];
  const button = document.getElementById("theme");
  const remembered = (() => { try { return localStorage.getItem("layersmith-theme") || ""; } catch { return ""; } })();
  function setTheme(name) {
    if (name) document.documentElement.dataset.theme = name;
    else delete document.documentElement.dataset.theme;
    button.textContent = { "": "Theme: as the system", light: "Theme: light", dark: "Theme: dark" }[name];
    try { localStorage.setItem("layersmith-theme", name); } catch { /* a file may have no storage */ }
    redraw();
  }
  button.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || "";
    setTheme(themes[(themes.indexOf(now) + 1) % themes.length]);
  });
  if (themes.includes(remembered) && remembered) setTheme(remembered);

  const picker = document.getElementById("target");
  const sections = [...document.querySelectorAll("section.target")];
  function show(name, jump) {
    const known = sections.some((one) => one.id === name);
    const chosen = known ? name : sections[0].id;
    for (const one of sections) one.hidden = one.id !== chosen;
    picker.value = chosen;
    for (const holder of drawn.keys()) if (holder.clientWidth) Plotly.Plots.resize(holder);
    if (jump && known) document.getElementById(chosen).scrollIntoView({ behavior: still ? "auto" : "smooth" });
  }
  picker.addEventListener("change", () => { location.hash = picker.value; });
  addEventListener("hashchange", () => show(decodeURIComponent(location.hash.slice(1)), true));
  document.documentElement.dataset.ready = "yes";
  show(decodeURIComponent(location.hash.slice(1)), Boolean(location.hash));
})();
