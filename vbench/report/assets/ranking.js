/* The guide's answer for one clip and its limits, by the rules of vbench/analysis/guide.py. Pure. */

/** The frames of a video, rounded as the guide does. */
const sourceFrames = (seconds, fps) => Math.ceil(Math.round(seconds * fps * 1e6) / 1e6);

/** What a model costs on the whole video: as many views of its own clip as cover it. */
function covering(model, frames) {
  const views = Math.ceil(frames / model.span_frames);
  const times = (value) => (isKnown(value) ? views * value : null);
  return {
    ...model,
    views,
    latency: times(model.latency_s),
    low: times(model.latency_low_s),
    high: times(model.latency_high_s),
    least: times(model.latency_least_s),
    most: times(model.latency_most_s),
    macsOfVideo: times(model.macs),
    memory: model.peak_memory_bytes ?? model.predicted_peak_bytes ?? null,
  };
}

/**
 * Which models keep every limit, best first, which do not and why, and the front of accuracy against cost.
 *
 * A question has frames, cost (`latency` or `macs`) and limits, null where there is none: maxLatency in seconds,
 * maxMemory in bytes, minTop1 in percent. Best published accuracy first, then cheapest; with minTop1 cheapest first.
 */
function answer(models, question) {
  const costOf = (choice) => (question.cost === "latency" ? choice.latency : choice.macsOfVideo);
  const kept = [];
  const ruledOut = [];
  for (const model of models) {
    const choice = covering(model, question.frames);
    const limit = brokenLimit(choice, costOf(choice), question);
    if (limit === null) kept.push({ ...choice, cost: costOf(choice) });
    else ruledOut.push({ name: model.name, limit });
  }
  const first = (choice) => (question.minTop1 === null ? -(choice.top1 ?? 0) : 0);
  kept.sort((a, b) => first(a) - first(b) || a.cost - b.cost);
  return { ranking: kept, ruledOut, front: frontOf(kept) };
}

/** The first limit that the choice does not keep, in words; null where it keeps them all. */
function brokenLimit(choice, cost, { cost: kind, maxLatency, maxMemory, minTop1 }) {
  if (cost === null) return kind === "latency" ? (choice.unmeasured ?? "not measured") : (choice.uncounted ?? "not counted");
  if (maxLatency !== null && (choice.latency ?? Infinity) > maxLatency) {
    return choice.latency === null ? "not measured" : `latency ${inSeconds(choice.latency)} > ${inSeconds(maxLatency)}`;
  }
  if (maxMemory !== null && choice.memory === null) return "peak memory neither measured nor predicted";
  if (maxMemory !== null && choice.memory > maxMemory) {
    const kindOfPeak = isKnown(choice.peak_memory_bytes) ? "peak" : "predicted peak";
    return `${kindOfPeak} memory ${inBytes(choice.memory)} > ${inBytes(maxMemory)}`;
  }
  if (minTop1 !== null && !isKnown(choice.top1)) return "top-1 not published at this clip";
  if (minTop1 !== null && choice.top1 < minTop1) return `top-1 ${accuracy(choice.top1)} % < ${accuracy(minTop1)} %`;
  return null;
}

/** The names that no other beats in both accuracy and cost, cheapest first; without accuracies the cheapest. */
function frontOf(kept) {
  const byCost = [...kept].sort((a, b) => a.cost - b.cost || (b.top1 ?? 0) - (a.top1 ?? 0));
  const names = [];
  let best = -Infinity;
  for (const { name, top1 } of byCost) {
    if (isKnown(top1) && top1 > best) {
      names.push(name);
      best = top1;
    }
  }
  return names.length ? names : byCost.slice(0, 1).map(({ name }) => name);
}

/** Whether the measurements cannot tell which of two costs less. */
function overlap(a, b, cost) {
  if (cost === "macs") return a.macsOfVideo === b.macsOfVideo;
  return a.least <= b.most && b.least <= a.most;
}
