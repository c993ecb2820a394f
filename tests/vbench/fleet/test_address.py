"""Which cluster is meant, whether it may be talked to, and what is said of a mistake."""

from pathlib import Path

import dask
import pytest

from vbench.errors import FleetError, VbenchError
from vbench.fleet.address import Address, Cluster, LocalWorkers, Queue, cluster_from_document, read_cluster
from vbench.fleet.safety import is_loopback, security_for
from vbench.fleet.slot import held_slot


def test_an_address_or_a_file_names_a_cluster(tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text('address = "tls://head:8786"\nwait = "2h"\nworkers = 3\n')
    assert read_cluster("tcp://127.0.0.1:8786") == Cluster(place=Address(url="tcp://127.0.0.1:8786"))
    assert read_cluster(str(file)) == Cluster(place=Address(url="tls://head:8786"), wait_s=7200.0, workers=3)


def test_labels_stand_for_as_many_local_workers() -> None:
    two = LocalWorkers(workers=2, labels=("a", "b"))
    assert cluster_from_document({"local": {"labels": ["a", "b"]}}, "here") == Cluster(place=two, workers=2)
    assert cluster_from_document({"local": {}}, "here").place == LocalWorkers(workers=1)


def test_a_queue_takes_the_options_of_its_system() -> None:
    table = {"system": "slurm", "jobs": 4, "options": {"cores": 8, "memory": "32GB"}}
    assert cluster_from_document({"queue": table}, "here").place == Queue(
        system="slurm", jobs=4, options={"cores": 8, "memory": "32GB"}
    )


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({}, "names one of address, [local] and [queue]; got none"),
        ({"address": "tcp://h:1", "local": {}}, "got address and local"),
        ({"adress": "tcp://h:1"}, "did you mean 'address'?"),
        ({"address": "head:8786"}, "an address is tcp://HOST:PORT"),
        ({"address": "tcp://head:99999"}, "an address is tcp://HOST:PORT"),
        ({"local": 4}, "local is a table, written [local]; got 4"),
        ({"address": "tcp://h:1", "workers": "three"}, "workers must be a whole number of at least 1; got 'three'"),
        ({"local": {"workers": 0}}, "workers must be a whole number of at least 1; got 0"),
        ({"local": {"workers": 3, "labels": ["a"]}}, "got 1 labels for 3 workers"),
        ({"local": {"labels": ["An A"]}}, "hardware is a label of small letters"),
        ({"queue": {"system": "slrum"}}, "did you mean 'slurm'?"),
        ({"queue": {"system": "slurm", "job": 3}}, "did you mean 'jobs'?"),
    ],
)
def test_a_mistake_is_one_line_with_the_nearest_fix(document: dict, says: str) -> None:
    with pytest.raises(VbenchError) as error:
        cluster_from_document(document, "cluster.toml")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["nowhere.toml", "localhost", "http://127.0.0.1:1"])
def test_what_is_neither_an_address_nor_a_file_is_refused(text: str) -> None:
    with pytest.raises(FleetError):
        read_cluster(text)


@pytest.mark.parametrize(
    ("host", "it_is"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("h", False)],
)
def test_loopback_is_what_only_this_machine_answers_to(host: str, it_is: bool) -> None:
    assert is_loopback(host) is it_is


def test_another_machine_wants_tls_or_the_users_word() -> None:
    with pytest.raises(FleetError, match=r"without TLS.*--insecure"):
        security_for("tcp://10.0.0.1:8786", "client")
    assert security_for("tcp://10.0.0.1:8786", "client", insecure=True) is None
    assert security_for("tcp://127.0.0.1:8786", "worker") is None


def test_tls_wants_certificates_of_the_role_even_on_loopback(tmp_path: Path) -> None:
    lacking = r"no distributed\.comm\.tls\.ca-file and distributed\.comm\.tls\.worker\.cert"
    with pytest.raises(FleetError, match=lacking):
        security_for("tls://127.0.0.1:8786", "worker")
    files = {"ca-file": str(tmp_path / "ca.pem"), "client.cert": str(tmp_path / "cert.pem")}
    with dask.config.set({f"distributed.comm.tls.{name}": path for name, path in files.items()}):
        security = security_for("tls://10.0.0.1:8786", "client")
    assert security is not None
    assert (security.require_encryption, security.tls_ca_file) == (True, files["ca-file"])


def test_a_device_is_offered_once_unless_it_is_shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with (
        held_slot("cpu", shared=False),
        held_slot("cuda", shared=False),
        pytest.raises(FleetError, match="one slot a device"),
        held_slot("cpu", shared=False),
    ):
        pass
    with held_slot("cpu", shared=True), held_slot("cpu", shared=True):
        pass
