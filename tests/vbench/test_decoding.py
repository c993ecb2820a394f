"""Lines to records: msgspec and the standard library must say the same, and neither may let a strange key pass."""

import importlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vbench import decoding
from vbench.decoding import NoRecordError
from vbench.errors import StoreError
from vbench.results import Record, record_to_json

Decoder = Callable[[bytes, str], Record]
REFERENCE = sorted((Path(__file__).parents[2] / "reports" / "reference").rglob("records.jsonl"))


def line(document: object) -> bytes:
    return json.dumps(document).encode()


@pytest.fixture(params=["decoding", "fast_decoding"])
def decoded(request: pytest.FixtureRequest) -> Decoder:
    return importlib.import_module(f"vbench.{request.param}").decoded


@pytest.fixture
def fast() -> Decoder:
    return importlib.import_module("vbench.fast_decoding").decoded


@pytest.fixture
def measured(make: Any) -> dict[str, Any]:
    return record_to_json(make.measured(make.cell(batch=2, precision="bf16", checkpointing=True)))


def test_every_kind_of_record_is_what_was_written(make: Any, decoded: Decoder) -> None:
    cell = make.cell(kernel="math")
    for record in (make.measured(cell), make.counted(cell), make.failed(cell), make.skipped(cell)):
        assert decoded(line(record_to_json(record)), "here") == record


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.parent.name)
def test_both_decoders_read_the_reference_alike(path: Path, fast: Decoder) -> None:
    for number, text in enumerate(path.read_bytes().splitlines()):
        if number % 7 == 0:
            assert fast(text, "here") == decoding.decoded(text, "here")


@pytest.mark.parametrize("place", [(), ("cell",), ("subject",), ("counts",), ("processes", 1)])
def test_an_unknown_key_is_named_wherever_it_stands(
    measured: dict[str, Any], decoded: Decoder, place: tuple[Any, ...]
) -> None:
    target: Any = measured
    for step in place:
        target = target[step]
    target["colour"] = "blue"
    with pytest.raises(StoreError, match=r"here is a broken record: .*colour"):
        decoded(line(measured), "here")


def test_a_missing_key_is_named(measured: dict[str, Any], decoded: Decoder) -> None:
    del measured["counts"]["macs"]
    with pytest.raises(StoreError, match=r"here is a broken record: .*macs"):
        decoded(line(measured), "here")


def test_a_value_of_another_type_is_named_with_its_place(measured: dict[str, Any], fast: Decoder) -> None:
    measured["processes"][2]["block"] = "many"
    with pytest.raises(StoreError, match=r"Expected `int`, got `str` - at `\$.processes\[2\].block`"):
        fast(line(measured), "here")


def test_not_a_number_is_a_number_here(measured: dict[str, Any], decoded: Decoder) -> None:
    measured["processes"][0]["build_s"] = math.nan
    record = decoded(line(measured), "here")
    assert record.status == "measured"
    assert math.isnan(record.processes[0].build_s)


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"7", b"null", b'"word"', b'{"a":1}', b"\xff\xfe", b"[" * 50_000])
def test_rubbish_is_no_record(decoded: Decoder, text: bytes) -> None:
    with pytest.raises(NoRecordError):
        decoded(text, "here")


@pytest.mark.parametrize("schema", [0, 2, 99, "1"])
def test_another_version_is_told_with_both(measured: dict[str, Any], decoded: Decoder, schema: object) -> None:
    with pytest.raises(StoreError, match=f"here has schema version {schema}; this vbench reads version 1"):
        decoded(line(measured | {"schema": schema}), "here")


def test_an_unknown_status_is_a_broken_record(measured: dict[str, Any], decoded: Decoder) -> None:
    with pytest.raises(StoreError, match=r"here is a broken record: .*guessed"):
        decoded(line(measured | {"status": "guessed"}), "here")
