"""A model at two revisions, in small git repositories: which code runs, and what stays behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vbench.cell import Cell
from vbench.measure import revisions
from vbench.measure.pairs import Pairs, SideError
from vbench.measure.revisions import PREFIX, RevisionError, portable, source_of, worktree
from vbench.measure.turns import Side

CATALOG = Path(__file__).parents[3] / "models"

MODEL = """
import torch
from torch import nn
from work.steps import STEPS


class Steps(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(64))

    def forward(self, video):
        x = video.reshape(-1, 64)
        for _ in range(STEPS):
            x = x @ self.weight
        return x


def build(clip):
    return Steps()
"""


def git(repository: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=n", "-c", "user.email=n@example.com", "-C", str(repository), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def commit(repository: Path, message: str) -> None:
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", message)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's repository: in its last commit the model does twice the work of the one before; we stand in it."""
    place = tmp_path / "repository"
    (place / "work").mkdir(parents=True)
    (place / "work" / "__init__.py").touch()
    (place / "model.py").write_text(MODEL)
    (place / "work" / "steps.py").write_text("STEPS = 2\n")
    git(place.parent, "init", "--quiet", str(place))
    commit(place, "two")
    (place / "work" / "steps.py").write_text("STEPS = 4\n")
    commit(place, "four")
    monkeypatch.chdir(place)
    return place


def own(model: str = "model.py:build") -> Cell:
    return Cell(model=model, frames=2, height=8, width=8, threads=1)


def macs(cell: Cell, revision: str) -> tuple[int, int]:
    """MACs at the old revision, and now."""
    now = source_of(cell)
    with worktree(now, revision) as then:
        sides = (Side(label=tree.revision, cell=portable(cell), source=tree) for tree in (then, now))
        old, new = Pairs(tuple(sides), timeout_s=60).count()
    return old.macs, new.macs


def leftovers(repository: Path) -> list[str]:
    trees = [line for line in git(repository, "worktree", "list").splitlines() if PREFIX in line]
    return [*trees, *map(str, Path("/tmp").glob(f"{PREFIX}{os.getpid()}-*"))]


def test_each_side_counts_the_code_of_its_own_revision(repository: Path) -> None:
    old, new = macs(own(), "HEAD~1")
    assert new == 2 * old > 0
    assert not leftovers(repository)


def test_changes_that_are_not_committed_are_now(repository: Path) -> None:
    (repository / "work" / "steps.py").write_text("STEPS = 10\n")
    old, new = macs(own(), "HEAD")
    assert 4 * new == 10 * old


def test_an_absolute_name_and_a_package_s_name_do_as_well(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository / "work")
    monkeypatch.syspath_prepend(str(repository))
    for name in (f"{repository}/model.py:build", "../model.py:build", "model:build"):
        old, new = macs(own(name), "HEAD~1")
        assert new == 2 * old


def test_a_module_that_comes_from_elsewhere_is_an_error(repository: Path) -> None:
    """A model that puts its repository first on the import path would be the present one at every revision."""
    model = repository / "model.py"
    model.write_text(f"import sys\nsys.path.insert(0, {str(repository)!r})\n" + MODEL)
    commit(repository, "misled")
    (repository / "work" / "steps.py").write_text("STEPS = 8\n")
    with pytest.raises(SideError, match=r"HEAD: wrong code: work\S* was imported from .*repository"):
        macs(own(), "HEAD")
    assert not leftovers(repository)


def test_a_package_that_the_old_revision_lacks_is_not_taken_from_the_new_one(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "later.py").write_text(MODEL)
    commit(repository, "later")
    monkeypatch.syspath_prepend(str(repository))
    with pytest.raises(SideError, match=r"HEAD~1: no module 'later'"):
        macs(own("later:build"), "HEAD~1")
    with pytest.raises(SideError, match=r"HEAD~1: no file 'later\.py'"):
        macs(own("later.py:build"), "HEAD~1")


def test_the_catalog_at_two_revisions(tmp_path: Path) -> None:
    """Space-only attention that becomes joint attention: its core costs as many times more as there are frames."""
    place = tmp_path / "checkout"
    shutil.copytree(CATALOG, place / "models", ignore=shutil.ignore_patterns("__pycache__"))
    git(tmp_path, "init", "--quiet", str(place))
    commit(place, "space")
    file = place / "models" / "vbench_models" / "attention" / "space.py"
    file.write_text(file.read_text().replace('super().__init__(config, "h w")', 'super().__init__(config, "t h w")'))
    program = tmp_path / "program.py"
    program.write_text(
        f"import sys\nsys.path[:0] = [{str(place / 'models')!r}, {str(Path(__file__).parent)!r}]\n"
        "from test_revisions import Cell, macs\n"
        "if __name__ == '__main__':\n"
        "    cell = Cell(model='core:space', frames=8, height=4, width=4, unit='tokens')\n"
        "    print(*macs(cell, 'HEAD'))\n"
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=False, timeout=120)
    assert not done.stderr
    old, new = map(int, done.stdout.split())
    assert new == 8 * old > 0


def test_mistakes_are_one_line(repository: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(RevisionError, match=r"unknown revision 'nowhere' in .*repository"),
        worktree(source_of(own()), "nowhere"),
    ):
        pass
    with pytest.raises(RevisionError, match=r"unknown revision '--help'"), worktree(source_of(own()), "--help"):
        pass
    (tmp_path / "alone.py").write_text(MODEL)
    with pytest.raises(RevisionError, match=r"is in no git repository that tracks it"):
        source_of(own(f"{tmp_path}/alone.py:build"))
    (repository / "new.py").write_text(MODEL)
    with pytest.raises(RevisionError, match=r"is in no git repository that tracks it"):
        source_of(own("new.py:build"))
    with pytest.raises(RevisionError, match=r"no source file of 'absent\.module:build'"):
        source_of(own("absent.module:build"))


def test_a_wheel_s_catalog_has_no_revisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "site-packages" / "vbench_models" / "__init__.py"
    installed.parent.mkdir(parents=True)
    installed.touch()
    monkeypatch.setattr(revisions, "_file_of", lambda _: installed)
    with pytest.raises(RevisionError, match=r"needs a checkout of vbench, not an installed wheel"):
        source_of(Cell(model="vivit_b_16x2", frames=32, height=224, width=224))


def test_an_interrupt_leaves_no_worktree(repository: Path) -> None:
    seen: list[Path] = []

    def interrupted() -> None:
        with worktree(source_of(own()), "HEAD~1") as then:
            assert then.tree.is_dir()
            seen.append(then.tree)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not seen[0].exists()
    assert not leftovers(repository)


def test_a_killed_run_s_worktree_goes_with_the_next(repository: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    stale = Path("/tmp") / f"{PREFIX}{int(gone.stdout)}-abc"
    git(repository, "worktree", "add", "--detach", "--quiet", str(stale / "repository"), "HEAD~1")
    with worktree(source_of(own()), "HEAD~1"):
        pass
    assert not stale.exists()
    assert not leftovers(repository)
