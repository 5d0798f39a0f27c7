"""Every way in which the simulated API can misbehave. Whatever it does, events are true, and none is lost."""

import itertools
import json
import os
import socket
from collections import namedtuple

import pytest

from harness import node_key

# use: what a page with this fault is good for: "lost" = nothing, "fine" = all of it, "maybe" = who knows.
Fault = namedtuple("Fault", "name kind use parameters")

WRONG_TYPES = """count_string count_null count_object list_object list_string body_array body_string record_string
    record_number record_array id_number name_array instance_id_object scene_number status_number status_bool time_string
    time_object counts_string severity_string severity_array summary_array summary_string execution_array""".split()
HUGE_NUMBERS = """count_1e400 count_20_digits count_negative count_fraction time_9e18 time_1e300 time_20_digits
    time_negative time_fraction counts_2_63 counts_negative severity_2_63""".split()


def fault(kind, use="lost", name=None, **parameters):
    return Fault(name or kind, kind, use, parameters)


HTTP = [
    fault("status", name="400", status=400), fault("status", name="401", status=401),
    fault("status", name="403", status=403), fault("status", name="404", status=404),
    fault("status", name="429", status=429), fault("status", name="500", status=500),
    fault("status", name="502-html", status=502, body="<h1>no</h1>", content_type="text/html"),
    fault("status", name="503-retry-after", status=503, retry_after="0"),
    fault("status", name="204", status=204, body=""),
    fault("throttle", rate=10000, window="second"), fault("reset"), fault("reset_mid"), fault("truncate"),
    fault("length_long"), fault("length_short"),
]
BODIES = [
    fault("cut_json"), fault("html"), fault("html_302"), fault("empty"), fault("garbage"), fault("deep", "maybe"),
    fault("invalid_utf8", "maybe"), fault("error_200"), fault("big", "maybe", size=16_000_000),
    fault("big", "maybe", name="big-string", size=16_000_000, variant="string"), fault("null_list", "maybe"),
    fault("missing_list", "maybe"), fault("success_code_200", "fine"), fault("nul_name", "maybe"),
]
CONTENT = [
    fault("empty_page", "maybe"), fault("null_records", "maybe"), fault("null_records", "maybe", name="null-10", n=10),
    fault("dup_records", "fine"), fault("dup_records", "fine", name="dup-10", n=10),
    fault("lying_count", "maybe", name="count+1", add=1), fault("lying_count", "maybe", name="count-1", add=-1),
    fault("lying_count", "maybe", name="count=0", set=0), fault("lying_count", "maybe", name="count=1e6", set=1_000_000),
    fault("move", "maybe", position=2, moves=2), fault("move_new_id", "maybe", position=2, moves=2),
    fault("insert", "maybe", position=2), fault("delete", "maybe", position=2), fault("swap_page", "maybe", **{"with": 2}),
]
SLOW = [
    fault("timeout", delay_ms=4000), fault("drip", bytes_per_second=500), fault("delay", "fine", delay_ms=100),
    fault("delay", name="delay-too-long", delay_ms=3000),
]
TYPES = [fault("wrong_types", "maybe", name=variant, variant=variant, n=n)
         for variant, n in zip(WRONG_TYPES, itertools.cycle((1, 10)))]
NUMBERS = [fault("huge_numbers", "maybe", name=variant, variant=variant, n=n)
           for variant, n in zip(HUGE_NUMBERS, itertools.cycle((1, 10)))]
GROUPS = {"http": HTTP, "bodies": BODIES, "content": CONTENT, "slow": SLOW, "types1": TYPES[:12], "types2": TYPES[12:],
          "numbers": NUMBERS}
PLACES = {"first": {"page": 1}, "middle": {"page": 3}, "random": {"probability": 0.4}}
# The build with sanitizers tries them all, with PW_TEST_LONG=1 those as well where only the fields of a record differ; for the
# optimised one, the same code, one is enough.
IS_LONG = os.environ.get("PW_TEST_LONG") == "1"
IS_CHECKED = os.environ.get("PATCHWATCH_HAS_FAILPOINTS", "1") == "1"
TRIED = [(group, times, place) for group in GROUPS for times in (1, 0) for place in PLACES
         if place == "random" or IS_LONG or (IS_CHECKED and group not in ("types1", "types2", "numbers"))]
