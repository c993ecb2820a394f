"""Every command of the README and of docs/ runs, here in a directory of its own; long ones with less to do."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from vbench.analysis.claims import read_claims
from vbench.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ANSWERS = (0, 1, 3)  # done, a change or a slow-down, no answer: a mistake would be 2

LESS = {  # what a command is cut down to, where it would take minutes or needs what only its user has
    r"--budget (20m|30s)": "--budget 1s",
    r"^(vbench sweep .*vivit_\*.*)": r"\1 --dry-run",
    r"video_swin_t --memory 4GiB": "video_swin_t --memory 500MiB",  # fewer clips to predict
    r" --latency": "",  # tests/vbench/test_proof.py times a certificate
    r"^(vbench compare .*)": r"\1 --budget 3s",
    r"--against (HEAD~1|main)": "--against HEAD",
    r"^(vbench check .*--against .*)": r"\1 --cells docs/examples/one_cell.toml --budget 3s",
    r"^vbench check": "vbench check --baseline few.json",
}
ELSEWHERE = re.compile(r"--cluster|vbench worker|dask|^vbench tables")  # tests/vbench/fleet and test_cli.py run those


def commands() -> Iterator[tuple[str, str]]:
    """Each command once, with the first page that has it."""
    told: set[str] = set()
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            for line in block.splitlines():
                command = line.partition("  #")[0].strip()
                if command.startswith("vbench ") and command not in told and not ELSEWHERE.search(command):
                    told.add(command)
                    yield page.name, command


def shorter(command: str) -> str:
    for pattern, less in LESS.items():
        command = re.sub(pattern, less, command)
    return command


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout's surface: docs, the reference, a sweep's directory, a sweep's file."""
    place = tmp_path_factory.mktemp("place")
    (place / "docs").symlink_to(ROOT / "docs")
    (place / "reports").mkdir()
    (place / "reports" / "reference").symlink_to(ROOT / "reports" / "reference")
    (place / "reports" / "quick").mkdir()
    for name in ("records.jsonl", "environments.jsonl"):
        shutil.copy(ROOT / "reports" / "reference" / "epyc-2-cores" / name, place / "reports" / "quick")
    (place / "my_sweep.toml").write_text('[[block]]\nmodels = ["c3d"]\n', encoding="utf-8")
    return place


@pytest.fixture(scope="module", autouse=True)
def little_to_do(place: Path) -> Iterator[None]:
    """A gate over one model and three claims: the session `regression` and test_claims_on_models.py have them all."""
    three = read_claims()[:3]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("vbench.analysis.claims.read_claims", lambda: three)
        patched.setattr("vbench.gate.counted.gated_names", lambda: ["core:joint"])
        with pytest.raises(SystemExit):
            main(["check", "--update", "--baseline", f"{place / 'few.json'}"])
        yield


@pytest.mark.parametrize("page", dict.fromkeys(page for page, _ in commands()))
def test_the_commands_of_a_page_run_in_their_order(page: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    for command in (command for on_page, command in commands() if on_page == page):
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(shorter(command))[1:])
        assert (ended.value.code or 0) in ANSWERS, command


def test_links_between_the_pages_lead_somewhere() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not broken
