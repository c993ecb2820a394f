"""Claims on published figures: quoted accuracies, rows of comparison tables, and what is best or most accurate.

Accuracy is quoted, never measured: a claim is set against the published row that it belongs to. Costs are counted where
the catalog has the model, else as published; a protocol costs its views times the cost of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pandas as pd

from vbench.analysis.claims.claim import Claim, Evidence, Judged, data, joined, undecided, verdict_on
from vbench.analysis.comparison import (
    claims_frame,
    comparison_frame,
    k400_rows,
    published_accuracies,
    published_frame,
)

SAME_PRINT = 0.05  # accuracies are printed with one decimal
LONG_S, SOURCE_FPS = 10.0, 30.0
CONVOLUTIONAL = ("C3D", "I3D", "PySlowFast ResNet", "SlowFast", "TPN")
NOT_TRANSFORMERS = (*CONVOLUTIONAL, "VideoMamba", "CVRL")
K400_CLIPS = 240_000  # training videos of Kinetics-400: Kay et al., 2017, sec. 2, https://arxiv.org/abs/1705.06950
STEP_FORWARDS = 3  # a training step costs a forward, and a backward of twice its cost
TIMESFORMER_V100_HOURS, TIMESFORMER_EPOCHS = 416, 15  # Bertasius et al., ICML 2021, sec. 4.1 and Table 2
AGAIN = "vbench claims"


def _quoted(claim: Claim, _evidence: Evidence) -> Judged:
    """The published row with the claimed accuracy: of the named model and data set, of another one, or none."""
    wanted = _quotation(claim.id)
    rows = published_accuracies()
    of_architecture = rows["architecture"] == wanted["architecture"]
    of_dataset = rows["dataset"] == wanted["dataset"]
    its_own = of_architecture & of_dataset & rows["variant"].str.startswith(wanted["variant"])
    same = (rows["metric"] - float(wanted["metric"])).abs() < SAME_PRINT
    derived = f"published for it: {_named(rows[its_own])}" if its_own.any() else "nothing published for it"
    mine, family, anyone = (rows[part & same] for part in (its_own, of_architecture, of_dataset))
    if len(mine):
        return verdict_on(claim, "quoted", derived, f"the row of {_named(mine, sources=True)}", AGAIN)
    others = family if len(family) else anyone
    if len(others):
        return verdict_on(claim, "other row", derived, f"the figure of {_named(others, sources=True)}", AGAIN)
    return verdict_on(claim, "contradicted", derived, f"no published row has {wanted['metric']}", AGAIN)


def _quotation(identifier: str) -> dict[str, str]:
    """What the claim says: whose accuracy, on what, how high."""
    quotations = data("claims_accuracy.csv")
    (quotation,) = quotations[quotations["id"] == identifier].to_dict("records")
    return {str(name): str(value) for name, value in quotation.items()}


def _named(rows: pd.DataFrame, *, sources: bool = False) -> str:
    return "; ".join(
        f"{row['architecture']} {row['variant']} on {row['dataset']}: {row['metric']:.1f}"
        + (f" ({row['source']})" if sources else "")
        for _, row in rows.iterrows()
    )


def _table_row(claim: Claim, evidence: Evidence) -> Judged:
    """One row of a comparison table: the verdict on its figures against the published and the counted ones."""
    compared = comparison_frame(evidence.counted, published_frame(), claims_frame())
    row = compared[compared["id"] == claim.id].iloc[0]
    word, _, reason = str(row["verdict"]).partition(": ")
    verdict = {"not measured": "undecided"}.get(word, word)
    derived = (
        f"{row['key']} at {row['clip']}: counted {row['gmacs_counted']:.1f} GMACs a view and "
        f"{row['params_m_counted']:.1f} M parameters; published {row['gmacs_published']:g} G, "
        f"{row['params_m_published']:g} M, {row['top1_published']:g} % top-1"
    )
    evidence_text = "; ".join(part for part in (reason, row["note"]) if part) or f"top-1 is quoted ({row['source']})"
    return verdict_on(claim, verdict, derived, evidence_text, f"vbench count {row['key']}; vbench tables")


def _on_the_front(claim: Claim, evidence: Evidence) -> Judged:
    """Whether no rival of the first key is at least as accurate for fewer multiply-adds."""
    rows = _with_costs(claim.keys, evidence)
    favoured = rows[rows["key"] == claim.keys[0]].iloc[0]
    better = rows[(rows["metric"] >= favoured["metric"]) & (rows["gmacs"] < favoured["gmacs"])]
    derived = "; ".join(f"{row['key']}: {row['gmacs']:.0f} GMACs, {row['metric']:.1f} %" for _, row in rows.iterrows())
    if len(better):
        reason = f"{joined(better['key'])} is more accurate for fewer multiply-adds"
        return verdict_on(claim, "contradicted", derived, reason, AGAIN)
    cheaper, stronger = (rows["gmacs"] < favoured["gmacs"]), (rows["metric"] > favoured["metric"])
    reason = (
        f"no rival has both; cheaper and less accurate: {joined(rows[cheaper]['key']) or 'none'}; "
        f"more accurate and dearer: {joined(rows[stronger]['key']) or 'none'}"
    )
    return verdict_on(claim, "agrees", derived, reason, AGAIN)


def _most_accurate(claim: Claim, evidence: Evidence) -> Judged:
    """Whether the first key has the highest quoted accuracy of all."""
    rows = _with_costs(claim.keys, evidence).sort_values("metric", ascending=False)
    derived = "; ".join(f"{row['key']}: {row['metric']:.1f} %" for _, row in rows.iterrows())
    best = rows.iloc[0]
    verdict = "agrees" if best["key"] == claim.keys[0] else "contradicted"
    return verdict_on(claim, verdict, derived, f"{best['key']} has the highest top-1 ({best['source']})", AGAIN)


def _best_trade_off(claim: Claim, evidence: Evidence) -> Judged:
    """Whether the front of accuracy against the cost of its protocol belongs to the named architectures alone."""
    published = published_frame()
    favoured = set(published[published["key"].isin(claim.keys)]["architecture"])
    front = _front(_protocols(evidence))
    derived = "; ".join(
        f"{row['architecture']} {row['variant']}: {row['video_gmacs']:.0f} G, {row['metric']:.1f} %"
        for _, row in front.iterrows()
    )
    strangers = front[~front["architecture"].isin(favoured)]
    inside = front[front["architecture"].isin(favoured)]
    reason = (
        f"{len(inside)} of {len(front)} rows of the front, of every pre-training, belong to {joined(sorted(favoured))}"
    )
    return verdict_on(claim, "contradicted" if len(strangers) else "agrees", derived, reason, AGAIN)


def _front(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that no other beats: walking up in cost, each new highest accuracy."""
    by_cost = rows.sort_values(["video_gmacs", "metric"], ascending=[True, False])
    return by_cost[by_cost["metric"] > by_cost["metric"].cummax().shift(fill_value=0.0)]


