"""SIGKILL at every point. No event is lost or doubled, every delivery is made at least once, in order."""

import os
import random
import signal
import subprocess
from collections import defaultdict

import pytest

from harness import node_key, processes_with, wait_until

FAILPOINTS = ("fetch", "apply", "commit", "commit-before", "commit-after", "claim", "hook_start", "hook_end")
# The release build has no failpoints; the kills at random moments run there too.
needs_failpoints = pytest.mark.skipif(os.environ.get("PATCHWATCH_HAS_FAILPOINTS", "1") != "1",
                                      reason="this build has no failpoints")
TRANSITIONS = ("node.compliant", "node.non_compliant")


class Ledger:
    """What truly happened, node by node, to be held against what was told."""

    def __init__(self):
        self.history = defaultdict(list)

    def flip(self, sim, first, count):
        for index in range(first, first + count):
            node = sim.flip(index=index)[0]
            self.history[node["key"]].append("node." + node["to"])

    def assert_told(self, pw):
        """Every transition is one event with an id of its own, in its node's order, and was delivered in that order."""
        told, ids, delivered = defaultdict(list), [], defaultdict(list)
        for event in pw.events(*TRANSITIONS):
            told[event["subject"]].append(event["kind"])
            ids.append(event["id"])
        assert dict(told) == dict(self.history), pw.tail()
        assert len(set(ids)) == len(ids)
        for call in pw.hook_calls():
            delivered[call["event"]["subject"]].append((int(call["event"]["sequence"]), call["event"]["id"]))
        for key, calls in delivered.items():
            assert [number for number, _ in calls] == sorted(number for number, _ in calls), key
        assert {one for calls in delivered.values() for _, one in calls} == set(ids)
        states = pw.rows("SELECT DISTINCT state FROM delivery")
        assert states == ([{"state": "delivered"}] if ids else [])
        assert pw.value("SELECT count(*) FROM delivery") == len(ids)


def wait_for_hooks(pw):
    """Hooks that a killed daemon left behind end by themselves."""
    wait_until(lambda: not processes_with(str(pw.hook_log)), "the end of the hooks", 10)


def running_sweeps(pw):
    return [row["sweep_id"] for row in pw.rows("SELECT sweep_id FROM sweep WHERE outcome = 'running'")]


def assert_said_interrupted(pw, sweep_ids):
    """The sweeps that a kill left running are closed, and their rows say why."""
    assert running_sweeps(pw) == []
    for sweep_id in sweep_ids:
        sweep = pw.rows("SELECT * FROM sweep WHERE sweep_id = ?", sweep_id)[0]
        assert sweep["outcome"] in ("incomplete", "failed") and sweep["ended_at"] is not None
        assert "interrupt" in sweep["reason"]


@pytest.fixture(name="base")
def base_fixture(pw, sim):
    """Sixty compliant nodes seen by a first sweep, and a hook for all transitions."""
    sim.fleet(nodes=60, non_compliant=0)
    pw.source(sim, offset="page")
    pw.record_all()
    pw.sweeps(1)
    return pw


@pytest.mark.parametrize("name", FAILPOINTS)
@needs_failpoints
def test_killed_at_a_failpoint(base, sim, name):
    """Killed at the first, second and third passing of this point, the next run tells what is left, and nothing twice."""
    ledger, killed = Ledger(), []
    for number in (1, 2, 3):
        ledger.flip(sim, 10 * number, 6)
        ledger.flip(sim, 0, 1)
        code = base.once(env={"PATCHWATCH_FAILPOINT": f"{name}:{number}"})
        killed.append(code == -signal.SIGKILL)
        assert code in (0, -signal.SIGKILL), base.tail()
        wait_for_hooks(base)
        left = running_sweeps(base)
        assert base.database_problems() == []
        base.sweeps(1)
        assert_said_interrupted(base, left)
        ledger.assert_told(base)
    assert killed[0]


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("name", ["commit-before", "commit-after", "fetch"])
@needs_failpoints
def test_killed_in_the_very_first_run(pw, sim, name, number):
    """Killed while the database and the baseline come to be, the next run begins well: one baseline, no false event."""
    sim.fleet(nodes=30)
    pw.record_all("node.non_compliant, node.compliant, node.discovered, source.baseline")
    code = pw.once(env={"PATCHWATCH_FAILPOINT": f"{name}:{number}"})
    assert code in (0, -signal.SIGKILL), pw.tail()
    wait_for_hooks(pw)
    pw.sweeps(1)
    events = pw.events()
    assert [event["kind"] for event in events] == ["source.baseline"]
    assert events[0]["data"]["totals"]["nodes"] == 30
    assert {call["event"]["id"] for call in pw.hook_calls()} == {events[0]["id"]}


@needs_failpoints
def test_killed_at_a_failpoint_in_a_long_run(base, sim):
    """A daemon that runs on and is killed right after a commit tells all of it once it is started again."""
    ledger = Ledger()
    base.start(env={"PATCHWATCH_FAILPOINT": "commit:1"})
    ledger.flip(sim, 0, 8)
    process, base.process = base.process, None
    assert process.wait(20) == -signal.SIGKILL
    wait_for_hooks(base)
    base.start()
    base.wait_rows("SELECT count(*) FROM delivery WHERE state = 'delivered' HAVING count(*) = 8")
    assert base.stop() == 0
    ledger.assert_told(base)


def run_and_kill(pw, delay_s):
    """Starts --once and kills it after a while, if it still runs then."""
    process = pw.spawn("--once")
    try:
        assert process.wait(delay_s) == 0, pw.tail()
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments(base, sim, seed):
    """Twenty kills in twenty runs, wherever they hit: in the end the history is exactly what happened."""
    chance, ledger, left = random.Random(seed), Ledger(), []
    for number in range(10):
        ledger.flip(sim, 5 * number, 4)
        sim.fault("delay", delay_ms=chance.randrange(15), times=0)
        run_and_kill(base, chance.uniform(0.03, 0.45))
        sim.control("fault/clear")
        left = running_sweeps(base)
        assert base.database_problems() == []
    wait_for_hooks(base)
    base.sweeps(1)
    assert_said_interrupted(base, left)
    ledger.assert_told(base)


def test_sigterm_in_the_middle(base, sim):
    """SIGTERM while pages are on their way is as harmless as a kill: the next run tells everything once."""
    ledger = Ledger()
    for number in range(4):
        ledger.flip(sim, 10 * number, 3)
        sim.control("requests/clear")
        sim.fault("delay", delay_ms=60, times=0)
        process = base.spawn("--once")
        wait_until(lambda pages=number + 1: sim.state()["api_requests"] >= pages or process.poll() is not None,
                   "some pages")
        process.terminate()
        assert process.wait(10) in (0, 75)
        sim.control("fault/clear")
    base.sweeps(1)
    assert running_sweeps(base) == []
    ledger.assert_told(base)


@needs_failpoints
def test_node_flips_between_kill_and_restart(base, sim):
    """A node that turns bad, is committed, and is mended while the daemon is dead gets both its alarm and its end."""
    key = sim.flip_to(3, "non_compliant")
    assert base.once(env={"PATCHWATCH_FAILPOINT": "commit:1"}) == -signal.SIGKILL
    assert node_key(sim.truth()[3]) == key
    sim.flip_to(3, "compliant")
    base.sweeps(1)
    assert base.changes() == [("node.non_compliant", key), ("node.compliant", key)]
    assert [call["env"]["PATCHWATCH_TYPE"].rpartition(".")[2] for call in base.hook_calls()] == \
        ["non_compliant", "compliant"]
