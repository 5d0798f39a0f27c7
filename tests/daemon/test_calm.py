"""Calm: machines that flap, and changes of many machines at once, with the real daemon. Who is owed what in every case is told in
tests/unit/store/test_calm.c."""

import os
import signal

import pytest

from test_hooks import told, wait_delivered

NON = "node.non_compliant"
GOOD = "node.compliant"
SHIFT = "fleet.shift"


@pytest.fixture(name="fleet")
def fleet_fixture(pw, sim):
    """Sixty compliant nodes that were seen once; the defaults of calm hold."""
    sim.fleet(nodes=60, non_compliant=0)
    for key in ("mass_change", "flap_window"):
        del pw.sources["prod"][key]
    pw.write_config()
    pw.record_all()
    pw.sweeps(1)
    return pw


def types(pw):
    return [row["type"].removeprefix("io.patchwatch.") for row in pw.rows("SELECT type FROM event ORDER BY event_id")]


def states(pw, kind):
    """state and reason to number, of the deliveries of one type of event."""
    rows = pw.rows("SELECT d.state, d.reason, count(*) AS n FROM delivery AS d JOIN event AS e USING (event_id)"
                   " WHERE e.type = ? GROUP BY 1, 2", f"io.patchwatch.{kind}")
    return {(row["state"], (row["reason"] or "").split(" ")[0]): row["n"] for row in rows}


def trip(sim):
    """Half of the fleet flips; after the six pages that show it the API answers no more, so that nothing is confirmed."""
    sim.flip(count=30, to="non_compliant")
    sim.fault("status", status=503, after=6, times=0)


def test_shift_is_told_once(fleet, sim):
    """Half of the fleet flips: one fleet.shift, no page a machine; every event is recorded. --once sweeps again by itself."""
    sim.flip(count=30, to="non_compliant")
    fleet.sweeps(1)
    assert told(fleet) == [(SHIFT, "")]
    assert types(fleet).count(NON) == 30
    assert states(fleet, NON) == {("muted", "fleet.shift"): 30}
    data = fleet.hook_calls()[0]["event"]["data"]["shift"]
    assert data["confirmed"] is True and data["nodes"] == 30 and data["of"] == 60
    assert data["changes"]["to_non_compliant"] == 30
    # The end of each, one by one, is told as ever: it counts as told.
    key = sim.flip_to(0, "compliant")
    fleet.sweeps(1)
    assert told(fleet)[1:] == [(GOOD, key)]


def test_below_the_thresholds_nothing_is_held(fleet, sim):
    """15 of 60 are not more than a quarter; 19 are not 20."""
    keys = sorted(node["key"] for node in sim.flip(count=15, to="non_compliant"))
    fleet.sweeps(1)
    assert sorted(told(fleet)) == [(NON, key) for key in keys]
    sim.flip(count=4, to="non_compliant")
    fleet.sweeps(1)
    assert SHIFT not in types(fleet) and len(told(fleet)) == 19


def test_shift_that_goes_back_was_nothing(fleet, sim):
    """The next sweep shows it as it was: nobody is told, but of what stands."""
    trip(sim)
    fleet.start()
    try:
        fleet.wait_rows("SELECT 1 FROM delivery WHERE held_by IS NOT NULL", deadline_s=30)
        for index in range(1, 30):
            sim.flip_to(index, "compliant")
        sim.control("fault/clear")
        fleet.wait_rows("SELECT 1 FROM source WHERE shift_since IS NULL AND baseline_at IS NOT NULL"
                        " AND NOT EXISTS (SELECT 1 FROM delivery WHERE held_by IS NOT NULL)", deadline_s=60)
        wait_delivered(fleet, 1)
    finally:
        fleet.stop()
    assert SHIFT not in types(fleet)
    assert [kind for kind, _ in told(fleet)] == [NON]
    assert states(fleet, NON)[("dropped", "went")] == 29


@pytest.mark.skipif(os.environ.get("PATCHWATCH_HAS_FAILPOINTS", "1") != "1", reason="this build has no failpoints")
@pytest.mark.parametrize("point", ["apply", "commit"])
def test_kill_while_it_is_held(fleet, sim, point):
    """Killed at the end of the sweep that trips: after the restart it is told as one, and once."""
    sim.flip(count=30, to="non_compliant")
    assert fleet.once(env={"PATCHWATCH_FAILPOINT": f"{point}:1"}) != 0
    assert told(fleet) == []
    fleet.sweeps(1)
    fleet.sweeps(1)
    assert [kind for kind, _ in told(fleet)] == [SHIFT]
    assert types(fleet).count(NON) == 30


def test_restart_while_it_is_held(fleet, sim):
    """SIGKILL between the two sweeps: held it stays, and the next complete sweep decides."""
    trip(sim)
    fleet.start()
    fleet.wait_rows("SELECT 1 FROM delivery WHERE held_by IS NOT NULL", deadline_s=30)
    fleet.stop(signal.SIGKILL)
    sim.control("fault/clear")
    assert told(fleet) == []
    assert fleet.value("SELECT count(*) FROM delivery WHERE held_by IS NOT NULL") == 30
    fleet.sweeps(1)
    assert [kind for kind, _ in told(fleet)] == [SHIFT]


def test_shift_that_nobody_can_confirm(fleet, sim):
    """Three sweeps that say nothing: told all the same, as unconfirmed."""
    trip(sim)
    fleet.start()
    wait_delivered(fleet, 1)
    fleet.stop()
    assert [kind for kind, _ in told(fleet)] == [SHIFT]
    assert fleet.hook_calls()[0]["event"]["data"]["shift"]["confirmed"] is False


def test_flapping_is_told_once_and_settles(fleet, sim):
    """To and fro with every sweep: told until it is no news, then node.flapping, and node.settled when it rests."""
    fleet.sources["prod"].update({"flap_window": "6"})
    fleet.write_config()
    status = ["compliant", "non_compliant"]
    for turn in range(1, 9):
        key = sim.flip_to(5, status[turn % 2])
        fleet.sweeps(1)
    kinds = [kind for kind, _ in told(fleet)]
    assert kinds.count("node.flapping") == 1 and kinds[-1] == "node.flapping"
    assert types(fleet).count(NON) == 4 and types(fleet).count(GOOD) == 4
    before = len(kinds)
    for _ in range(6):
        fleet.sweeps(1)
    assert told(fleet)[before:] == [("node.settled", key)]
    settled = fleet.hook_calls()[-1]["event"]
    assert settled["data"]["to"] == "compliant"
    sim.flip_to(5, "non_compliant")
    fleet.sweeps(1)
    assert told(fleet)[-1] == (NON, key)


def test_flapping_off(fleet, sim):
    fleet.sources["prod"].update({"flap_window": "0"})
    fleet.write_config()
    for turn in range(1, 13):
        sim.flip_to(5, ["compliant", "non_compliant"][turn % 2])
        fleet.sweeps(1)
    assert len(told(fleet)) == 12
