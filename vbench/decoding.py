"""From a line of `records.jsonl` to a record with the standard library alone; `fast_decoding` does the same, faster."""

from __future__ import annotations

import json
from typing import Any

from vbench.errors import StoreError
from vbench.results import SCHEMA, Record, record_from_json


class NoRecordError(Exception):
    """The line is no JSON, or JSON that no version of the store has written."""


def decoded(line: bytes, where: str) -> Record:
    """The record of a line; `where` names the line in errors.

    Raises:
        NoRecordError: the line holds no record of any version.
        StoreError: it holds one of another schema version, or one with a key or a value that this version lacks.
    """
    schema = schema_of(line)
    if schema is None:
        raise NoRecordError
    check_version(schema, where)
    try:
        return record_from_json(json.loads(line))
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{where} is a broken record: {error!r}") from None


def schema_of(line: bytes) -> Any:
    """What the line says of its schema's version; None if it says nothing or is no JSON."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return document.get("schema") if isinstance(document, dict) else None


def check_version(schema: object, where: str) -> None:
    """Refuse another schema version.

    Raises:
        StoreError: it is another one.
    """
    if schema != SCHEMA:
        raise StoreError(f"{where} has schema version {schema}; this vbench reads version {SCHEMA}")
