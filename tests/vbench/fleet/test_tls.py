"""A fleet under TLS: who holds a certificate of its authority is served, who holds another's is turned away."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks import clusters
from benchmarks.clusters import LoopbackCluster
from benchmarks.crashes import Place

SWEEP = ("--models", "core:space", "--grids", "1x2x2,2x2x2", "--processes", "1", "--timeout", "10s")
CELLS = {f"core:space/g{grid}/b1/fp32/infer/eager/fused/cpu" for grid in ("1x2x2", "2x2x2")}
ROLES = ("scheduler", "worker", "client")


def signed(name: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """The key's certificate; an authority's own where it is signed by itself."""
    now = datetime.datetime.now(datetime.UTC)
    named = {who: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, who)]) for who in (name, issuer)}
    builder = x509.CertificateBuilder(
        subject_name=named[name], issuer_name=named[issuer], public_key=key.public_key(),
        serial_number=x509.random_serial_number(), not_valid_before=now - datetime.timedelta(days=1),
        not_valid_after=now + datetime.timedelta(days=1),
    )  # fmt: skip
    authority = x509.BasicConstraints(ca=name == issuer, path_length=None)
    return builder.add_extension(authority, critical=True).sign(by, hashes.SHA256())


def configuration(folder: Path) -> Path:
    """A folder of Dask's configuration with an authority of its own and one certificate for every role."""
    folder.mkdir()
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(signed("authority", authority, "authority", authority).public_bytes(pem))
    (folder / "cert.pem").write_bytes(signed("vbench", key, "authority", authority).public_bytes(pem))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, *plain))
    held = f"{{cert: {folder / 'cert.pem'}, key: {folder / 'key.pem'}}}"
    roles = "".join(f"      {role}: {held}\n" for role in ROLES)
    text = f"distributed:\n  comm:\n    require-encryption: true\n    tls:\n      ca-file: {folder / 'ca.pem'}\n{roles}"
    (folder / "tls.yaml").write_text(text)
    return folder


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackCluster]:
    monkeypatch.setenv("DASK_CONFIG", str(configuration(tmp_path / "certified")))
    with clusters.loopback_cluster(tmp_path / "cluster", ("one",), protocol="tls") as cluster:
        yield cluster


def test_a_sweep_over_tls_is_a_sweep_and_a_stranger_is_turned_away(
    cluster: LoopbackCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path / "client", (*SWEEP, "--cluster", cluster.url))
    assert place.finish("--no-report") == 0, place.said
    assert place.problems([], CELLS) == []

    monkeypatch.setenv("DASK_CONFIG", str(configuration(tmp_path / "strange")))
    stranger = Place(tmp_path / "stranger", (*SWEEP, "--cluster", cluster.url))
    assert stranger.finish("--no-report") == 2, stranger.said
    assert "Traceback" not in stranger.said
    assert cluster.url in stranger.said
    assert stranger.records() == []
