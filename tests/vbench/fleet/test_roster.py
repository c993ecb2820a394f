"""Who in a cluster takes which cell, and in which environments a cell counts as measured."""

from dataclasses import replace
from typing import Any

import pytest

from vbench.cell import Cell
from vbench.errors import AxisError
from vbench.fleet.announced import ANNOUNCED, Offer, demands, label_of, offer_from_json, version_of
from vbench.fleet.roster import Roster
from vbench.measure.environment import kind_of, of_one_host

GIB = 2**30


def offer(make: Any, label: str, device: str = "cpu", memory_bytes: int = 8 * GIB, **facts: Any) -> Offer:
    if device == "cuda":
        facts |= {"accelerator": "GPU", "accelerator_memory_bytes": memory_bytes}
    return Offer(device=device, label=label, environment=make.environment(memory_bytes=memory_bytes, **facts))


def told(offer: Offer) -> dict[str, Any]:
    """What Dask's scheduler says of a worker."""
    return {"status": "running", "resources": offer.resources(), ANNOUNCED: offer.to_json()}


def roster(make: Any, **offers: Offer) -> Roster:
    known = Roster(version_of(make.environment()))
    known.update({address: told(one) for address, one in offers.items()})
    return known


def satisfies(demanded: dict[str, float], resources: dict[str, float]) -> bool:
    """Dask's rule: a worker must have as much of every resource as the task demands."""
    return all(resources.get(name, 0) >= amount for name, amount in demanded.items())


def test_an_announcement_comes_back_as_it_was_sent(make: Any) -> None:
    sent = offer(make, "h200", "cuda")
    assert offer_from_json(sent.to_json()) == sent


def test_dasks_rule_over_resources_is_ours_over_offers(make: Any) -> None:
    offers = [
        offer(make, label, device, size * GIB)
        for label, device in (("a", "cpu"), ("b", "cpu"), ("a", "cuda"))
        for size in (1, 16)
    ]
    known = roster(make, **{str(number): one for number, one in enumerate(offers)})
    version = version_of(make.environment())
    for device in ("cpu", "cuda"):
        for hardware in ("", "a", "b", "c"):
            for needed in (0, 4 * GIB, 64 * GIB):
                cell = make.cell(device=device, hardware=hardware)
                demanded = demands(cell, version, needed)
                assert known.able(cell, needed) == [one for one in offers if satisfies(demanded, one.resources())]


def test_a_worker_of_another_version_never_satisfies_a_demand_and_both_versions_are_named(make: Any) -> None:
    theirs = offer(make, "a", torch="2.9.0", commit="old", host="far")
    known = Roster(version_of(make.environment()))
    lines = known.update({"tcp://far:1": told(theirs), "tcp://plain:1": {"status": "running"}})
    assert lines == [
        "worker tcp://far:1 on far is refused: it has torch 2.9.0, vbench old; here is torch 2.13.0, vbench abc1234",
        "worker tcp://plain:1 is refused: it was not started with `vbench worker`",
    ]
    assert known.offers == {}
    assert not satisfies(demands(make.cell(), version_of(make.environment()), 0), theirs.resources())
    assert known.update({"tcp://far:1": told(theirs)}) == []


def test_an_announcement_of_unknown_form_is_refused_by_its_version_before_it_is_read(make: Any) -> None:
    announced = {"version": "torch 9, vbench 9", "host": "future", "devices": ["cpu"]}
    known = Roster(version_of(make.environment()))
    assert (
        "is refused: it has torch 9, vbench 9"
        in known.update({"tcp://f:1": {"status": "running", ANNOUNCED: announced}})[0]
    )


def test_who_comes_and_goes_is_told_once(make: Any) -> None:
    known, one = roster(make), offer(make, "a")
    assert known.update({"tcp://h:1": told(one)}) == ["worker tcp://h:1 offers cpu as a"]
    assert known.update({"tcp://h:1": told(one)}) == []
    assert known.update({"tcp://h:1": told(one) | {"status": "closing_gracefully"}}) == [
        "worker tcp://h:1 is gone: cpu as a"
    ]


def test_a_cell_that_nobody_takes_says_what_there_is(make: Any) -> None:
    known = roster(make, one=offer(make, "epyc"), two=offer(make, "xeon"))
    assert known.refusal(make.cell()) == ""
    assert known.refusal(make.cell(hardware="xeon")) == ""
    has = "the fleet has cpu as epyc, cpu as xeon"
    assert known.refusal(make.cell(device="cuda")) == f"no worker offers cuda; {has}"
    assert known.refusal(make.cell(hardware="arm")) == f"no worker offers cpu as arm; {has}"


def test_a_cell_larger_than_every_workers_memory_says_so(make: Any) -> None:
    known = roster(make, one=offer(make, "a", memory_bytes=2 * GIB), two=offer(make, "b", memory_bytes=4 * GIB))
    assert known.lacking_memory(make.cell(), 3 * GIB) == ""
    assert "4.00 GiB is the most" in known.lacking_memory(make.cell(), 5 * GIB)
    assert "2.00 GiB is the most" in known.lacking_memory(make.cell(hardware="a"), 3 * GIB)


def test_a_file_of_the_clients_cannot_be_sent(make: Any) -> None:
    with pytest.raises(AxisError, match=r"got the file 'mine\.py:build'"):
        roster(make).refusal(Cell(model="mine.py:build", frames=8, height=8, width=8))


def test_two_hosts_of_one_kind_do_each_others_cells_and_share_no_interval(make: Any) -> None:
    here, there = make.environment(host="one"), make.environment(host="two")
    assert kind_of(here) == kind_of(there)
    assert of_one_host(here).fingerprint != of_one_host(there).fingerprint
    assert kind_of(of_one_host(here)) == kind_of(here)
    assert kind_of(replace(here, torch="2.14.0")) != kind_of(here)


def test_what_a_worker_measured_stays_measured_when_it_has_left(make: Any) -> None:
    known, one = roster(make, one=offer(make, "a")), make.cell()
    before = known.kinds(one)
    assert len(before) == 1
    known.update({})
    assert known.kinds(one) == before
    known.update({"two": told(offer(make, "a", hardware="Other CPU"))})
    assert known.kinds(one) > before
    assert known.kinds(make.cell(threads=7)).isdisjoint(known.kinds(one))


@pytest.mark.parametrize(
    ("hardware", "label"),
    [("NVIDIA H200", "nvidia-h200"), ("AMD EPYC 9B14 @ 2.6GHz", "amd-epyc-9b14-2.6ghz"), ("(R)", "r"), ("", "unnamed")],
)
def test_a_label_is_the_hardwares_name_in_small_letters(hardware: str, label: str) -> None:
    assert label_of(hardware) == label
