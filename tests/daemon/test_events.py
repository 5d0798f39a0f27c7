"""What an event says, and its id."""

import re
import uuid
from datetime import datetime, timezone

import pytest

NON = "node.non_compliant"
GOOD = "node.compliant"
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def to_ms(text):
    assert RFC3339.fullmatch(text), text
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


@pytest.fixture(name="base")
def base_fixture(pw, sim):
    """Twelve compliant nodes, seen by a first sweep; missing_after = 1."""
    sim.fleet(nodes=12, non_compliant=0)
    pw.source(sim, missing_after=1)
    pw.sweeps(1)
    return pw


def live_a_little(pw, sim):
    """A history with an event of every type that a small fleet can raise."""
    sim.flip_to(1, "non_compliant")
    sim.control("counts", index=1, medium=1)
    pw.sweeps(1)
    for counts in ({"critical": 5, "high": 5}, {"low": 1}):
        sim.control("counts", index=1, **counts)
        pw.sweeps(1)
    sim.flip_to(1, "compliant")
    sim.control("remove", index=2)
    pw.sweeps(1)
    sim.control("restore", index=2)
    sim.control("add", count=1, status="non_compliant")
    pw.sweeps(1)


ALL_KINDS = ["node.compliant", "node.discovered", "node.improved", "node.missing", NON, "node.returned", "node.worsened",
             "source.baseline"]


def test_every_event_is_a_cloud_event(base, sim):
    """Every event has the attributes that CloudEvents 1.0 and the contract ask for, and the table agrees with them."""
    began = datetime.now(timezone.utc).timestamp() * 1000
    live_a_little(base, sim)
    events = base.events()
    assert sorted({event["kind"] for event in events}) == ALL_KINDS
    rows = {row["event_id"]: row for row in base.rows(
        "SELECT e.*, n.node_key FROM event AS e LEFT JOIN node AS n USING (node_id)")}
    for event in events:
        row = rows[event["event_id"]]
        assert event["specversion"] == "1.0"
        assert event["source"] == "/patchwatch/prod"
        assert event["type"] == row["type"] == "io.patchwatch." + event["kind"]
        assert str(uuid.UUID(event["id"])) == event["id"] == row["uid"]
        assert uuid.UUID(event["id"]).version == 5
        assert event.get("subject") == row["node_key"]
        assert event["sequence"] == f"{event['event_id']:019d}"
        assert to_ms(event["time"]) == row["occurred_at"]
        assert to_ms(event["recordedtime"]) == row["recorded_at"]
        assert began - 60_000 < row["recorded_at"] < datetime.now(timezone.utc).timestamp() * 1000 + 1000
        assert event["data"]["sweep"] == row["sweep_id"]
        assert event["data"]["cause"] == row["cause"]
        assert event["data"].get("from") == row["from_status"]
        assert event["data"].get("to") == row["to_status"]
        assert re.fullmatch(r"[a-z0-9]+", "".join(key for key in event if key not in ("data", "event_id", "kind")))


def test_ids_are_unique_and_in_sequence(base, sim):
    """No two events share an id, and sequences only grow."""
    live_a_little(base, sim)
    events = base.events()
    assert len({event["id"] for event in events}) == len(events)
    assert [event["sequence"] for event in events] == sorted(event["sequence"] for event in events)


def test_transition_says_what_changed(base, sim):
    """The alarm names the machine as the API does, from and to, and the report before and after, with counts."""
    old = sim.truth()[4]
    key = sim.flip_to(4, "non_compliant")
    sim.control("counts", index=4, critical=2, high=3, keep_time=1)
    base.sweeps(1)
    new = sim.truth()[4]
    event = base.events(NON)[0]
    data = event["data"]
    assert (event["subject"], to_ms(event["time"])) == (key, new["report_time"])
    assert (data["from"], data["to"], data["cause"]) == ("compliant", "non_compliant", "patches")
    node = data["node"]
    assert (node["name"], node["instance_id"], node["report_scene"]) == \
        (new["name"], new["instance_id"], new["report_scene"])
    assert {"ip", "eip", "region", "group", "operating_system", "enterprise_project_id"} <= set(node)
    report, previous = data["report"], data["previous"]
    assert (report["status"], report["report_time"], report["baseline_id"]) == \
        ("non_compliant", new["report_time"], new["baseline_id"])
    assert (report["non_compliant"]["critical"], report["non_compliant"]["high"],
            report["non_compliant"]["count"]) == (2, 3, 5)
    assert (previous["status"], previous["report_time"]) == ("compliant", old["report_time"])
    assert previous["non_compliant"]["count"] == 0


def test_all_clear_says_what_changed(base, sim):
    """The recovery has the same members the other way round."""
    sim.flip_to(4, "non_compliant")
    base.sweeps(1)
    sim.flip_to(4, "compliant")
    base.sweeps(1)
    data = base.events(GOOD)[0]["data"]
    assert (data["from"], data["to"]) == ("non_compliant", "compliant")
    assert (data["report"]["status"], data["previous"]["status"]) == ("compliant", "non_compliant")


def test_confirmed_alarm_says_what_it_came_from(pw, sim):
    """An alarm that waited for its confirmation still tells the report and the cause of the change."""
    sim.fleet(nodes=3, non_compliant=0)
    pw.source(sim, confirm=3)
    pw.sweeps(1)
    old = sim.truth()[1]
    sim.flip_to(1, "non_compliant")
    pw.sweeps(3)
    data = pw.events(NON)[0]["data"]
    assert (data["from"], data["to"], data["cause"]) == ("compliant", "non_compliant", "patches")
    assert (data["previous"]["status"], data["previous"]["report_time"]) == ("compliant", old["report_time"])


