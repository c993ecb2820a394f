"""Formulas and claims held against what is counted now."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vbench.cli.options import CHANGED, AsJson, Out, Records, Strict
from vbench.cli.output import console, print_json, records_directory, records_of
from vbench.errors import AxisError
from vbench.units import parse_duration_s

CERTIFICATES = Path("reports/certificates")


def certify(
    names: Annotated[list[str], typer.Argument(help="Patterns or architectures; `all` for every pattern.")],
    claim: Annotated[str | None, typer.Option(help="A formula in T, H, W to judge, as in T*H*W.")] = None,
    latency: Annotated[bool, typer.Option("--latency", help="Time the bare attention against the formula.")] = False,
    out: Out = None,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Derive the exact cost formula from counts, and hold the claimed one against it."""
    from vbench.proof import certify_each, check_timeable, with_latency
    from vbench.report.certificates import certificate_text, write_certificates
    from vbench_models.catalog import PATTERNS

    keys = list(PATTERNS) if names == ["all"] else names
    for key in keys if latency else ():
        check_timeable(key)
    certificates = []
    for certificate in certify_each(keys, claim):
        certificates.append(certificate)
        print(f"certified {certificate.name}: {certificate.verdict}", file=sys.stderr)
    if out is not None:
        write_certificates(certificates, out)
    for index, certificate in enumerate(certificates if latency else ()):  # nothing is timed while others count
        certificates[index] = with_latency(certificate, (out or CERTIFICATES) / "records")
        if out is not None:
            write_certificates([certificates[index]], out)
    if as_json:
        print_json([certificate.to_json() for certificate in certificates])
    else:
        print("\n".join(certificate_text(certificate) for certificate in certificates))
    if strict and any(certificate.verdict not in ("exact", "same order", "no claim") for certificate in certificates):
        sys.exit(CHANGED)


def claims(
    records: Records = None,
    pairs: Annotated[str | None, typer.Option(help="First run in turn what claims compare in time, as in 20m.")] = None,
    out: Out = None,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Judge the literature's claims, each with what was derived or counted and the evidence.

    What no formula decides is looked up in the records, and where they do not hold it counted now. With --pairs, the
    measured cells that claims set against each other in time run in interleaved pairs of fresh processes, which is
    kept beside the records.
    """
    from vbench.analysis.claims import read_claims
    from vbench.proof import judge_by_counts
    from vbench.report.certificates import claims_markdown, claims_table
    from vbench.report.claims import write_judged
    from vbench.store import Store

    directory = records_directory(records)
    if pairs is not None:
        _run_pairs(records, pairs)
    judged = judge_by_counts(read_claims(), *records_of(directory), Store(directory).pairs())
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "claims.md").write_text(claims_markdown(judged), encoding="utf-8")
        write_judged(judged, out)
    if as_json:
        print_json([entry.to_json() for entry in judged])
    else:
        console().print(claims_table(judged))
    if strict and any(entry.verdict in ("under-states", "contradicted") for entry in judged):
        sys.exit(CHANGED)


def _run_pairs(directory: Path | None, budget: str) -> None:
    """Run in turn what the claims compare in time and has not yet been run so, and keep it with the records.

    Raises:
        AxisError: no directory was named: what is measured is not to end up in the reference.
    """
    from vbench.analysis.claims import read_claims
    from vbench.comparing.pairings import paired
    from vbench.proof import pairs_wanted
    from vbench.store import Store

    if directory is None:
        raise AxisError("--pairs wants --records DIR, where what it measures is kept")
    budget_s, store = parse_duration_s(budget), Store(directory)
    with store.writing():
        known = {(done.first, done.second) for done in store.pairs()}
        wanted = pairs_wanted(read_claims(), *records_of(directory))
        left = [both for both in wanted if (both[0].id, both[1].id) not in known]
        for environment, done in paired(left, budget_s, lambda line: print(line, file=sys.stderr, flush=True)):
            store.add_environment(environment)
            store.add_pairs(done)
