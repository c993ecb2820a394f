"""The table of contents of the work: `nox -s sweep` measures, `nox -s tests` tests, `nox --list` shows the rest."""

from __future__ import annotations

import nox

nox.needs_version = ">=2024.10"
nox.options.sessions = ["tests", "lint"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
CONSTRAINTS = ("-c", "constraints.txt")
BESIDE_EACH_OTHER = ("-n", "auto", "--dist", "loadfile")  # a process a core, and no test asks how long something takes
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # in each of them
PEERS = ("torchvision==0.28.0", "pytorchvideo==0.1.5")  # without what they need: torch is there, and pinned


def install(session: nox.Session, *groups: str) -> None:
    """Install the project, editable so that records name its commit, with the dependency groups asked for."""
    needed = [requirement for group in groups for requirement in nox.project.dependency_groups(PYPROJECT, group)]
    session.install(*CONSTRAINTS, "-e", ".[video]", *needed)


@nox.session
def sweep(session: nox.Session) -> None:
    """Measure preset `quick` into reports/quick; `nox -s sweep -- --preset cpu` passes arguments on."""
    install(session)
    session.run("vbench", "sweep", *(session.posargs or ("--preset", "quick")))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the suite; `nox -s tests -- -k divided` passes arguments on."""
    install(session, "tests")
    session.run("pytest", *BESIDE_EACH_OTHER, *session.posargs, env=ONE_THREAD)


@nox.session
def parity(session: nox.Session) -> None:
    """Compare the models with transformers, torchvision and pytorchvideo, weights copied across."""
    install(session, "parity")
    session.install("--no-deps", *PEERS, "timm>=1.0")
    session.run("pytest", *BESIDE_EACH_OTHER, "tests/parity", *session.posargs, env=ONE_THREAD)


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """Use the offline page in headless Chromium, which the system must have; a report is made without torch."""
    light = [needed for needed in PYPROJECT["project"]["dependencies"] if not needed.startswith(("torch", "fvcore"))]
    session.install(*light, *nox.project.dependency_groups(PYPROJECT, "browser"))
    session.install("--no-deps", "-e", ".")
    session.run("pytest", "tests/browser", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, mypy and the import contracts."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session(default=False)
def report(session: nox.Session) -> None:
    """Write the report of a sweep again; `nox -s report -- reports/cpu` names another one than reports/quick."""
    install(session)
    session.run("vbench", "report", *(session.posargs or ("reports/quick",)))


@nox.session(default=False)
def regression(session: nox.Session) -> None:
    """Gate the counted figures exactly against reports/baseline.json; `-- --against main` times cells, too."""
    install(session)
    session.run("vbench", "check", *session.posargs)


@nox.session(default=False)
def benchmarks(session: nox.Session) -> None:
    """Time tests/benchmarks with pytest-benchmark, and save its JSON with our figures in `extra_info`."""
    install(session, "tests")
    saved = "--benchmark-json=reports/benchmarks.json"
    session.run("pytest", "tests/benchmarks", "--benchmark-enable", saved, *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Patterns against their roofline, models against the libraries' own, streams of a video; minutes, undisturbed.

    `nox -s bench -- models video_swin_t` runs one of them, or another study of `benchmarks/` (gate, coverage, kills,
    longest, ...), with arguments.
    """
    which, *arguments = session.posargs or ("all",)
    install(session, "parity")
    session.install("--no-deps", *PEERS)
    for name in ("patterns", "models", "streams") if which == "all" else (which,):
        session.run("python", "-m", f"benchmarks.{name}", *arguments)
