"""The gate on counted figures: a baseline of exact integers, and what changed against it.

Parameters and multiply-adds are the same on every machine and with every torch, so one more is a change. Predicted
peaks follow torch's own temporaries and are compared only within one torch version.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from vbench.errors import StoreError
from vbench.units import count, signed_count

SCHEMA = 1
EXACT = ("params", "macs", "attention_macs")


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What one model costs at its default clip: parameters, MACs, and predicted peak bytes by torch version."""

    params: int
    macs: int
    attention_macs: int
    predicted_peak_bytes: dict[str, int] = field(default_factory=dict)


Baseline = dict[str, Figures]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One difference in words. A figure that could not be compared is said too, but does not break the gate."""

    key: str
    text: str
    kind: Literal["changed", "new", "missing", "not compared"]

    @property
    def breaks(self) -> bool:
        """Whether the gate fails on it."""
        return self.kind != "not compared"

    def __str__(self) -> str:
        return self.text


def baseline_of(counted: Mapping[str, Mapping[str, int]], torch_version: str) -> Baseline:
    """The baseline of what was counted with this torch: key -> params, macs, attention_macs, predicted_peak_bytes."""
    return {
        key: Figures(
            **{name: entry[name] for name in EXACT},
            predicted_peak_bytes={torch_version: entry["predicted_peak_bytes"]},
        )
        for key, entry in counted.items()
    }


def compare(baseline: Baseline, current: Baseline, torch_version: str) -> list[Change]:
    """What differs, in the order of the keys; empty where nothing does.

    Predicted bytes are compared where the baseline has them for `torch_version`; where it has not, one line says so.
    """
    changes = [change for key in sorted({*baseline, *current}) for change in _of_key(key, baseline, current)]
    shared = sorted(baseline.keys() & current.keys())
    known = [key for key in shared if torch_version in baseline[key].predicted_peak_bytes]
    changes += [change for key in known for change in _of_bytes(key, baseline[key], current[key], torch_version)]
    unknown = len(shared) - len(known)
    return [*changes, *([_not_compared(baseline, shared, unknown, torch_version)] if unknown else [])]


def updated(baseline: Baseline, current: Baseline) -> Baseline:
    """The current figures, with the predicted bytes that the baseline holds for other torch versions."""
    older = {key: baseline[key].predicted_peak_bytes if key in baseline else {} for key in current}
    return {
        key: Figures(**{**asdict(entry), "predicted_peak_bytes": older[key] | entry.predicted_peak_bytes})
        for key, entry in current.items()
    }


def read_baseline(path: Path) -> Baseline:
    """The baseline of a JSON file.

    Raises:
        StoreError: the file cannot be read, is no baseline, or is of another schema version.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}; `vbench check --update` makes one") from None
    except ValueError as error:
        raise StoreError(f"{path} is no JSON: {error}") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise StoreError(f"{path} has schema version {schema}; this vbench reads version {SCHEMA}")
    try:
        return {key: _figures(entry) for key, entry in document["models"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} is a broken baseline: {error!r}") from None


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write the baseline as JSON with sorted keys.

    Raises:
        StoreError: the file cannot be written.
    """
    document = {"schema": SCHEMA, "models": {key: asdict(entry) for key, entry in baseline.items()}}
    try:
        path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from None


def _figures(entry: Mapping[str, Any]) -> Figures:
    peaks = entry["predicted_peak_bytes"]
    whole = {name: entry[name] for name in EXACT} | peaks
    wrong = [name for name, value in whole.items() if not isinstance(value, int) or isinstance(value, bool)]
    if wrong:
        raise ValueError(f"{wrong[0]} is no whole number")
    return Figures(**{name: entry[name] for name in EXACT}, predicted_peak_bytes=dict(peaks))


def _of_key(key: str, baseline: Baseline, current: Baseline) -> Iterator[Change]:
    if key not in baseline:
        yield Change(key=key, text=f"{key}: new, not in the baseline", kind="new")
    elif key not in current:
        yield Change(key=key, text=f"{key}: missing, the baseline has it", kind="missing")
    else:
        for name in EXACT:
            yield from _of_figure(key, name, getattr(baseline[key], name), getattr(current[key], name))


def _of_bytes(key: str, before: Figures, now: Figures, torch_version: str) -> Iterator[Change]:
    if torch_version in now.predicted_peak_bytes:
        old, new = (entry.predicted_peak_bytes[torch_version] for entry in (before, now))
        yield from _of_figure(key, "predicted_peak_bytes", old, new)


def _of_figure(key: str, name: str, before: int, now: int) -> Iterator[Change]:
    if before != now:
        text = f"{key}: {name} {count(before)} -> {count(now)} ({signed_count(now - before)})"
        yield Change(key=key, text=text, kind="changed")


def _not_compared(baseline: Baseline, shared: list[str], unknown: int, torch_version: str) -> Change:
    versions = sorted({version for key in shared for version in baseline[key].predicted_peak_bytes})
    held = f"the baseline has torch {', '.join(versions)}" if versions else "the baseline has none"
    models = f"{unknown} model{'s' if unknown != 1 else ''}"
    text = f"predicted_peak_bytes: not compared for {models} with torch {torch_version}; {held}"
    return Change(key="", text=text, kind="not compared")
