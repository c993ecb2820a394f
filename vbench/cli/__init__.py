"""The command line: reads what the user asks, wires counting, sweeping and reporting, and prints.

A file is a group of commands. What a command needs is imported inside it, so that `vbench --help` and `vbench list`
answer at once.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import typer

from vbench.cli import (
    auditing,
    catalog,
    comparing,
    counting,
    elsewhere,
    fitting,
    fleet,
    gating,
    judging,
    reading,
    sweeping,
)
from vbench.cli.interruption import interruptible
from vbench.cli.options import INTERRUPTED, USERS_MISTAKE
from vbench.cli.output import fail
from vbench.errors import VbenchError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What a video transformer costs, how that cost grows, and which one to take for a clip.",
)

COMMANDS: dict[str, Callable[..., object]] = {
    "list": catalog.list_models,
    "show": catalog.show,
    "count": counting.count,
    "sweep": sweeping.sweep,
    "report": sweeping.report,
    "worker": fleet.worker,
    "tables": reading.tables,
    "guide": reading.guide,
    "certify": judging.certify,
    "claims": judging.claims,
    "fit": fitting.fit,
    "hardware": elsewhere.hardware,
    "input": elsewhere.input_pipeline,
    "compare": comparing.compare,
    "check": gating.check,
    "audit": auditing.audit,
    "env": catalog.env,
}


def _paragraphs(command: Callable[..., object]) -> str:
    """The command's docstring with one line a paragraph: where lines break is for the terminal's width to say."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.getdoc(command) or "")


for _name, _command in COMMANDS.items():
    app.command(_name, help=_paragraphs(_command))(_command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; a user's mistake is one line on stderr and exit code 2."""
    try:
        with interruptible():
            code = app(arguments, standalone_mode=False)
    except VbenchError as error:
        fail(str(error), USERS_MISTAKE)
    except KeyboardInterrupt:
        fail("interrupted; the same command resumes", INTERRUPTED)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        if hasattr(error, "format_message"):  # a mistake that Typer found: unknown option, missing argument
            fail(error.format_message(), USERS_MISTAKE)
        if type(error).__name__ == "Abort":
            fail("interrupted; the same command resumes", INTERRUPTED)
        raise
    if code == INTERRUPTED:  # Typer has caught the interrupt, and said nothing
        fail("interrupted; the same command resumes", INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)
