/* Accuracy against cost, with the front of what no other model beats in both, and lines to variants' full models. */

const LETTER_WIDTH = 7.4;
const MARGIN = { left: 48, right: 18, top: 18, bottom: 46 };

/** The drawing of an answer in a figure; in words where no accuracy is published. */
function drawFront(figure, { ranking, front }, question, cells) {
  const points = ranking.filter((choice) => isKnown(choice.top1));
  if (!points.length) {
    const why = ranking.length ? "No accuracy is published for these clips: the ranking is by cost alone." : "";
    figure.replaceChildren(html("figcaption", {}, why));
    return;
  }
  const width = figure.clientWidth || 600;
  const height = Math.min(420, Math.max(280, width * 0.55));
  const axes = axesOf(points, width, height);
  const drawing = svg("svg", { width, height, role: "img", "aria-label": "accuracy against cost" });
  drawGrid(drawing, axes, width, height, question.cost);
  const onFront = front.map((name) => points.find((choice) => choice.name === name));
  drawing.append(svg("path", { class: "front", d: staircase(onFront, axes, width - MARGIN.right) }));
  drawing.append(...familiesOf(points, axes));
  drawing.append(...points.map((choice) => pointOf(choice, axes, front.includes(choice.name), question.cost, cells)));
  drawing.append(...labelsOf(onFront, axes, width));
  const unplaced = ranking.length - points.length;
  const without = unplaced ? `; ${unplaced} more without a published accuracy are not drawn` : "";
  figure.replaceChildren(drawing, html("figcaption", {}, `The line is the front: ${front.join(", ")}${without}.`));
}

function axesOf(points, width, height) {
  const costs = points.flatMap(({ cost, low, high }) => [cost, low ?? cost, high ?? cost]);
  const accuracies = points.map(({ top1 }) => top1);
  const [low, high] = [Math.min(...accuracies) - 1, Math.max(...accuracies) + 1];
  return {
    x: logScale(Math.min(...costs) / 1.4, Math.max(...costs) * 1.4, MARGIN.left, width - MARGIN.right),
    y: linearScale(low, high, height - MARGIN.bottom, MARGIN.top),
  };
}

function drawGrid(drawing, { x, y }, width, height, cost) {
  const bottom = height - MARGIN.bottom;
  const text = cost === "latency" ? inSeconds : inMacs;
  for (const value of y.ticks(6)) {
    drawing.append(svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y.at(value), y2: y.at(value) }));
    drawing.append(svg("text", { class: "faint", x: MARGIN.left - 8, y: y.at(value) + 4, "text-anchor": "end" }, String(+value.toFixed(2))));
  }
  for (const value of x.ticks(width / 90)) {
    drawing.append(svg("line", { class: "grid", x1: x.at(value), x2: x.at(value), y1: MARGIN.top, y2: bottom }));
    const words = tick(text(value));
    const across = Math.min(x.at(value), width - (words.length * LETTER_WIDTH) / 2);
    drawing.append(svg("text", { class: "faint", x: across, y: bottom + 18, "text-anchor": "middle" }, words));
  }
  const what = cost === "latency" ? "latency of the whole video" : "multiply-adds of the whole video";
  drawing.append(svg("text", { class: "faint", x: width - MARGIN.right, y: height - 8, "text-anchor": "end" }, what));
  drawing.append(svg("text", { class: "faint", x: 4, y: 12 }, "top-1 (%)"));
}

/** Along the cost from one model of the front up to the next, and on to the edge. */
function staircase(onFront, { x, y }, right) {
  const [first, ...rest] = onFront.map(({ cost, top1 }) => [x.at(cost), y.at(top1)]);
  return `M ${first} ${rest.map(([across, up]) => `H ${across} V ${up}`).join(" ")} H ${right}`;
}

/** A line from each compressed variant to its full model, where both are drawn. */
function familiesOf(points, { x, y }) {
  const lines = [];
  for (const { variant_of: name, cost, top1 } of points) {
    const full = points.find((other) => other.name === name);
    if (!full) continue;
    lines.push(svg("line", { class: "family", x1: x.at(cost), y1: y.at(top1), x2: x.at(full.cost), y2: y.at(full.top1) }));
  }
  return lines;
}

function pointOf(choice, { x, y }, isOnFront, cost, cells) {
  const across = x.at(choice.cost);
  const up = y.at(choice.top1);
  const place = choice.cell ?? null;
  const link = svg("a", {
    href: place === null ? null : cells.address(place),
    class: isOnFront ? "on-front" : null,
    "data-name": choice.name,
    tabindex: isOnFront ? null : "-1",
  });
  if (cost === "latency" && isKnown(choice.low)) {
    link.append(svg("line", { class: "interval", x1: x.at(choice.low), x2: x.at(choice.high), y1: up, y2: up }));
  }
  const words = cost === "latency" ? interval(choice.latency, choice.low, choice.high) : inMacs(choice.macsOfVideo);
  const family = choice.variant_of ? `, a variant of ${choice.variant_of}` : "";
  const title = svg("title", {}, `${choice.name}${family}: ${accuracy(choice.top1)} %, ${words}`);
  link.append(svg("circle", { class: "point", cx: across, cy: up, r: isOnFront ? 6 : 5 }, title));
  return link;
}

/** The names along the front, each where there is room for it: above and before its point, or below and behind. */
function labelsOf(onFront, { x, y }, width) {
  const placed = [];
  const labels = [];
  for (const { name, cost, top1 } of onFront) {
    const long = name.length * LETTER_WIDTH;
    const [across, up] = [x.at(cost), y.at(top1)];
    const box = [-8, -22, 18, 32]
      .map((by) => (by < 0 ? { left: across - 8 - long, y: up + by } : { left: across + 8, y: up + by }))
      .find((tried) => tried.left > MARGIN.left && tried.left + long < width && placed.every((other) => areApart(tried, long, other)));
    if (box === undefined) continue;
    placed.push({ ...box, long });
    labels.push(svg("text", { class: "halo", x: box.left, y: box.y }, name));
  }
  return labels;
}

const areApart = (box, long, other) =>
  Math.abs(box.y - other.y) >= 14 || box.left > other.left + other.long || other.left > box.left + long;
