/* Axes: where a value lies between two pixels, and the round values between. */

/** Round steps of 1, 2 or 5 times a power of ten, about `wanted` of them in the range. */
function roundStep(range, wanted) {
  const rough = range / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((step) => step * power >= rough);
}

function linearScale(low, high, from, to) {
  const range = high - low || Math.abs(high) * 1e-3 || 1;
  const start = high > low ? low : low - range / 2;
  return {
    at: (value) => from + ((value - start) / range) * (to - from),
    ticks(wanted) {
      const step = roundStep(range, wanted);
      const first = Math.ceil(start / step);
      const last = Math.floor((start + range) / step);
      return Array.from({ length: Math.max(0, last - first + 1) }, (_, place) => (first + place) * step);
    },
  };
}

/** Both ends positive; ticks at 1, 2 and 5 of a power of ten, at the powers alone over many of these. */
function logScale(low, high, from, to) {
  const range = Math.log10(high / low);
  return {
    at: (value) => from + (Math.log10(value / low) / range) * (to - from),
    ticks(wanted) {
      const multiples = range * 3 <= wanted ? [1, 2, 5] : range * 2 <= wanted ? [1, 3] : [1];
      const powers = Array.from({ length: Math.ceil(range) + 2 }, (_, place) => Math.floor(Math.log10(low)) + place);
      const values = powers.flatMap((power) => multiples.map((multiple) => multiple * 10 ** power));
      return values.filter((value) => value >= low && value <= high);
    },
  };
}
