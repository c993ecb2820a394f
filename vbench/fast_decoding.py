"""From a line of `records.jsonl` to a record with msgspec: version, keys and types are checked on the way.

msgspec decodes straight into the dataclasses of `vbench.results`, several times as fast as the standard library makes
dictionaries: a hundred thousand records are read before every resumed sweep and every report. It leaves keys that a
dataclass lacks unread, so a second, cheap pass over the line looks at the keys alone.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from types import GenericAlias
from typing import Any

import msgspec

from vbench import decoding
from vbench.cell import Cell
from vbench.decoding import NoRecordError, check_version
from vbench.errors import StoreError
from vbench.results import RECORD_TYPES, Counts, ProcessRun, Record, Subject

NESTED = {"cell": Cell, "subject": Subject, "counts": Counts, "processes": ProcessRun}


_HEAD: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
    msgspec.defstruct("Head", [("schema", Any), ("status", str, "")])
)


def decoded(line: bytes, where: str) -> Record:
    """The record of a line; `where` names the line in errors.

    Raises:
        NoRecordError: the line holds no record of any version.
        StoreError: it holds one of another schema version, or one with a key or a value that this version lacks.
    """
    try:
        head = _HEAD.decode(line)
        check_version(head.schema, where)
        records, keys = _decoders(head.status)
        keys.decode(line)
        record: Record = records.decode(line)
    except msgspec.ValidationError as error:
        if decoding.schema_of(line) is None:
            raise NoRecordError from None
        raise StoreError(f"{where} is a broken record: {error}") from None
    except (msgspec.DecodeError, RecursionError):
        return decoding.decoded(line, where)  # JSON as Python writes it: with NaN or infinity for a number
    return record


@cache
def _decoders(status: str) -> tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]:
    """What decodes a record of this status, and what refuses keys that such a record does not have."""
    if status not in RECORD_TYPES:
        raise msgspec.ValidationError(f"Invalid status {status!r}; known: {', '.join(RECORD_TYPES)} - at `$.status`")
    keys = [(field.name, _value_type(field.name), None) for field in fields(RECORD_TYPES[status])]
    beside = [("schema", msgspec.Raw, None), ("id", msgspec.Raw, None)]
    strict = msgspec.defstruct("Keys", [*keys, *beside], forbid_unknown_fields=True)
    return msgspec.json.Decoder(RECORD_TYPES[status]), msgspec.json.Decoder(strict)


def _value_type(name: str) -> Any:
    """A nested object whose keys are looked at, or a value that is passed over."""
    if name not in NESTED:
        return msgspec.Raw
    keys = [(field.name, msgspec.Raw, None) for field in fields(NESTED[name])]
    strict: Any = msgspec.defstruct(name.capitalize(), keys, forbid_unknown_fields=True)
    return GenericAlias(list, strict) if name == "processes" else strict | None
