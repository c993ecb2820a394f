"""Who may be talked to: this machine itself, or others under TLS; anything else only where the user says so.

Whoever reaches a Dask scheduler or worker can run any code on it, as the user that started it. TLS with certificates of
an authority of one's own, Dask's own `Security`, lets in those alone who hold a certificate.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Literal

from vbench.errors import FleetError
from vbench.fleet.address import parse_url

if TYPE_CHECKING:
    from distributed import Security


def is_loopback(host: str) -> bool:
    """Whether only this machine can be meant."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def security_for(url: str, role: Literal["client", "worker"], *, insecure: bool = False) -> Security | None:
    """The credentials with which `role` talks to the scheduler at `url`; None where it needs none.

    Raises:
        FleetError: another machine without TLS, and not `insecure`; or TLS without certificates.
    """
    protocol, host, _ = parse_url(url)
    if protocol == "tls":
        return _certified(url, role)
    if is_loopback(host) or insecure:
        return None
    raise FleetError(
        f"{url} is another machine, without TLS: whoever reaches it can run code on its workers; "
        "use tls://HOST:PORT with certificates, or accept that with --insecure"
    )


def _certified(url: str, role: Literal["client", "worker"]) -> Security:
    from distributed import Security

    security = Security(require_encryption=True)
    facts = {"ca-file": security.tls_ca_file, f"{role}.cert": getattr(security, f"tls_{role}_cert")}
    lacking = [name for name, value in facts.items() if not value]
    if lacking:
        names = " and ".join(f"distributed.comm.tls.{name}" for name in lacking)
        raise FleetError(f"{url} wants certificates: Dask's configuration has no {names}; see docs/fleet.md")
    return security
