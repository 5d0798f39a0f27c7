"""Which record counts, and which node it speaks of."""

import time

import pytest

NON = "node.non_compliant"
GOOD = "node.compliant"
DAY_MS = 86_400_000
T0 = 1768435200000


def status_of(pw, key="ECS/i-1"):
    return pw.nodes()[key]


def only(sim, **fields):
    """The one record of node ECS/i-1."""
    sim.control("record/drop")
    sim.record(instance_id="i-1", **fields)


def test_older_record_never_replaces_a_newer_one(pw, sim):
    """An old report that shows up again, a day or a millisecond older, changes nothing and alarms nobody."""
    only(sim, report_time=T0)
    pw.sweeps(1)
    for age in (1, DAY_MS):
        only(sim, status="non_compliant", report_time=T0 - age)
        pw.sweeps(1)
        assert status_of(pw) == "compliant"
    assert pw.changes() == []


def test_record_of_the_same_time_may_replace(pw, sim):
    """A report with the very same time but another status is not older, so it counts."""
    only(sim, report_time=T0)
    pw.sweeps(1)
    only(sim, status="non_compliant", report_time=T0)
    pw.sweeps(1)
    assert pw.changes() == [(NON, "ECS/i-1")]


def test_time_far_in_the_future_does_not_lock_a_node(pw, sim):
    """A stored time more than a day ahead of now was nonsense, so a true report of today replaces it."""
    only(sim, report_time=T0 + 3650 * DAY_MS)
    pw.sweeps(1)
    only(sim, status="non_compliant", report_time=T0)
    pw.sweeps(1)
    assert pw.changes() == [(NON, "ECS/i-1")]


