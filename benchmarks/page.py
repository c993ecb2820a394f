"""The head of a study's page: what it is about, and on which machine and with which torch its figures were made."""

from __future__ import annotations

from vbench.measure.environment import environment


def page(title: str, convention: str, text: str) -> str:
    """Markdown: the title, where the figures come from and what their units are, and the text."""
    here = environment(threads=1)
    origin = f"{here.hardware}, {here.cores} cores, torch {here.torch}. {convention}"
    return f"# {title}\n\n{origin}\n\n{text.strip()}\n"