def test_worsened_and_improved(base, sim):
    """More patches missing, or more severe ones, is node.worsened; fewer is node.improved; equal counts say nothing."""
    key = sim.flip_to(1, "non_compliant")
    sim.control("counts", index=1, medium=2)
    base.sweeps(1)
    after = base.last_sequence()
    steps = [({"medium": 3}, "node.worsened"), ({"medium": 3}, None), ({"critical": 3}, "node.worsened"),
             ({"medium": 3}, "node.improved"), ({"medium": 1}, "node.improved")]
    for counts, kind in steps:
        sim.control("counts", index=1, **counts)
        base.sweeps(1)
        assert base.changes(after=after) == ([(kind, key)] if kind else []), counts
        after = base.last_sequence()
    event = base.events("node.worsened")[0]
    assert (event["data"]["from"], event["data"]["to"]) == ("non_compliant", "non_compliant")
    assert event["data"]["previous"]["non_compliant"]["medium"] == 2
    assert event["data"]["report"]["non_compliant"]["medium"] == 3


def test_baseline_as_cause(pw, sim):
    """A node that fails because another baseline is applied to it says so."""
    sim.record(instance_id="i-1", id="a", baseline_id="old")
    pw.sweeps(1)
    sim.control("record/drop")
    sim.record(instance_id="i-1", id="b", baseline_id="new", status="non_compliant", report_time=1768435300000)
    pw.sweeps(1)
    assert pw.events(NON)[0]["data"]["cause"] == "baseline"


def test_missing_and_returned_say_what_they_know(base, sim):
    """node.missing has the last status as `from`, node.returned the present one as `to`, and both the machine's name."""
    sim.control("remove", index=2)
    base.sweeps(1)
    sim.control("restore", index=2)
    base.sweeps(1)
    missing, returned = base.events("node.missing", "node.returned")
    name = sim.truth()[2]["name"]
    assert (missing["data"]["from"], missing["data"]["to"], missing["data"]["node"]["name"]) == ("compliant", None, name)
    assert (returned["data"]["to"], returned["data"]["cause"], returned["data"]["node"]["name"]) == \
        ("compliant", "returned", name)


def test_time_falls_back_to_the_time_of_recording(pw, sim):
    """An event whose report has no time, or one that cannot be written as a date, carries the time of recording."""
    for number, moment in enumerate((None, 9_000_000_000_000_000_000)):
        sim.record(instance_id=f"i-{number}", id=f"a{number}", report_time=None)
        pw.sweeps(1)
        sim.control("record/drop")
        sim.record(instance_id=f"i-{number}", id=f"a{number}", report_time=moment, status="non_compliant")
        pw.sweeps(1)
    events = pw.events(NON)
    assert [event["subject"] for event in events] == ["ECS/i-0", "ECS/i-1"]
    assert all(event["time"] == event["recordedtime"] for event in events)


def test_two_collectors_give_the_same_ids(make_watch, sim):
    """Two daemons with databases of their own that watch one source tell the same changes under the same ids, whatever
    else their histories hold; another source's name gives other ids."""
    sim.fleet(nodes=20, non_compliant=0)
    first, second, other = make_watch(), make_watch(), make_watch()
    first.source(sim)
    second.source(sim, offset="page", page_size=7)
    other.source(sim, name="else")
    for watch in (first, second, other):
        watch.sweeps(1)
    first.sweeps(2)
    for to in ("non_compliant", "compliant", "non_compliant"):
        for index in range(4):
            sim.flip_to(index, to)
        for watch in (second, first, other):
            watch.sweeps(1)
    ids = [{event["id"] for event in watch.events(NON, GOOD)} for watch in (first, second, other)]
    assert len(ids[0]) == 12
    assert ids[0] == ids[1]
    assert not ids[0] & ids[2]


def test_same_change_with_the_same_time_gets_another_id(pw, sim):
    """When a node flips to and fro under one report_time, each event still has an id of its own."""
    for status in ("compliant", "non_compliant", "compliant", "non_compliant"):
        sim.control("record/drop")
        sim.record(instance_id="i-1", status=status)
        pw.sweeps(1)
    events = pw.events(NON, GOOD)
    assert [event["kind"] for event in events] == [NON, GOOD, NON]
    assert len({event["id"] for event in events}) == 3


def test_sweep_row_counts_what_happened(base, sim):
    """The row of a sweep says how many transitions it found, and what it read."""
    sim.flip(count=5, to="non_compliant")
    base.sweeps(1)
    sweep = base.last_sweep()
    assert (sweep["outcome"], sweep["transitions"], sweep["records"], sweep["reported_count"]) == ("complete", 5, 12, 12)
    assert sweep["pages"] >= 2 and sweep["requests"] >= sweep["pages"] and sweep["bytes"] > 5000
    assert sweep["started_at"] <= sweep["ended_at"]


def test_old_versions_of_a_report_stay_in_the_history(base, sim):
    """Each change ends one version of the report and begins the next at the same moment."""
    key = sim.flip_to(1, "non_compliant")
    base.sweeps(1)
    sim.flip_to(1, "compliant")
    base.sweeps(1)
    versions = base.rows("SELECT r.* FROM report AS r JOIN node USING (node_id) WHERE node_key = ? ORDER BY report_pk",
                         key)
    assert [row["status"] for row in versions] == ["compliant", "non_compliant", "compliant"]
    assert [row["valid_to"] for row in versions] == [versions[1]["valid_from"], versions[2]["valid_from"], None]
