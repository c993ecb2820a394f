/* Numbers as the reports write them; the same words as vbench/units.py. */

const KIB = 2 ** 10;
const SECONDS = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]];
const BYTES = [[KIB ** 4, "TiB"], [KIB ** 3, "GiB"], [KIB ** 2, "MiB"], [KIB, "KiB"], [1, "B"]];
const MACS = [[1e12, "TMACs"], [1e9, "GMACs"], [1e6, "MMACs"], [1e3, "kMACs"], [1, "MACs"]];

const isKnown = (value) => value !== null && value !== undefined && Number.isFinite(value);

/** Three significant digits, without an exponent, thousands apart. */
function threeDigits(value) {
  if (!isKnown(value)) return "-";
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  const [whole, fraction] = value.toFixed(digits).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

const scaleOf = (value, scales) => scales.find(([factor]) => Math.abs(value) >= factor) ?? scales.at(-1);

function scaled(value, scales) {
  if (!isKnown(value)) return "-";
  const [factor, unit] = scaleOf(value, scales);
  return `${threeDigits(value / factor)} ${unit}`;
}

const inSeconds = (value) => scaled(value, SECONDS);
const inBytes = (value) => scaled(value, BYTES);
const inMacs = (value) => scaled(value, MACS);

/** A latency with its interval in one unit: `12.3 ms [12.1, 12.6]`. */
function interval(estimate, low, high) {
  if (!isKnown(low) || !isKnown(high)) return inSeconds(estimate);
  const [factor, unit] = scaleOf(estimate, SECONDS);
  return `${threeDigits(estimate / factor)} ${unit} [${threeDigits(low / factor)}, ${threeDigits(high / factor)}]`;
}

/** A tick of an axis without idle zeros: `1.00 s` becomes `1 s`. */
const tick = (text) => text.replace(/(\.\d*?)0+(?=\s|$)/, "$1").replace(/\.(?=\s|$)/, "");

/** An accuracy in percent, one decimal at least. */
const accuracy = (value) => (Number.isInteger(value) ? value.toFixed(1) : String(value));
