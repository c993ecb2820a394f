"""From a line of `records.jsonl` to a record with msgspec: version, keys and types are checked on the way.

msgspec decodes straight into the dataclasses of `vbench.results`, several times as fast as the standard library makes
dictionaries: a hundred thousand records are read before every resumed sweep and every report. It leaves keys that a
dataclass lacks unread, so a second, cheap pass over the line looks at the keys alone.
"""

from __future__ import annotations

from dataclasses import fields
from functools import reduce
from operator import or_
from types import GenericAlias
from typing import Any

import msgspec

from vbench import decoding
from vbench.cell import Cell
from vbench.decoding import NoRecordError, check_version
from vbench.errors import StoreError
from vbench.results import RECORD_TYPES, Counts, ProcessRun, Record, Subject

NESTED = {"cell": Cell, "subject": Subject, "counts": Counts, "processes": ProcessRun}


def decoded(line: bytes, where: str) -> Record:
    """The record of a line; `where` names the line in errors.

    Raises:
        NoRecordError: the line holds no record of any version.
        StoreError: it holds one of another schema version, or one with a key or a value that this version lacks.
    """
    try:
        keys = _KEYS.decode(line)
        check_version(keys.schema, where)
        record: Record = _RECORDS[type(keys)].decode(line)
    except msgspec.ValidationError as error:
        schema = decoding.schema_of(line)
        if schema is None:
            raise NoRecordError from None
        check_version(schema, where)
        raise StoreError(f"{where} is a broken record: {error}") from None
    except (msgspec.DecodeError, RecursionError):
        return decoding.decoded(line, where)  # JSON as Python writes it: with NaN or infinity for a number
    return record


def _keys_of(status: str) -> Any:
    """What refuses keys that a record of this status does not have, and passes over the values."""
    keys = [(field.name, _value_type(field.name), None) for field in fields(RECORD_TYPES[status])]
    beside = [("schema", Any, None), ("id", msgspec.Raw, None)]
    named = [key for key in keys if key[0] != "status"]
    return msgspec.defstruct("Keys", [*named, *beside], tag_field="status", tag=status, forbid_unknown_fields=True)


def _value_type(name: str) -> Any:
    """A nested object whose keys are looked at, or a value that is passed over."""
    if name not in NESTED:
        return msgspec.Raw
    keys = [(field.name, msgspec.Raw, None) for field in fields(NESTED[name])]
    strict: Any = msgspec.defstruct(name.capitalize(), keys, forbid_unknown_fields=True)
    return GenericAlias(list, strict) if name == "processes" else strict | None


_RECORDS: dict[Any, msgspec.json.Decoder[Any]] = {
    _keys_of(status): msgspec.json.Decoder(kind) for status, kind in RECORD_TYPES.items()
}
_KEYS: msgspec.json.Decoder[Any] = msgspec.json.Decoder(reduce(or_, _RECORDS))
