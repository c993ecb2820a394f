/* The explorer: a clip, a machine and limits, and which models answer them best. */

const STOPS = [0.5, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600];
const GUIDE_PRECISION = "fp32";
const RANKING_HEADS = ["", "model", "top-1 (%)", "the video", "a view", "views of", "published protocol", "peak memory", "pre-training", "accuracy published in"];

class Explorer {
  constructor(section, settings, cells) {
    this.section = section;
    this.settings = settings;
    this.cells = cells;
    this.form = section.querySelector("form");
    this.fields = this.form.elements;
    this.fields.stop.max = STOPS.length - 1;
    this.offer("device", settings);
    this.moveStop();
    this.chooseCost();
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", (event) => this.change(event.target.name));
    window.addEventListener("resize", paused(() => this.draw(), 100));
    this.draw();
  }

  change(name) {
    if (name === "stop") this.fields.seconds.value = STOPS[this.fields.stop.valueAsNumber];
    if (name === "seconds") this.moveStop();
    if (name === "device" || name === "precision") this.offer(name === "device" ? "precision" : "size", this.narrowed(name));
    if (name === "device" || name === "precision" || name === "size") this.chooseCost();
    this.draw();
  }

  /** The settings that agree with the choices made so far, up to the field named. */
  narrowed(upTo) {
    const order = ["device", "precision", "size"];
    const chosen = order.slice(0, order.indexOf(upTo) + 1);
    return this.settings.filter((setting) => chosen.every((field) => String(setting[field]) === this.fields[field].value));
  }

  /** Fill a field with what the settings have, keep its choice where it is among them, and go on to the next field. */
  offer(field, settings) {
    const values = new Map(settings.map((setting) => [String(setting[field]), nameOfChoice(field, setting)]));
    const before = this.fields[field].value;
    this.fields[field].replaceChildren(...[...values].map(([value, text]) => html("option", { value }, text)));
    if (values.has(before)) this.fields[field].value = before;
    if (field !== "size") this.offer(field === "device" ? "precision" : "size", this.narrowed(field));
  }

  get setting() {
    return this.narrowed("size")[0];
  }

  /** By latency wherever one was measured, as the guide does. */
  chooseCost() {
    this.fields.cost.value = this.guideCost;
  }

  get guideCost() {
    return this.setting.models.some((model) => isKnown(model.latency_s)) ? "latency" : "macs";
  }

  /** The slider to the stop that is nearest to the seconds. */
  moveStop() {
    const seconds = this.fields.seconds.valueAsNumber;
    if (!(seconds > 0)) return;
    const distance = (stop) => Math.abs(Math.log(stop / seconds));
    this.fields.stop.value = STOPS.reduce((best, stop, place) => (distance(stop) < distance(STOPS[best]) ? place : best), 0);
  }

  get question() {
    const limit = (name) => (this.fields[name].value === "" ? null : this.fields[name].valueAsNumber);
    const memory = limit("maxMemory");
    return {
      frames: sourceFrames(this.fields.seconds.valueAsNumber, this.fields.fps.valueAsNumber),
      cost: this.fields.cost.value,
      maxLatency: limit("maxLatency"),
      maxMemory: memory === null ? null : Math.floor(memory * KIB ** 3),
      minTop1: limit("minTop1"),
    };
  }

  draw() {
    const question = this.question;
    const said = this.section.querySelector("#answer");
    if (!(question.frames >= 1)) {
      said.textContent = "A video lasts more than 0 seconds, at more than 0 frames a second.";
      return;
    }
    const found = answer(this.setting.models, question);
    const { seconds, fps, stop, video } = this.fields;
    video.value = `${seconds.value} s`;
    stop.setAttribute("aria-valuetext", `${seconds.value} seconds`);
    said.textContent = `${seconds.value} s at ${fps.value} frames a second are ${question.frames.toLocaleString("en")} frames: `
      + `${found.ranking.length} of ${this.setting.models.length} models can be ranked, ${orderOf(question)}.`
      + this.onlyCounted(question);
    drawFront(this.section.querySelector("#front"), found, question, this.cells);
    this.drawRanking(found, question);
    this.drawRuledOut(found.ruledOut);
    this.drawCommand(question);
  }