def test_time_a_little_in_the_future_still_counts(pw, sim):
    """A clock that is some hours ahead does not make its reports worthless: an older record stays without effect."""
    now = int(time.time() * 1000)
    only(sim, report_time=now + DAY_MS // 2)
    pw.sweeps(1)
    only(sim, status="non_compliant", report_time=now - 1000)
    pw.sweeps(1)
    assert pw.changes() == []


def rivals(sim, first, second, filler=0):
    """Two records of one report key, in reading order (first, second), with nodes in between."""
    sim.control("record/drop")
    for number, (status, moment) in enumerate((first, second)):
        sim.record(instance_id="i-1", id=f"rival{number}", status=status, report_time=moment)
        if number == 0:
            for i in range(filler):
                sim.record(instance_id=f"filler-{i}", id=f"f{i}", report_time=T0)


@pytest.mark.parametrize("filler", [0, 25])
@pytest.mark.parametrize("older_first", [True, False])
def test_of_two_records_of_one_key_the_newer_counts(pw, sim, older_first, filler):
    """An older order that is still listed beside the newer one, on the same page or pages apart, has no say."""
    pw.source(sim, sort="none", offset="page")
    rivals(sim, ("compliant", T0), ("compliant", T0 + 1), filler=filler)
    pw.sweeps(1)
    both = [("non_compliant", T0 + 2), ("compliant", T0 + 3)]
    rivals(sim, *(both if older_first else reversed(both)), filler=filler)
    pw.sweeps(2)
    assert pw.changes() == []
    both = [("compliant", T0 + 4), ("non_compliant", T0 + 5)]
    rivals(sim, *(both if older_first else reversed(both)), filler=filler)
    pw.sweeps(2)
    assert pw.changes() == [(NON, "ECS/i-1")]
    assert status_of(pw) == "non_compliant"


@pytest.mark.parametrize("filler", [0, 25])
def test_of_two_records_with_one_time_the_last_read_counts(pw, sim, filler):
    """Two records of one key with one time: the one that was read last decides, on one page or across pages."""
    pw.source(sim, sort="none", offset="page", concurrency=1)
    rivals(sim, ("compliant", T0), ("compliant", T0), filler=filler)
    pw.sweeps(1)
    rivals(sim, ("compliant", T0 + 1), ("non_compliant", T0 + 1), filler=filler)
    pw.sweeps(1)
    assert status_of(pw) == "non_compliant"
    rivals(sim, ("non_compliant", T0 + 2), ("compliant", T0 + 2), filler=filler)
    pw.sweeps(1)
    assert status_of(pw) == "compliant"


def test_two_records_of_one_key_do_not_quarrel_for_ever(pw, sim):
    """An older and a newer record listed together for many sweeps make one version of the report, not one a sweep."""
    rivals(sim, ("non_compliant", T0), ("compliant", T0 + 5), filler=12)
    pw.sweeps(4)
    assert pw.value("SELECT count(*) FROM report JOIN node USING (node_id) WHERE node_key = 'ECS/i-1'") == 1
    assert pw.changes() == []


KEYS = [
    ({"report_scene": "ECS", "instance_id": "i"}, "ECS/i"),
    ({"report_scene": "BMS", "instance_id": "i"}, "BMS/i"),
    ({"report_scene": "LATER", "instance_id": "i"}, "LATER/i"),
    ({"report_scene": "CCE", "cce_info_id": "c", "node_id": "n", "instance_id": "i"}, "CCE/c/n"),
    ({"report_scene": "CCE", "cce_info_id": "c", "instance_id": "i"}, "CCE/c/i"),
    ({"report_scene": None, "instance_id": "i"}, "-/i"),
    ({"report_scene": "", "instance_id": "i2"}, "-/i2"),
    ({"report_scene": "ECS", "id": "x-1"}, "id/x-1"),
    ({"report_scene": "ECS", "instance_id": "", "node_id": "", "id": "x-2"}, "id/x-2"),
    ({"report_scene": "CCE", "id": "x-3"}, "id/x-3"),
]


def test_node_keys(pw, sim):
    """Each kind of machine has the key that scripts may rely on, and equal ids in two scenes are two machines."""
    for number, (fields, _) in enumerate(KEYS):
        sim.record(**{"id": f"r{number}", **fields})
    pw.sweeps(1)
    assert sorted(pw.nodes()) == sorted(key for _, key in KEYS)


def test_changed_name_address_group_or_region_is_no_new_node(pw, sim):
    """Renaming a machine, moving it to another group, region or address keeps its history; the new facts show."""
    sim.fleet(nodes=5)
    pw.sweeps(1)
    before = pw.rows("SELECT node_id, node_key FROM node ORDER BY node_id")
    sim.control("set", index=2, name="renamed", ip="10.9.8.7", eip="1.2.3.4", region="eu-west-101", group="moved",
                operating_system="Other", enterprise_project_id="ep", report_time=1768700000000)
    pw.sweeps(1)
    assert pw.rows("SELECT node_id, node_key FROM node ORDER BY node_id") == before
    assert pw.changes() == []
    key = sim.truth()[2]["key"]
    node = pw.rows("SELECT * FROM node WHERE node_key = ?", key)[0]
    assert (node["name"], node["ip"], node["eip"], node["region"], node["group_name"]) == \
        ("renamed", "10.9.8.7", "1.2.3.4", "eu-west-101", "moved")
    assert (node["operating_system"], node["enterprise_project_id"]) == ("Other", "ep")


def test_facts_that_change_without_a_new_report_show_too(pw, sim):
    """A machine that is renamed while its report stays as it is shows its new name after the next sweep."""
    sim.fleet(nodes=5)
    pw.sweeps(1)
    sim.control("set", index=1, name="only the name")
    pw.sweeps(1)
    assert pw.value("SELECT name FROM node WHERE node_key = ?", sim.truth()[1]["key"]) == "only the name"
    assert pw.changes() == []


def test_new_id_of_a_report_is_no_new_node(pw, sim):
    """A machine whose record comes back under a new id is the same machine, with its transition told once."""
    sim.fleet(nodes=5, non_compliant=0)
    pw.sweeps(1)
    key = sim.flip(index=2, to="non_compliant", new_id=1)[0]["key"]
    pw.sweeps(1)
    sim.control("touch", index=2, new_id=1)
    pw.sweeps(1)
    assert pw.changes() == [(NON, key)]
    assert pw.value("SELECT count(*) FROM node") == 5


def test_record_with_nothing_but_nulls_in_it_is_taken(pw, sim):
    """Where the API says null for everything it may, the node is still recorded, with NULLs, as unknown."""
    sim.control("record", instance_id="i-1", id="x")
    pw.sweeps(1)
    assert pw.nodes() == {"-/i-1": "unknown"}
    node = pw.rows("SELECT * FROM node")[0]
    assert [node[column] for column in ("name", "ip", "eip", "region", "group_name", "cce_info_id")] == [None] * 6
    report = pw.rows("SELECT * FROM report")[0]
    assert report["report_time"] is None and report["non_compliant_count"] is None


@pytest.mark.parametrize("summary", ["compliant_summary", "non_compliant_summary", "execution_summary"])
def test_null_summary_does_not_hide_a_transition(pw, sim, summary):
    """A record without one of its summaries, its report_time among them, still says whether the node is compliant."""
    only(sim, report_time=T0)
    pw.sweeps(1)
    sim.control("record/drop")
    sim.control("record", report_scene="ECS", instance_id="i-1", id="r", baseline_id="b", status="non_compliant",
                report_time=T0 + 1, null=summary)
    pw.sweeps(1)
    assert status_of(pw) == "non_compliant"


NAMES = ["生产-数据库", "naïve café", "🚀 rocket", "a" * 300, " spaces ", "<b>&amp;\"'</b>", "$(reboot)`id`;rm -rf /",
         "-n --help", "line\nbreak\ttab\rreturn", "%s%n%d", "'; DROP TABLE node; --", "back\\slash", "\u202egnirts",
         "\u0001\u001b[31mred", "../../etc/passwd"]


def test_names_of_any_kind_arrive_unharmed(pw, sim):
    """Names in any script, with quotes, shell or SQL signs, line breaks or control characters, come out as they were
    sent: in the database, in the event, in the hook's environment and input, and no log line is forged by them."""
    sim.fleet(nodes=len(NAMES), non_compliant=0)
    pw.record_all()
    pw.sweeps(1)
    for index, name in enumerate(NAMES):
        sim.control("set", index=index, name=name)
    sim.flip(count=len(NAMES), to="non_compliant")
    pw.sweeps(1)
    keys = [node["key"] for node in sim.truth()]
    expected = dict(zip(keys, NAMES))
    assert {row["node_key"]: row["name"] for row in pw.rows("SELECT node_key, name FROM node")} == expected
    assert {event["subject"]: event["data"]["node"]["name"] for event in pw.events(NON)} == expected
    calls = pw.hook_calls()
    assert {call["env"]["PATCHWATCH_NODE_KEY"]: call["env"]["PATCHWATCH_NODE_NAME"] for call in calls} == expected
    assert all(call["stdin"].count("\n") == 1 and call["stdin"].endswith("\n") for call in calls)
    assert not [line for line in pw.log_text().splitlines() if line.startswith(("break", "return"))]
    assert "\x1b" not in pw.log_text()


def test_long_and_odd_keys(pw, sim):
    """Ids with slashes, spaces, letters of any script or very many of them make nodes as others do."""
    ids = ["a/b/c", "with space", "ключ", "x" * 200, "%2F", "'quoted'"]
    for number, name in enumerate(ids):
        sim.record(instance_id=name, id=f"k{number}")
    pw.sweeps(1)
    assert sorted(pw.nodes()) == sorted(f"ECS/{name}" for name in ids)


def test_counts_are_stored_as_sent(pw, sim):
    """The numbers of patches by severity stand in the database as the API gave them."""
    sim.fleet(nodes=3, non_compliant=0)
    sim.flip_to(1, "non_compliant")
    sim.control("counts", index=1, critical=1, high=2, medium=3, low=4, informational=5, unspecified=6)
    pw.sweeps(1)
    row = pw.rows("SELECT r.* FROM report AS r JOIN node USING (node_id) WHERE node_key = ?",
                  sim.truth()[1]["key"])[0]
    columns = ("critical", "high", "medium", "low", "informational", "unspecified", "count")
    assert [row[f"non_compliant_{column}"] for column in columns] == [1, 2, 3, 4, 5, 6, 21]
