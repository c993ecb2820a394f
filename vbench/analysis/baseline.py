"""The gate on counted figures: a baseline of exact integers, and what changed against it.

Parameters and multiply-adds are the same on every machine and with every torch, so one more is a change. Predicted
peaks follow torch's own temporaries and are compared only within one torch version. Degrees of derived formulas take
longer to find than counts, and are compared where they were asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from vbench.errors import StoreError
from vbench.units import count, signed_count

SCHEMA = 1
EXACT = ("params", "macs", "attention_macs")

Degrees = dict[str, tuple[int, int, int] | None]  # of macs and attention_macs along T, H, W; None: no polynomial


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What one model costs at its default clip: parameters, MACs, and predicted peak bytes by torch version."""

    params: int
    macs: int
    attention_macs: int
    predicted_peak_bytes: dict[str, int] = field(default_factory=dict)
    degrees: Degrees | None = None  # None: not derived


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


def baseline_of(
    counted: Mapping[str, Mapping[str, int]], torch_version: str, degrees: Mapping[str, Degrees] | None = None
) -> Baseline:
    """The baseline of what was counted with this torch: key -> params, macs, attention_macs, predicted_peak_bytes."""
    return {
        key: Figures(
            **{name: entry[name] for name in EXACT},
            predicted_peak_bytes={torch_version: entry["predicted_peak_bytes"]},
            degrees=(degrees or {}).get(key),
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
    changes += [change for key in shared for change in _of_degrees(key, baseline[key].degrees, current[key].degrees)]
    unknown = len(shared) - len(known)
    return [*changes, *([_not_compared(baseline, shared, unknown, torch_version)] if unknown else [])]


def updated(baseline: Baseline, current: Baseline) -> Baseline:
    """The current figures, with what the baseline holds beside: bytes of other torch versions, degrees not derived."""
    return {key: _merged(baseline[key], entry) if key in baseline else entry for key, entry in current.items()}


def _merged(older: Figures, now: Figures) -> Figures:
    return replace(
        now,
        predicted_peak_bytes=older.predicted_peak_bytes | now.predicted_peak_bytes,
        degrees=older.degrees if now.degrees is None else now.degrees,
    )


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
    models = {key: {k: v for k, v in asdict(entry).items() if v is not None} for key, entry in baseline.items()}
    document = {"schema": SCHEMA, "models": models}
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
    return Figures(
        **{name: entry[name] for name in EXACT},
        predicted_peak_bytes=dict(peaks),
        degrees=_degrees(entry["degrees"]) if entry.get("degrees") else None,
    )


def _degrees(entry: Mapping[str, Any]) -> Degrees:
    return {formula: along and (int(along[0]), int(along[1]), int(along[2])) for formula, along in entry.items()}


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


def _of_degrees(key: str, before: Degrees | None, now: Degrees | None) -> Iterator[Change]:
    """What changed in the degrees that were derived now."""
    if now is None or now == before:
        return
    if before is None:
        yield Change(key=key, text=f"{key}: degrees not compared; the baseline has none of it", kind="not compared")
        return
    for formula, along in now.items():
        if along != before.get(formula):
            text = f"{key}: degrees of {formula} along T, H, W {_along(before.get(formula))} -> {_along(along)}"
            yield Change(key=key, text=text, kind="changed")


def _along(degrees: tuple[int, int, int] | None) -> str:
    return ", ".join(map(str, degrees)) if degrees else "no polynomial"


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