  /** How many models only the other cost can rank. */
  onlyCounted({ cost }) {
    const counted = this.setting.models.filter((model) => isKnown(model.macs) && !isKnown(model.latency_s)).length;
    if (cost === "macs" || !counted) return "";
    return ` ${counted} ${counted === 1 ? "was" : "were"} only counted: the cost in multiply-adds ranks these, too.`;
  }

  drawRanking({ ranking, front }, question) {
    const rows = ranking.map((choice, place) => {
      const next = ranking[place + 1];
      const alike = next !== undefined && overlap(choice, next, question.cost);
      return this.rankingRow(choice, place, front.includes(choice.name), alike, question.cost);
    });
    const heads = RANKING_HEADS.map((head) => html("th", { scope: "col" }, head));
    this.section.querySelector("#ranking").replaceChildren(html("thead", {}, html("tr", {}, ...heads)), html("tbody", {}, ...rows));
  }

  rankingRow(choice, place, isOnFront, alike, cost) {
    const name = isKnown(choice.cell) ? this.cells.link(choice.cell, choice.name) : choice.name;
    const chips = [isOnFront && "front", alike && "costs much like the next"].filter(Boolean);
    const texts = [
      isKnown(choice.top1) ? accuracy(choice.top1) : "not published",
      cost === "latency" ? interval(choice.latency, choice.low, choice.high) : inMacs(choice.macsOfVideo),
      cost === "latency" ? inSeconds(choice.latency_s) : inMacs(choice.macs),
      `${choice.views} × ${choice.clip}`,
      protocolText(choice),
      isKnown(choice.peak_memory_bytes) ? inBytes(choice.peak_memory_bytes) : `${inBytes(choice.predicted_peak_bytes)} predicted`,
      choice.pretrain || "-",
    ];
    return html("tr", { "data-name": choice.name },
      html("td", { class: "number" }, String(place + 1)),
      html("td", {}, name, ...chips.map((chip) => html("span", { class: "chip" }, chip))),
      ...texts.map((text) => html("td", {}, text)),
      html("td", { class: "long" }, choice.top1_source ?? "-"));
  }

  drawRuledOut(ruledOut) {
    const details = this.section.querySelector("#ruled-out");
    details.hidden = !ruledOut.length;
    details.querySelector("summary").textContent = `${ruledOut.length} ruled out, and by what`;
    details.querySelector("ul").replaceChildren(
      ...ruledOut.map(({ name, limit }) => html("li", { "data-name": name }, html("b", {}, name), `: ${limit}`)),
    );
  }

  /** The same question as a command, where the guide can be asked it. */
  drawCommand(question) {
    const { seconds, fps, device, precision, size, maxLatency, maxMemory, minTop1 } = this.fields;
    const same = this.section.querySelector("#same");
    same.hidden = precision.value !== GUIDE_PRECISION || question.cost !== this.guideCost;
    const limits = [
      size.value !== "null" && `--size ${size.value}`,
      maxLatency.value && `--max-latency ${maxLatency.value}s`,
      maxMemory.value && `--max-memory ${maxMemory.value}GiB`,
      minTop1.value && `--min-top1 ${minTop1.value}`,
    ].filter(Boolean);
    const words = ["vbench guide --records .", `--seconds ${seconds.value}`, `--fps ${fps.value}`, `--device ${device.value}`, ...limits];
    same.replaceChildren("The same in a terminal, from this report's folder: ", html("code", {}, words.join(" ")));
  }
}

function nameOfChoice(field, setting) {
  if (field === "device") return setting.hardware ? `${setting.device}: ${setting.hardware}` : setting.device;
  if (field === "size") return setting.size === null ? "each model's own" : `${setting.size} x ${setting.size}`;
  return setting.precision;
}

function orderOf({ minTop1, cost }) {
  const cheapest = cost === "latency" ? "quickest" : "fewest multiply-adds";
  return minTop1 === null ? `best published accuracy first, then ${cheapest}` : `${cheapest} first`;
}

function protocolText({ top1_views: views, latency_published_s: latency }) {
  if (!views) return "-";
  return isKnown(latency) ? `${views}: ${inSeconds(latency)}` : views;
}
