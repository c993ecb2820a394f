/* A cell and the panel that shows what its numbers rest on: samples, quality, environment, and the command again. */

const NO_SAMPLES = {
  measured: "The page leaves these samples out to stay small; records.jsonl, beside it, has them.",
  counted: "Counted, not run: the figures are exact and have no samples.",
  failed: "The cell failed and has no samples.",
  skipped: "The cell was not run.",
};
const ROW_HEIGHT = 20;
const WIDEST = 680;
const PANEL_EDGES = 72; // padding and margins of the panel on a phone

/** Every cell of the page, by its place. */
class Cells {
  constructor(data, samples, environments) {
    this.data = data;
    this.samples = samples;
    this.environments = environments;
  }

  /** The parts of a cell's id, and those of its command. */
  parts(place, which) {
    const [model, extent, setting] = this.data.rows[place];
    return [this.data.models[model][which], this.data.extents[extent][which], this.data.settings[setting][which]];
  }

  id(place) {
    return this.parts(place, 0).join("/");
  }

  command(place) {
    return this.parts(place, 1).join("");
  }

  address(place) {
    return `#cell=${encodeURIComponent(this.id(place))}`;
  }

  /** The cell of an address, or -1. */
  find(address) {
    return this.data.rows.findIndex((_, place) => this.address(place) === address);
  }

  facts(place) {
    const [, , , environment, status, remark, time, latency] = this.data.rows[place];
    return {
      environment,
      status: this.data.statuses[status],
      remark: this.data.remarks[remark],
      time: this.data.times[time],
      latency,
      samples: this.samples[place],
    };
  }

  /** A link that opens the cell's panel. */
  link(place, text, attributes = {}) {
    return html("a", { href: this.address(place), ...attributes }, text);
  }
}

/** The panel of whichever cell the page's address names. */
class Panel {
  constructor(dialog, cells) {
    this.dialog = dialog;
    this.cells = cells;
    window.addEventListener("hashchange", () => this.follow());
    dialog.addEventListener("close", () => this.leave());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    this.follow();
  }

  follow() {
    const place = location.hash.startsWith("#cell=") ? this.cells.find(location.hash) : -1;
    if (place >= 0) this.show(place);
    else if (this.dialog.open) this.dialog.close();
  }

  /** Closed by hand, the panel leaves the page's address, so that the same link opens it again. */
  leave() {
    if (location.hash.startsWith("#cell=")) history.replaceState(null, "", "#");
  }

  show(place) {
    const facts = this.cells.facts(place);
    this.dialog.replaceChildren(
      html("div", { class: "titled" },
        html("h2", { id: "panel-head", class: "cell" }, this.cells.id(place)),
        button("Close", () => this.dialog.close(), { class: "plain", autofocus: "" })),
      html("dl", {}, ...this.rows(facts).map(([name, text]) => html("div", {}, html("dt", {}, name), html("dd", {}, text)))),
      html("h3", {}, "Again with"),
      html("pre", {}, this.cells.command(place)),
      html("h3", {}, "Samples"),
      ...this.strip(facts),
    );
    if (!this.dialog.open) this.dialog.showModal();
  }

  rows(facts) {
    const [median, low, high] = facts.latency;
    const environment = this.cells.environments[facts.environment] ?? {};
    const where = ["hardware", "accelerator", "cores, threads", "torch", "commit", "fingerprint"].filter((name) => environment[name]);
    return [
      ["status", facts.status],
      ["latency", isKnown(median) ? `${interval(median, low, high)}: median over processes, 95 % interval` : "-"],
      [facts.status === "measured" ? "quality" : "reason", facts.remark || "-"],
      ["taken", facts.time ? `${facts.time} UTC` : "-"],
      ["environment", this.environment(facts.environment, where.map((name) => `${name} ${environment[name]}`).join(", "))],
    ];
  }

  environment(place, text) {
    if (place === null) return "not recorded";
    const link = html("a", { href: `#environment-${place}` }, text);
    link.addEventListener("click", () => this.dialog.close());
    return link;
  }

  strip(facts) {
    if (facts.samples === null) return [html("p", { class: "note" }, NO_SAMPLES[facts.status])];
    const [power, ...runs] = facts.samples;
    const inTheirSeconds = runs.map((run) => run.map((sample) => sample / 10 ** power));
    const number = inTheirSeconds.flat().length;
    const processes = `${runs.length} process${runs.length === 1 ? "" : "es"}`;
    return [
      samplesDrawing(inTheirSeconds, facts.latency, Math.min(WIDEST, window.innerWidth - PANEL_EDGES)),
      html("p", { class: "note" }, `${number} samples after warm-up, a row for each of ${processes}, with its median; `
        + "behind them the median over processes and its 95 % interval."),
    ];
  }
}

const middle = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};

/** The samples as dots on one axis of time, a row for each process. */
function samplesDrawing(runs, [median, low, high], width) {
  const bottom = runs.length * ROW_HEIGHT + 6;
  const known = [...runs.flat(), median, low, high].filter(isKnown);
  const scale = linearScale(Math.min(...known), Math.max(...known), 30, width - 30);
  const drawing = svg("svg", { width, height: bottom + 26, role: "img", "aria-label": "samples of each process" });
  if (isKnown(low) && isKnown(high)) {
    drawing.append(svg("rect", { class: "band", x: scale.at(low), y: 0, width: Math.max(1, scale.at(high) - scale.at(low)), height: bottom }));
  }
  drawing.append(svg("line", { class: "whole", x1: scale.at(median), x2: scale.at(median), y1: 0, y2: bottom }));
  runs.forEach((run, row) => {
    const y = row * ROW_HEIGHT + ROW_HEIGHT / 2 + 2;
    drawing.append(...run.map((sample) => svg("circle", { class: "sample", cx: scale.at(sample), cy: y, r: 3.5 })));
    const at = scale.at(middle(run));
    drawing.append(svg("line", { class: "median", x1: at, x2: at, y1: y - 7, y2: y + 7 }));
  });
  for (const value of scale.ticks(width < 400 ? 3 : 5)) {
    drawing.append(svg("line", { class: "grid", x1: scale.at(value), x2: scale.at(value), y1: bottom, y2: bottom + 5 }));
    drawing.append(svg("text", { class: "faint", x: scale.at(value), y: bottom + 19, "text-anchor": "middle" }, tick(inSeconds(value))));
  }
  return drawing;
}