NODES = 50  # on five pages


@pytest.fixture(name="rig")
def rig_fixture(make_sim, make_watch):
    """Makes one daemon with one source, and one simulator, for each fault of a group; all baselined."""
    def make(group, times):
        watch, sims = make_watch(), {}
        slow = group is SLOW
        for number, one in enumerate(group):
            sims[one.name] = make_sim()
            sims[one.name].fleet(nodes=NODES, seed=number + 1, non_compliant=20)
            watch.source(sims[one.name], name=one.name.replace("+", "p").replace("=", "-"), offset="page",
                         timeout="700ms" if slow else "5s", retries=1 if times == 1 else 0)
        watch.sweeps(1)
        return watch, sims
    return make


def source_name(one):
    return one.name.replace("+", "p").replace("=", "-")


def changes_of(watch, one, after):
    """(kind, subject, to) of one source's events."""
    return [(event["kind"], event["subject"], event["data"]["to"]) for event in watch.events(after=after)
            if event["source"] == f"/patchwatch/{source_name(one)}" and "subject" in event]


def expected_changes(sim, flips, before):
    """What must be told in the end, and what may be told on the way: flips, then nodes that the fault itself added.
    A node that the fault removed may or may not have been seen in time."""
    truth = {node["key"]: node for node in sim.truth()}
    flipped = {("node." + node["to"], node_key(node), node["to"]) for node in flips}
    must = {change for change in flipped if change[1] in truth}
    added = {("node.discovered", key, truth[key]["status"]) for key in truth.keys() - before}
    return must | added, flipped | added


def assert_sweep_makes_sense(sweep, one, times, place):
    """Outcome, reason and error say what happened."""
    outcome, what = sweep["outcome"], f"{one.name}: {sweep}"
    assert outcome in ("complete", "incomplete", "failed"), what
    if outcome == "complete":
        assert not sweep["reason"], what
    else:
        assert sweep["reason"], what
    if one.use == "fine":
        assert outcome == "complete", what
    if times == 0 and place == "first" and one.use == "lost":
        assert outcome == "failed", what
    if times == 0 and place == "middle" and one.use == "lost":
        assert outcome == "incomplete", what
    if outcome != "complete" and one.use == "lost":
        assert sweep["error_msg"], what
    if outcome != "complete" and one.kind in ("throttle", "error_200"):
        assert sweep["error_code"], what


@pytest.mark.parametrize("group,times,place", TRIED, ids=[f"{one[0]}-{'once' if one[1] else 'always'}-{one[2]}" for one in TRIED])
def test_no_fault_makes_or_hides_an_event(rig, group, times, place):
    """Nodes flip and at the same moment the API misbehaves: at no time is anything told that is not true, and one sweep
    after the fault is over everything that is true was told, once."""
    watch, sims = rig(GROUPS[group], times)
    after = watch.last_sequence()
    flips, before = {}, {}
    for number, one in enumerate(GROUPS[group]):
        sim = sims[one.name]
        before[one.name] = {node["key"] for node in sim.truth()}
        flips[one.name] = sim.flip(count=4)
        sim.fault(one.kind, times=times, seed=number + 1, **PLACES[place], **one.parameters)
    code = watch.once()
    assert code in (0, 75), watch.tail()
    problems = []
    for one in GROUPS[group]:
        sim = sims[one.name]
        sweep = watch.last_sweep(source_name(one))
        assert_sweep_makes_sense(sweep, one, times, place)
        assert code == 75 or sweep["outcome"] == "complete"
        sim.control("fault/clear")
        _, may = expected_changes(sim, flips[one.name], before[one.name])
        false = [change for change in changes_of(watch, one, after) if change not in may]
        problems += [f"{one.name}: false while it lasted: {false}; {sweep}"] if false else []
    watch.sweeps(1)
    for one in GROUPS[group]:
        must, may = expected_changes(sims[one.name], flips[one.name], before[one.name])
        told = changes_of(watch, one, after)
        if len(told) != len(set(told)) or not must <= set(told) <= may:
            problems.append(f"{one.name}: told twice, lost or false: missing {must - set(told)}, "
                            f"false {set(told) - may}, {len(told)} in all")
    assert not problems, "\n".join(problems)


