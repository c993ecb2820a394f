"""One model at two revisions: a git worktree of the old one, and a process that imports the model from there alone.

What measures is the same on both sides; only the model's code differs. A benchmark that measures other code than it
names is the worst failure there is: so each process checks, after its model has run, where every module came from.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import psutil

from vbench.cell import Cell
from vbench.errors import VbenchError
from vbench.measure.user_models import is_users, place_and_function

PREFIX = "vbench-against-"  # of worktrees, followed by the process that made them
CATALOG = "vbench_models"
INSTRUMENT = "vbench.measure"
Owner = Literal["catalog", "user"]


class RevisionError(VbenchError):
    """A revision that cannot be compared against."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where a side's model comes from: a tree that stands in for the repository, or the repository itself."""

    repository: Path
    tree: Path
    owner: Owner
    revision: str

    def counterpart(self, path: str | Path) -> Path | None:
        """Where a path of the repository lies in the tree; None for a path elsewhere."""
        resolved = Path(path or ".").resolve()
        if not resolved.is_relative_to(self.repository):
            return None
        return self.tree / resolved.relative_to(self.repository)


def source_of(cell: Cell) -> Source:
    """The repository that holds a cell's model, as it is now.

    Raises:
        RevisionError: the model is in no git repository.
    """
    owner: Owner = "user" if is_users(cell.model) else "catalog"
    file = _file_of(cell.model)
    top = _git(file.parent, "rev-parse", "--show-toplevel")
    if top is None or _git(file.parent, "ls-files", "--error-unmatch", file.name) is None:
        hint = "; --against needs a checkout of vbench, not an installed wheel" if owner == "catalog" else ""
        raise RevisionError(f"{cell.model} is in no git repository that tracks it ({file}){hint}")
    repository = Path(top).resolve()
    return Source(repository=repository, tree=repository, owner=owner, revision="now")


def _file_of(name: str) -> Path:
    place = place_and_function(name)[0] if is_users(name) else CATALOG
    if place.endswith(".py"):
        path = Path(place)
    else:
        try:
            specification = importlib.util.find_spec(place)
        except ModuleNotFoundError:
            specification = None
        path = Path(specification.origin) if specification and specification.origin else Path(place)
    if not path.is_file():
        raise RevisionError(f"no source file of {name!r}; a user's model is named file.py:function or package.module:f")
    return path.resolve()


def portable(cell: Cell) -> Cell:
    """The cell with its file named from here, so that the name is the same on both sides; a worker runs in its tree."""
    place, function = place_and_function(cell.model)
    if not place.endswith(".py"):
        return cell
    return replace(cell, model=f"{os.path.relpath(Path(place).resolve())}:{function}")


@contextmanager
def worktree(now: Source, revision: str) -> Iterator[Source]:
    """The repository's tree at `revision`, in a temporary directory; gone on leaving, however that is.

    Raises:
        RevisionError: git knows no such revision.
    """
    commit = _git(now.repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit is None:
        raise RevisionError(f"unknown revision {revision!r} in {now.repository}; a branch, a tag or a commit is wanted")
    remove_stale(now.repository)
    try:
        with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-") as place:
            tree = Path(place).resolve() / now.repository.name
            if _git(now.repository, "worktree", "add", "--detach", "--quiet", str(tree), commit) is None:
                raise RevisionError(f"git cannot make a worktree of {revision} of {now.repository}")
            yield replace(now, tree=tree, revision=revision)
    finally:
        _git(now.repository, "worktree", "prune")


def remove_stale(repository: Path) -> None:
    """Take away the worktrees of runs that were killed."""
    listed = _git(repository, "worktree", "list", "--porcelain") or ""
    for line in listed.splitlines():
        place = Path(line.removeprefix("worktree ")).parent
        is_ours = line.startswith("worktree ") and place.name.startswith(PREFIX)
        if is_ours and not _is_alive(place.name.removeprefix(PREFIX)):
            shutil.rmtree(place, ignore_errors=True)
    _git(repository, "worktree", "prune")


def _is_alive(owner: str) -> bool:
    number = owner.split("-", maxsplit=1)[0]
    return number.isdigit() and psutil.pid_exists(int(number))


def _git(directory: Path, *arguments: str) -> str | None:
    """What git prints; None where it refuses. No hook of the repository runs."""
    command = ["git", "-c", "core.hooksPath=/dev/null", "-C", str(directory), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=_environment())
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _environment() -> dict[str, str]:
    """Without what a git hook exports, which would point git at another repository."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def import_from(source: Source, model: str) -> None:
    """Make this process, which is fresh, import the code of `model` from the source's tree.

    For the catalog that is `vbench_models`; the instrument is imported again, so that it holds that code and no other.
    For a user's repository it is everything that the import path finds in it.

    Raises:
        RevisionError: the tree has no such file, or its catalog does not go with this instrument.
    """
    here = source.counterpart(Path.cwd())
    front = [str(here or source.tree)] if source.owner == "user" else [str(source.tree / "models")]
    for name in [name for name in sys.modules if _is_within(name, CATALOG) or _is_within(name, INSTRUMENT)]:
        del sys.modules[name]
    if source.owner == "catalog":
        sys.path[:0] = front
    try:
        importlib.import_module(f"{INSTRUMENT}.turn_worker")
    except ImportError as error:
        raise RevisionError(f"vbench_models at {source.revision} does not go with this vbench: {error}") from None
    if source.owner == "user":
        os.chdir(here or source.tree)
        sys.path[:] = front + [str(source.counterpart(entry) or entry) for entry in sys.path]
    importlib.invalidate_caches()
    place, _ = place_and_function(model)
    if place.endswith(".py") and not Path(place).is_file():
        raise RevisionError(f"no file {place!r} at {source.revision}")


def check_imported(source: Source | None, model: str) -> None:
    """Make sure that the model that ran, and all that it imported from its repository, came from the source's tree.

    Raises:
        RevisionError: a module came from elsewhere.
    """
    if source is None:
        return
    place = place_and_function(model)[0] if source.owner == "user" else CATALOG
    named = Path(place) if place.endswith(".py") else Path(sys.modules[place].__file__ or "")
    if not named.resolve().is_relative_to(source.tree):
        raise RevisionError(f"wrong code: {place} was imported from {named.resolve()}, not from {source.tree}")
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and _is_models(name, source) and _is_foreign(Path(file), source):
            raise RevisionError(f"wrong code: {name} was imported from {file}, not from {source.tree}")


def _is_models(name: str, source: Source) -> bool:
    """Whether a module belongs to the model rather than to the instrument."""
    if source.owner == "catalog":
        return _is_within(name, CATALOG)
    return not (_is_within(name, CATALOG) or _is_within(name, "vbench"))


def _is_foreign(file: Path, source: Source) -> bool:
    """Whether a module is one of the repository's, but not of this tree."""
    resolved = file.resolve()
    if resolved.is_relative_to(source.tree) and source.tree != source.repository:
        return False
    if source.owner == "catalog":
        return not resolved.is_relative_to(source.tree / "models")
    twin = source.counterpart(resolved)
    return twin is not None and twin != resolved and twin.exists()


def _is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")
