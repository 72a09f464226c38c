"use strict";
(() => {
  const all = (within, what) => [...within.querySelectorAll(what)];
  const block = document.getElementById("cells");
  const cells = block ? JSON.parse(block.textContent) : null;

  document.getElementById("plain").remove();

  const make = (name, attributes = {}, ...inside) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...inside);
    return element;
  };

  // Sorting: a button in each heading; a third click brings the order of the file back.

  const words = new Intl.Collator("en", { numeric: true });
  const places = new Map();

  const content = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.v === undefined ? cell.textContent.trim() : Number(cell.dataset.v.replace("inf", "Infinity"));
  };

  const compare = (numeric, sign) => (one, other) => {
    const [a, b] = [one.key, other.key];
    const [noA, noB] = numeric ? [typeof a !== "number", typeof b !== "number"] : [a === "", b === ""];
    if (noA || noB) return noA - noB || one.place - other.place;
    return sign * (numeric ? (a > b) - (a < b) : words.compare(a, b)) || one.place - other.place;
  };

  const sort = (table, heading, column) => {
    const next = { none: "ascending", ascending: "descending", descending: "none" };
    const order = next[heading.getAttribute("aria-sort") || "none"];
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    const numeric = "n" in heading.dataset;
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row) => ({ row, place: places.get(row), key: content(row, column) }));
    if (order === "none") keyed.sort((a, b) => a.place - b.place);
    else keyed.sort(compare(numeric, order === "ascending" ? 1 : -1));
    if (order !== "none") heading.setAttribute("aria-sort", order);
    table.toggleAttribute("data-sorted", order !== "none");
    body.append(...keyed.map((entry) => entry.row));
  };

  const sortable = (table) => {
    [...table.tBodies[0].rows].forEach((row, place) => places.set(row, place));
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = make("button", { type: "button", class: "sort" }, ...heading.childNodes);
      button.addEventListener("click", () => sort(table, heading, column));
      heading.append(button);
    });
  };
  all(document, ".scroll:not(.heat) > table").forEach(sortable);

  // Filters: by task and by pruner. What has neither stays.

  const filters = document.querySelector(".filters");
  const boxes = filters ? all(filters, "[name=pruner]") : [];
  const rows = all(document, "tbody > tr[data-p], tbody > tr[data-t]");
  const others = all(document, "section[data-t], figure[data-t], li[data-p], g[data-p], .heat[data-p]");

  const filter = () => {
    const task = filters.elements.task.value;
    const chosen = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const shown = (of) => (!task || of.t === undefined || of.t === task) && (of.p === undefined || chosen.has(of.p));
    for (const one of rows) one.hidden = !shown(one.dataset);
    for (const one of others) one.toggleAttribute("hidden", !shown(one.dataset));
    const left = all(document, "section.task:not([hidden]) > .scroll > table > tbody > tr");
    const count = left.filter((row) => !row.hidden).length;
    const total = all(document, "section.task > .scroll > table > tbody > tr").length;
    filters.querySelector("output").textContent = count === total ? "" : `${count} of ${total} rows shown`;
  };

  if (filters) {
    filters.hidden = false;
    filters.addEventListener("change", filter);
    filters.addEventListener("submit", (event) => event.preventDefault());
    all(filters, "button").forEach((button) =>
      button.addEventListener("click", () => {
        for (const box of boxes) box.checked = button.value === "all";
        filter();
      }),
    );
    // A browser may bring back what was chosen before the page was loaded again.
    filter();
  }

  // Figures: what a point says, under the pointer and by keyboard. One stop a figure; arrows go from point to point.

  const tip = document.getElementById("tip");
  let lit = null;

  const forget = () => {
    tip.hidden = true;
    if (!lit) return;
    lit.classList.remove("on");
    lit.closest("svg").classList.remove("some");
    all(lit.closest("svg"), ".on").forEach((one) => one.classList.remove("on"));
    lit = null;
  };

  const light = (point) => {
    if (lit === point) return;
    forget();
    lit = point;
    const chart = point.closest("svg");
    const number = point.closest("g").dataset.p;
    point.classList.add("on");
    if (number !== undefined) {
      chart.classList.add("some");
      all(chart, `g[data-p="${number}"]`).forEach((one) => one.classList.add("on"));
    }
    tip.textContent = point.getAttribute("aria-label");
    tip.hidden = false;
    const at = point.getBoundingClientRect();
    const size = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, at.x + at.width / 2 - size.width / 2), innerWidth - size.width - 8);
    const above = at.y - size.height - 10;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 4 ? above : at.bottom + 10}px`;
  };

  const visible = (chart) => all(chart, ".pt").filter((point) => !point.closest("[hidden]"));

  const nearest = (chart, x, y) => {
    let found = null;
    let least = 26;
    for (const point of visible(chart)) {
      const at = point.getBoundingClientRect();
      const distance = Math.hypot(at.x + at.width / 2 - x, at.y + at.height / 2 - y);
      if (distance < least) [found, least] = [point, distance];
    }
    return found;
  };

  const step = (chart, point, key) => {
    const lines = all(chart, "g.marks").filter((line) => !line.hasAttribute("hidden") && line.querySelector(".pt"));
    const line = lines.findIndex((one) => one.contains(point));
    const own = all(lines[line], ".pt");
    const place = own.indexOf(point);
    if (key === "ArrowRight") return own[Math.min(place + 1, own.length - 1)];
    if (key === "ArrowLeft") return own[Math.max(place - 1, 0)];
    if (key === "Home") return own[0];
    if (key === "End") return own[own.length - 1];
    const next = lines[line + (key === "ArrowDown" ? 1 : -1)];
    if (!next) return point;
    const there = all(next, ".pt");
    return there[Math.min(place, there.length - 1)];
  };

  const KEYS = ["ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown", "Home", "End"];

  const alive = (chart) => {
    const points = all(chart, ".pt");
    for (const point of points) {
      const title = point.querySelector("title");
      point.setAttribute("aria-label", title.textContent);
      point.setAttribute("tabindex", "-1");
      title.remove();
    }
    if (points.length) points[0].setAttribute("tabindex", "0");
    chart.addEventListener("pointermove", (event) => {
      const point = nearest(chart, event.clientX, event.clientY);
      if (point) light(point);
      else forget();
    });
    chart.addEventListener("pointerleave", forget);
    chart.addEventListener("click", (event) => {
      const point = nearest(chart, event.clientX, event.clientY);
      if (point && point.dataset.r !== undefined) open(point.dataset.r);
    });
    chart.addEventListener("focusin", (event) => event.target.matches(".pt") && light(event.target));
    chart.addEventListener("focusout", forget);
    chart.addEventListener("keydown", (event) => {
      const point = event.target;
      if (!point.matches(".pt")) return;
      if (event.key === "Escape") forget();
      if (event.key === "Enter" && point.dataset.r !== undefined) open(point.dataset.r);
      if (!KEYS.includes(event.key)) return;
      event.preventDefault();
      const next = step(chart, point, event.key);
      for (const one of points) one.setAttribute("tabindex", one === next ? "0" : "-1");
      next.focus();
    });
  };
  all(document, "svg.chart").forEach(alive);
  addEventListener("scroll", forget, { passive: true });

  // Each row's cells, in a dialog.

  const dialog = document.getElementById("cell");

  const facts = (pairs) => make("dl", { class: "facts" }, ...pairs.map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value)),
  ));

  const table = (name, titles, lines, left = 1) => {
    const head = titles.map((title, i) => (title ? make("th", { scope: "col", class: i < left ? "" : "n" }, title) : make("td")));
    const body = lines.map((line) => make("tr", {}, ...line.map((value, i) =>
      i === 0 ? make("th", { scope: "row" }, value) : make("td", { class: i < left ? "" : "n" }, value),
    )));
    const drawn = make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
    return make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": name }, drawn);
  };

  const said = (value) => (value === null || value === undefined ? "–" : String(value));

  const seeds = (row, task) => {
    const metrics = [...new Set([...task.metrics, ...row.cells.flatMap((cell) => Object.keys(cell.metrics))])];
    const own = metrics.filter((name) => row.cells.some((cell) => name in cell.metrics));
    const line = (name, value) => [name, ...row.cells.map((cell) => value(cell))];
    const lines = [
      line("key", (cell) => make("code", { title: cell.key }, cell.key.slice(0, 12))),
      ...own.map((name) => line(name, (cell) => said(cell.metrics[name]))),
      ...cells.numbers.map((name, i) => line(name, (cell) => said(cell.numbers[i]))),
    ];
    return table("Cells by seed", ["", ...row.cells.map((cell) => `seed ${cell.seed}${cell.failure ? " ✗" : ""}`)], lines);
  };

  const layers = (cell) => {
    const shape = cells.layers[cell.layers];
    const lines = shape.map(([name, type, size], i) => {
      const density = size ? cell.kept[i] / size : 1;
      const share = make("i");
      share.style.width = `${100 * density}%`;
      const mark = cell.kept[i] ? "" : " †";
      return [name, type, said(size), said(cell.kept[i]), density.toFixed(4) + mark, make("span", { class: "share" }, share)];
    });
    return table("Layers", ["layer", "type", "weights", "kept", "density", ""], lines, 2);
  };

  const sample = (found) => {
    if (found.problem) return [make("p", { class: "failure" }, found.problem)];
    const head = make("p", { class: "soft" }, `The first ${found.rows.length} of ${found.total}.`);
    return [head, ...found.rows.map((row) => {
      const line = facts(found.header.map((title, i) => [title, said(row[i])]));
      all(line, "dd").forEach((value) => value.setAttribute("dir", "auto"));
      return make("div", { class: "sample" }, line);
    })];
  };

  const copied = async (text, button) => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(button.parentElement.previousElementSibling);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      button.textContent = "Selected";
    }
  };

  const command = (row, cell) => {
    if (row.problem) return [make("p", { class: "failure" }, row.problem)];
    const text = `${row.command} ${cell.seed}`;
    const button = make("button", { type: "button", class: "copy" }, "Copy");
    button.addEventListener("click", () => copied(text, button));
    const data = text.includes("--data DATA") ? [make("p", { class: "soft" }, "DATA stands for the folder with the data sets.")] : [];
    // Words are kept whole where a line ends: a flag that is cut at its hyphens is hard to read.
    const words = text.split(" ").flatMap((word) => [make("span", { class: "word" }, word), " "]).slice(0, -1);
    return [make("pre", { tabindex: "0" }, ...words), make("p", {}, button), ...data];
  };

  const section = (title, ...inside) => [make("h3", {}, title), ...inside];

  const folded = (title, ...inside) => make("details", {}, make("summary", {}, title), ...inside);

  const detail = (row, cell) => {
    const found = [];
    if (cell.failure) found.push(make("p", { class: "failure" }, `Failed: ${cell.failure}`));
    found.push(...section("Command that computes it again", ...command(row, cell)));
    if (cell.samples) for (const one of cell.samples) found.push(...section(`Sample outputs: ${one.kind}`, ...sample(one)));
    if (cell.layers !== undefined) found.push(...section("Layers", layers(cell)));
    const steps = cells.steps[row.steps].map((step) => make("li", {}, make("code", {}, step)));
    const seconds = Object.entries(cell.seconds).map(([kind, value]) => [kind, said(value)]);
    const masks = cell.masks ? [["mask digest", cell.masks]] : [];
    if (cell.latency) found.push(...section("Latency", facts(cell.latency)));
    found.push(folded(`Steps (${steps.length})`, make("ol", {}, ...steps)), folded("Options", facts(cells.facts[row.options])));
    if (seconds.length) found.push(folded("Seconds", facts(seconds)));
    if (cells.facts[cell.notes].length) found.push(folded("Notes", facts(cells.facts[cell.notes])));
    found.push(folded("Provenance", facts([["key", cell.key], ...masks, ...cells.provenance[cell.provenance]])));
    return found;
  };

  const open = (number) => {
    if (!dialog) return;
    const row = cells.rows[number];
    const task = cells.tasks[row.task];
    forget();
    dialog.querySelector("h2").textContent = `${row.name} at ${row.target} · ${task.name}`;
    const place = make("div", { "aria-live": "polite" });
    const show = (index) => place.replaceChildren(...detail(row, row.cells[index]));
    const body = dialog.querySelector(".body");
    body.replaceChildren(seeds(row, task));
    if (row.cells.length > 1) {
      const choice = make("select", {}, ...row.cells.map((cell, i) => make("option", { value: i }, `seed ${cell.seed}${cell.failure ? ", failed" : ""}`)));
      choice.addEventListener("change", () => show(choice.value));
      body.append(make("p", {}, make("label", {}, "Details of ", choice)));
    }
    body.append(place);
    show(0);
    dialog.showModal();
    dialog.scrollTop = 0;
    dialog.querySelector("h2").focus();
  };

  if (dialog) {
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    for (const row of all(document, "section.task > .scroll tr[data-r]")) {
      const name = row.cells[0];
      const button = make("button", { type: "button", class: "open", "aria-haspopup": "dialog" }, ...name.childNodes);
      name.append(button);
      row.addEventListener("click", (event) => {
        if (!getSelection().isCollapsed && event.target !== button) return;
        button.focus({ preventScroll: true });
        open(row.dataset.r);
      });
    }
  }
})();