def test_faults_at_random_for_a_long_time(pw, sim):
    """A daemon that runs on while one request in three fails in one of many ways keeps the truth, and tells it once."""
    sim.fleet(nodes=NODES, non_compliant=20)
    pw.source(sim, timeout="1s", offset="page", retries=1)
    pw.start()
    pw.wait_rows("SELECT 1 FROM source WHERE baseline_at IS NOT NULL")
    kinds = ["status", "reset", "truncate", "cut_json", "html", "empty", "empty_page", "null_list", "garbage",
             "error_200", "dup_records", "lying_count", "null_records", "invalid_utf8", "wrong_types", "huge_numbers"]
    for number, kind in enumerate(kinds):
        sim.fault(kind, probability=0.03, times=0, seed=number)
    expected = set()
    for start in range(0, 20, 5):
        flips = [sim.flip(index=index)[0] for index in range(start, start + 5)]
        expected |= {("node." + node["to"], node["key"]) for node in flips}
        pw.wait_sweeps(1)
    sim.control("fault/clear")
    pw.wait_sweeps(2)
    assert sorted(pw.changes()) == sorted(expected)
    assert pw.stop() == 0


@pytest.fixture(name="nobody_there")
def nobody_there_fixture():
    """A URL where nothing listens: the port is taken, so that nobody else gets it."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}"


def test_dead_server_and_its_return(pw, sim, nobody_there):
    """While nothing listens sweeps fail with a message; what changed in the meantime is told when the server is back."""
    sim.fleet(nodes=NODES, non_compliant=0)
    pw.source(sim, retries=0)
    pw.sweeps(1)
    pw.source(nobody_there, retries=0)
    assert pw.once() == 75
    sweep = pw.last_sweep()
    assert sweep["outcome"] == "failed" and sweep["error_msg"] and sweep["reason"]
    key = sim.flip_to(1, "non_compliant")
    pw.source(sim, retries=0)
    pw.sweeps(1)
    assert pw.changes() == [("node.non_compliant", key)]


def test_sweep_timeout_ends_a_sweep(pw, sim):
    """A sweep that takes longer than sweep_timeout ends incomplete and says so; what it read counts."""
    sim.fleet(nodes=NODES, non_compliant=0)
    pw.source(sim, offset="page", concurrency=1)
    pw.sweeps(1)
    sim.fault("delay", delay_ms=300, times=0)
    pw.source(sim, offset="page", concurrency=1, sweep_timeout="700ms")
    assert pw.once() == 75
    sweep = pw.last_sweep()
    assert sweep["outcome"] == "incomplete" and sweep["reason"]
    assert pw.changes() == []


def test_retries_heal_a_passing_fault(pw, sim):
    """With retries left a page that fails once does not make the sweep incomplete, and the retry is counted."""
    sim.fleet(nodes=NODES)
    pw.source(sim, retries=3, offset="page")
    for kind in ("status", "truncate", "html"):
        sim.fault(kind, page=2)
        code = pw.once()
        sweep = pw.last_sweep()
        assert (code, sweep["outcome"]) == (0, "complete"), f"{kind}: {sweep}"
        assert sweep["retries"] >= 1


def test_retry_after_is_honoured(pw, sim):
    """A server that asks for a second of patience gets it."""
    sim.fleet(nodes=5)
    sim.fault("status", status=503, retry_after="1")
    pw.sweeps(1)
    requests = json.loads(sim.request("GET", "/sim/requests"))["requests"]
    assert requests[1]["at_ms"] - requests[0]["at_ms"] >= 950