def _gain_over_convolutions(claim: Claim, _evidence: Evidence) -> Judged:
    """Transformers' accuracies less the best convolutional one, each with its own views and pre-training."""
    rows = k400_rows(published_frame()).dropna(subset=["metric"])
    convolutional = rows[rows["architecture"].isin(CONVOLUTIONAL)]
    best = convolutional.sort_values("metric").iloc[-1]
    gains = rows[~rows["architecture"].isin(NOT_TRANSFORMERS)]["metric"] - best["metric"]
    low, high = (float(part) for part in claim.claimed.removesuffix(" %").split("-"))
    inside = int(((gains >= low) & (gains <= high)).sum())
    derived = (
        f"{gains.min():+.1f} to {gains.max():+.1f} points over "
        f"{best['architecture']} {best['variant']} ({best['metric']:.1f} %)"
    )
    reason = (
        f"{inside} of {len(gains)} published transformers lie within {low:g} to {high:g} points, "
        f"{int((gains < 0).sum())} below zero; views and pre-training differ"
    )
    return verdict_on(claim, "agrees" if inside == len(gains) else "contradicted", derived, reason, AGAIN)


def _longer_is_better(claim: Claim, _evidence: Evidence) -> Judged:
    """Whether accuracy rises with frames within each architecture's own rows of one crop."""
    rows = k400_rows(published_frame()).dropna(subset=["metric", "frames"])
    rows = rows[rows["key"].isin(claim.keys) & (rows["height"] == 224)]
    series = {
        str(name): group.sort_values("frames")[["frames", "metric"]]
        for name, group in rows.groupby(rows["key"].where(rows["key"].duplicated(keep=False), rows["architecture"]))
    }
    if not series:
        return undecided(claim, "published rows of several clip lengths")
    rising = {name: bool(part["metric"].is_monotonic_increasing) for name, part in series.items()}
    derived = "; ".join(
        f"{name}: " + ", ".join(f"{row['metric']:.1f} at {row['frames']:.0f}" for _, row in part.iterrows())
        for name, part in series.items()
    )
    reason = (
        "within one architecture, at equal crop, more frames never cost accuracy"
        if all(rising.values())
        else (f"not for {joined(name for name, up in rising.items() if not up)}")
    )
    reason += "; the claim's own example compares two architectures"
    return verdict_on(claim, "agrees" if all(rising.values()) else "contradicted", derived, reason, AGAIN)


