"""Numbers to text and back: the only place where a number becomes text for a person."""

from __future__ import annotations

import math
import re

from vbench.errors import AxisError

_DURATION_S = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_SIZE_BYTES = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip


def parse_duration_s(text: str) -> float:
    """Seconds of a duration such as `10m`, `0.5s`, `1h30m` or `250ms`.

    Raises:
        AxisError: the text is no duration, or not a positive one.
    """
    part = r"(\d+(?:\.\d+)?)(ms|s|m|h)"
    if not re.fullmatch(f"(?:{part})+", text.strip()):
        raise AxisError(f"malformed duration {text!r}; wanted a number and a unit, as in 90s, 10m or 1h30m")
    seconds = sum(float(number) * _DURATION_S[unit] for number, unit in re.findall(part, text))
    if not seconds > 0:
        raise AxisError(f"a duration must be more than 0; got {text!r}")
    return seconds


def parse_bytes(text: str) -> int:
    """Bytes of a size such as `24GiB`, `800MB` or `16GB` (1 GiB = 2**30, 1 GB = 10**9).

    Raises:
        AxisError: the text is no size, or not a positive one.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKMGT]i?B|B)", text.strip())
    unit = match and match[2].replace("KB", "kB").replace("kiB", "KiB")
    if not match or unit not in _SIZE_BYTES:
        raise AxisError(f"malformed size {text!r}; wanted a number and a unit, as in 24GiB or 800MB")
    size = int(float(match[1]) * _SIZE_BYTES[unit])
    if size < 1:
        raise AxisError(f"a size must be at least one byte; got {text!r}")
    return size


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    if not math.isfinite(value):
        return "-"
    factor, unit = next(((factor, unit) for factor, unit in units if abs(value) >= factor), units[-1])
    return f"{three_digits(value / factor)} {unit}"


def three_digits(value: float) -> str:
    """`value` to three significant digits, without an exponent where it has up to four digits."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "-"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def seconds(value: float) -> str:
    """A latency: `12.3 ms`."""
    return _scaled(value, _SECONDS)


def duration(value: float) -> str:
    """Time left, to the second: `4 min 05 s`."""
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def size(value: float) -> str:
    """A memory size in binary units: `541 MiB`."""
    return _scaled(value, ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")))


def macs(value: float) -> str:
    """Multiply-adds: `196 GMACs`. Papers print this figure as GFLOPs."""
    return _scaled(value, ((1e12, "TMACs"), (1e9, "GMACs"), (1e6, "MMACs"), (1e3, "kMACs"), (1, "MACs")))


def giga(value: float) -> str:
    """A count in giga, three significant digits, for columns whose head names the unit."""
    return three_digits(value / 1e9)


def params(value: float) -> str:
    """A parameter count: `122 M`."""
    return _scaled(value, ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")))


def rate(value: float) -> str:
    """FLOP/s: `812 GFLOP/s`."""
    return _scaled(value, ((1e12, "TFLOP/s"), (1e9, "GFLOP/s"), (1e6, "MFLOP/s"), (1, "FLOP/s")))


def bandwidth(value: float) -> str:
    """Bytes per second: `12.3 GB/s`, 1 GB = 10^9 bytes."""
    return _scaled(value, ((1e12, "TB/s"), (1e9, "GB/s"), (1e6, "MB/s"), (1, "B/s")))


def percent(value: float) -> str:
    """A fraction as a percentage: `62.1 %`."""
    return f"{value:.1%}".replace("%", " %") if math.isfinite(value) else "-"


def count(value: float) -> str:
    """A whole number in full: `195,830,280,192`."""
    return f"{value:,.0f}" if math.isfinite(value) else "-"


def signed_count(value: int) -> str:
    """A change of a whole number: `+1`, `-1,024`."""
    return f"{value:+,d}"


def signed_percent(fraction: float) -> str:
    """A deviation as a percentage: `+0.3 %`."""
    return f"{fraction:+.1%}".replace("%", " %") if math.isfinite(fraction) else "-"


def seconds_interval(estimate: float, low: float, high: float) -> str:
    """A latency with its interval in one unit: `12.3 ms [12.1, 12.6]`; without bounds the latency alone."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return seconds(estimate)
    factor, unit = next(scale for scale in _SECONDS if estimate >= scale[0] or scale is _SECONDS[-1])
    middle, *bounds = (three_digits(value / factor) for value in (estimate, low, high))
    return f"{middle} {unit} [{', '.join(bounds)}]"


def distance(value: float) -> str:
    """A relative distance: `0.0041` or `3.1e-07`; `-` where it is not known."""
    return f"{value:.2g}" if math.isfinite(value) else "-"


def exponent(estimate: float, low: float, high: float) -> str:
    """A scaling exponent with its interval: `1.98 [1.95, 2.01]`."""
    return f"{estimate:.2f} [{low:.2f}, {high:.2f}]"


def millions(value: float) -> str:
    """A count in millions, three significant digits, for columns whose head names the unit."""
    return three_digits(value / 1e6)


def as_printed(value: float) -> str:
    """A quoted figure with the digits it came with: `78`, `455.2`."""
    return f"{value:g}" if math.isfinite(value) else "-"


def extent(frames: int, height: int, width: int) -> str:
    """A clip in frames and pixels, or a grid in tokens: `8x224x224`."""
    return f"{frames}x{height}x{width}"


def tick(text: str) -> str:
    """A figure's axis label without idle zeros: `1.00 GiB` becomes `1 GiB`."""
    return re.sub(r"(\.\d*?)0+(?=\s|$)", r"\1", text).replace(". ", " ").rstrip(".")


def open_interval(low: float, high: float) -> str:
    """An interval of lengths, one decimal, without an end where it has no bound: `[12.1, 19.6]`, `[?, 19.6]`."""
    ends = (f"{value:.1f}" if math.isfinite(value) else "?" for value in (low, high))
    return f"[{', '.join(ends)}]"


def accuracy(value: float) -> str:
    """A quoted accuracy in percent, one decimal at least: `78.0`, `73.27`."""
    text = as_printed(value)
    return f"{text}.0" if text.isdigit() else text


def ratio_interval(estimate: float, low: float, high: float) -> str:
    """A ratio with its interval: `1.021 [1.015, 1.027]`; a bound that is not known is a dash."""
    middle, *limits = (f"{value:.3f}" if math.isfinite(value) else "-" for value in (estimate, low, high))
    return f"{middle} [{', '.join(limits)}]"
