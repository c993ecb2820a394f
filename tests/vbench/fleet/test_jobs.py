"""What a queueing system is asked to run: dask-jobqueue writes the job, ours is the worker in it."""

import re
from pathlib import Path

import pytest

from vbench.cli import job
from vbench.errors import FleetError
from vbench.fleet.address import Queue
from vbench.fleet.started import queue_cluster

OPTIONS = {"cores": 4, "memory": "8GB", "scheduler_options": {"host": "127.0.0.1"}}


def test_a_slurm_job_runs_our_worker_with_what_the_user_asked_of_the_queue(capsys: pytest.CaptureFixture[str]) -> None:
    options = OPTIONS | {"queue": "gpu", "walltime": "02:00:00", "job_extra_directives": ["--gres=gpu:1"]}
    with queue_cluster(Queue(system="slurm", jobs=2, options=options), insecure=True) as cluster:
        script = cluster.job_script()
    assert re.search(r"^\S+python\S* -m vbench\.cli\.job tcp://127\.0\.0\.1:\d+ --name \S+ ", script, re.MULTILINE)
    for line in ("#SBATCH -p gpu", "#SBATCH -t 02:00:00", "#SBATCH --gres=gpu:1"):
        assert line in script


def test_our_job_takes_the_words_that_are_written_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # where the slot is held: real workers may run beside
    asked = {}

    def note(url: str, offer: object, security: object, say: object, *, name: str, patience_s: float) -> None:
        asked.update(url=url, security=security, name=name, patience_s=patience_s)

    monkeypatch.setattr(job, "serve", note)
    with queue_cluster(Queue(system="slurm", jobs=1, options=OPTIONS), insecure=True) as cluster:
        (command,) = [line for line in cluster.job_script().splitlines() if job.__name__ in line]
    job.main(command.split(job.__name__)[1].split())
    assert asked["url"].startswith("tcp://127.0.0.1:")
    assert (asked["security"], asked["patience_s"]) == (None, 20.0)
    assert asked["name"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Dask's half-made cluster at its end
def test_options_that_the_queue_does_not_know_are_one_line() -> None:
    with pytest.raises(FleetError, match=r"slurm: dask-jobqueue refuses its options: .*colour"):
        queue_cluster(Queue(system="slurm", jobs=1, options=OPTIONS | {"colour": "blue"}), insecure=True)