def _long_form(claim: Claim, _evidence: Evidence) -> Judged:
    """The seconds of video that one published clip of the model covers."""
    rows = published_frame()
    rows = rows[rows["key"].isin(claim.keys)].dropna(subset=["frames", "stride"])
    seconds = rows["frames"] * rows["stride"] / SOURCE_FPS
    derived = "; ".join(
        f"{row['architecture']} {row['variant']} on {row['dataset']}: "
        f"{row['frames']:.0f} x {row['stride']:.0f} frames, {length:.1f} s"
        for (_, row), length in zip(rows.iterrows(), seconds, strict=True)
    )
    holds = bool((seconds >= LONG_S).any())
    reason = (
        f"{'some' if holds else 'none'} of its published clips covers {LONG_S:g} s at {SOURCE_FPS:g} frames a second"
    )
    return verdict_on(claim, "agrees" if holds else "contradicted", derived, reason, AGAIN)


def _model_numbers(claim: Claim, _evidence: Evidence) -> Judged:
    """The claimed numbering of a paper's models against the paper's own."""
    variants = published_frame().set_index("key")["variant"]
    numbers = {variant.split()[1]: variant for variant in variants[list(claim.keys)] if variant.startswith("Model ")}
    claimed = dict(part.split(": ") for part in claim.claimed.split("; "))
    wrong = [number for number, word in claimed.items() if word not in numbers[number]]
    derived = "; ".join(numbers.values())
    reason = f"the paper gives other models the numbers {joined(wrong)}" if wrong else "as in the paper"
    return verdict_on(claim, "contradicted" if wrong else "agrees", derived, reason, AGAIN)


def _training_time(claim: Claim, evidence: Evidence) -> Judged:
    """Claimed accelerator hours against published ones, and the speed that both imply for the counted step."""
    hours = float(claim.claimed.split()[0])
    rows = _with_costs(claim.keys, evidence)
    flops = 2 * STEP_FORWARDS * rows.iloc[0]["gmacs"] * 1e9 * K400_CLIPS * TIMESFORMER_EPOCHS
    speeds = [flops / (3600 * spent) / 1e12 for spent in (hours, TIMESFORMER_V100_HOURS)]
    derived = (
        f"{rows.iloc[0]['key']}: claimed {hours:.0f} GPU-hours, published {TIMESFORMER_V100_HOURS} V100-hours; "
        f"{TIMESFORMER_EPOCHS} epochs of its counted step are {flops:.1e} FLOPs"
    )
    reason = (
        f"that is {speeds[0]:.1f} TFLOP/s as claimed, {speeds[1]:.1f} as published; "
        "of the other models no training time is published"
    )
    verdict = "quoted" if abs(hours / TIMESFORMER_V100_HOURS - 1) < 0.1 else "contradicted"
    return verdict_on(claim, verdict, derived, reason, AGAIN)


def _with_costs(keys: Iterable[str], evidence: Evidence) -> pd.DataFrame:
    """The best published K400 row of each key, with its GMACs a view: counted, else as published."""
    rows = k400_rows(published_frame()).dropna(subset=["metric"])
    rows = rows[rows["key"].isin(list(keys))].sort_values("metric").drop_duplicates("key", keep="last")
    return rows.assign(gmacs=_gmacs(rows, evidence))


def _protocols(evidence: Evidence) -> pd.DataFrame:
    """Every K400 row with accuracy and views, and what its whole protocol costs, in GMACs."""
    rows = k400_rows(published_frame()).dropna(subset=["metric", "views_spatial", "views_temporal"])
    rows = rows.assign(gmacs=_gmacs(rows, evidence)).dropna(subset=["gmacs"])
    return rows.assign(video_gmacs=rows["gmacs"] * rows["views_spatial"] * rows["views_temporal"])


def _gmacs(rows: pd.DataFrame, evidence: Evidence) -> list[float]:
    """GMACs a view of each row: counted at the same clip where that was done, else as published."""
    counted = {}
    if len(evidence.counted):
        for _, cell in evidence.counted.dropna(subset=["macs"]).iterrows():
            counted[cell["model"], float(cell["frames"]), float(cell["height"])] = cell["macs"] / 1e9
    return [
        counted.get((row["key"], row["frames"], row["height"]), row["gmacs_per_view"]) for _, row in rows.iterrows()
    ]


ACCURACY_METHODS: dict[str, Callable[[Claim, Evidence], Judged]] = {
    "quoted": _quoted,
    "table row": _table_row,
    "on the front": _on_the_front,
    "most accurate": _most_accurate,
    "best trade-off": _best_trade_off,
    "gain over convolutions": _gain_over_convolutions,
    "longer is better": _longer_is_better,
    "long form": _long_form,
    "model numbers": _model_numbers,
    "training time": _training_time,
}
