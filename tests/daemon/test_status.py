"""When a node's status is a transition, and when it is not."""

import pytest

NON = "node.non_compliant"
GOOD = "node.compliant"


@pytest.fixture(name="base")
def base_fixture(pw, sim):
    """Twelve compliant nodes, seen by a first sweep."""
    sim.fleet(nodes=12, non_compliant=0)
    pw.sweeps(1)
    return pw


def test_flips_are_told_once_each(base, sim):
    """A node that turns bad raises one alarm, and one all-clear when it is well again; repeated sweeps add nothing."""
    key = sim.flip_to(3, "non_compliant")
    base.sweeps(2)
    sim.flip_to(3, "compliant")
    base.sweeps(2)
    assert base.changes() == [(NON, key), (GOOD, key)]


def test_unknown_between_two_equal_statuses_says_nothing(base, sim):
    """compliant, unknown, compliant disturbs nobody, and so does the same with non_compliant."""
    for status in ("unknown", "compliant"):
        sim.flip_to(4, status)
        base.sweeps(1)
    assert base.changes() == []
    key = sim.flip_to(4, "non_compliant")
    for status in ("unknown", "non_compliant"):
        base.sweeps(1)
        sim.flip_to(4, status)
    base.sweeps(1)
    assert base.changes() == [(NON, key)]


def test_unknown_on_the_way_does_not_hide_the_change(base, sim):
    """compliant, unknown, non_compliant is one alarm, raised when the bad status shows, and it says what it was before."""
    key = sim.flip_to(5, "unknown")
    base.sweeps(1)
    assert base.changes() == []
    assert base.nodes()[key] == "unknown"
    sim.flip_to(5, "non_compliant")
    base.sweeps(1)
    events = base.events(NON)
    assert [event["subject"] for event in events] == [key]
    assert (events[0]["data"]["from"], events[0]["data"]["to"]) == ("compliant", "non_compliant")


def test_first_definite_status_is_no_transition(pw, sim):
    """A node that was unknown from the start raises nothing when its first definite status comes, good or bad."""
    sim.fleet(nodes=6, non_compliant=0)
    for index in (0, 1):
        sim.flip_to(index, "unknown")
    pw.sweeps(1)
    first = sim.flip_to(0, "compliant")
    second = sim.flip_to(1, "non_compliant")
    pw.sweeps(1)
    assert pw.changes() == []
    sim.flip_to(0, "non_compliant")
    sim.flip_to(1, "compliant")
    pw.sweeps(1)
    assert sorted(pw.changes()) == sorted([(NON, first), (GOOD, second)])


@pytest.mark.parametrize("text", ["COMPLIANT", "failed", "", None])
def test_only_the_two_words_are_definite(pw, sim, text):
    """A status that the API does not document, an empty one or null is unknown: no alarm and no all-clear."""
    sim.fleet(nodes=2, non_compliant=0)
    pw.sweeps(1)
    key = sim.truth()[0]["key"]
    if text is None:
        sim.control("set", index=0, null="status", report_time=1768600000000)
    else:
        sim.control("set", index=0, status=text, report_time=1768600000000)
    pw.sweeps(1)
    assert pw.nodes()[key] == "unknown"
    assert pw.changes() == []


def test_confirm_waits_for_that_many_sweeps(pw, sim):
    """With confirm = 3 the alarm comes with the third sweep in a row that shows the bad status, not before or again."""
    sim.fleet(nodes=5, non_compliant=0)
    pw.source(sim, confirm=3)
    pw.sweeps(1)
    key = sim.flip_to(2, "non_compliant")
    seen = []
    for _ in range(4):
        pw.sweeps(1)
        seen.append(pw.changes())
    assert seen == [[], [], [(NON, key)], [(NON, key)]]


def test_confirm_starts_anew_after_an_interruption(pw, sim):
    """A status that was gone for one sweep, or was unknown, must hold for the full number of sweeps again."""
    sim.fleet(nodes=5, non_compliant=0)
    pw.source(sim, confirm=2)
    pw.sweeps(1)
    key = sim.flip_to(2, "non_compliant")
    for status in ("compliant", "non_compliant", "unknown", "non_compliant"):
        pw.sweeps(1)
        sim.flip_to(2, status)
    pw.sweeps(1)
    assert pw.changes() == []
    pw.sweeps(1)
    assert pw.changes() == [(NON, key)]


def test_confirm_counts_only_sweeps_that_showed_the_node(pw, sim):
    """A sweep that lost the page with the node does not confirm its new status, nor is the change forgotten over it."""
    sim.fleet(nodes=30, non_compliant=0)
    pw.source(sim, confirm=2, retries=0, offset="page", sort="none")
    pw.sweeps(1)
    key = sim.flip_to(25, "non_compliant")
    pw.sweeps(1)
    sim.fault("status", status=500, page=3)
    assert pw.once() == 75
    assert pw.changes() == []
    pw.sweeps(2)
    assert pw.changes() == [(NON, key)]


def test_confirm_in_one_running_daemon(pw, sim):
    """The counting of confirm works in one long run as it does over restarts."""
    sim.fleet(nodes=5, non_compliant=0)
    pw.source(sim, confirm=3)
    pw.start()
    pw.wait_rows("SELECT 1 FROM source WHERE baseline_at IS NOT NULL")
    key = sim.flip_to(1, "non_compliant")
    event = pw.wait_rows("SELECT * FROM event WHERE type LIKE '%node.non_compliant'")[0]
    assert pw.changes() == [(NON, key)]
    showed = pw.value("SELECT count(*) FROM sweep WHERE sweep_id <= ? AND sweep_id > 1 AND started_at >="
                      " (SELECT valid_from - 2000 FROM report WHERE status = 'non_compliant')", event["sweep_id"])
    assert showed >= 3
    assert pw.stop() == 0


def two_baselines(sim, first, second, time=1768435200000):
    """One node with two reports."""
    sim.control("record/drop")
    for baseline, status in (("one", first), ("two", second)):
        if status:
            sim.record(instance_id="i-1", id=baseline, baseline_id=baseline, status=status, report_time=time)


def test_node_is_as_bad_as_its_worst_baseline(pw, sim):
    """Of several baselines one bad report makes the node bad, and only when the last bad one is mended is it well."""
    steps = [("compliant", "compliant"), ("non_compliant", "compliant"), ("non_compliant", "non_compliant"),
             ("compliant", "non_compliant"), ("compliant", "unknown")]
    sim.fleet(nodes=3, non_compliant=0)
    seen = []
    for number, statuses in enumerate(steps):
        two_baselines(sim, *statuses, time=1768435200000 + number * 1000)
        pw.sweeps(1)
        seen.append(pw.events("node.compliant", NON))
    assert [len(events) for events in seen] == [0, 1, 1, 1, 2]
    assert [(event["kind"], event["subject"]) for event in seen[-1]] == [(NON, "ECS/i-1"), (GOOD, "ECS/i-1")]


def test_unknown_beside_compliant_is_compliant(pw, sim):
    """A node with one compliant and one unknown report is compliant; with only unknown ones it is unknown."""
    sim.fleet(nodes=1)
    two_baselines(sim, "compliant", "unknown")
    pw.sweeps(1)
    assert pw.nodes()["ECS/i-1"] == "compliant"
    two_baselines(sim, "unknown", "unknown", time=1768435300000)
    pw.sweeps(1)
    assert pw.nodes()["ECS/i-1"] == "unknown"


def test_baseline_swap_with_the_same_status_is_silent(pw, sim):
    """A node that moves to another baseline and is as compliant as before raises no transition."""
    sim.fleet(nodes=3, non_compliant=0)
    two_baselines(sim, "compliant", None)
    pw.sweeps(1)
    two_baselines(sim, None, "compliant", time=1768435300000)
    pw.sweeps(2)
    assert pw.changes(GOOD, NON) == []
    assert [row["baseline_id"] for row in pw.rows(
        "SELECT baseline_id FROM report JOIN node USING (node_id) WHERE node_key = 'ECS/i-1' AND valid_to IS NULL"
    )] == ["two"]


def test_baseline_swap_with_another_status_is_a_transition(pw, sim):
    """A node that moves to a baseline which it fails raises one alarm whose cause is the baseline."""
    sim.fleet(nodes=3, non_compliant=0)
    two_baselines(sim, "compliant", None)
    pw.sweeps(1)
    two_baselines(sim, None, "non_compliant", time=1768435300000)
    pw.sweeps(2)
    events = pw.events(NON, GOOD)
    assert [(event["kind"], event["subject"]) for event in events] == [(NON, "ECS/i-1")]
    assert events[0]["data"]["cause"] == "baseline"


def test_bad_report_that_a_complete_sweep_no_longer_shows_ends(pw, sim):
    """When the only bad baseline of a node is gone from a complete sweep, the node is well again."""
    sim.fleet(nodes=3, non_compliant=0)
    two_baselines(sim, "compliant", "non_compliant")
    pw.sweeps(1)
    two_baselines(sim, "compliant", None)
    pw.sweeps(1)
    assert pw.changes(GOOD, NON) == [(GOOD, "ECS/i-1")]


def test_bad_report_that_an_incomplete_sweep_does_not_show_stays(pw, sim):
    """When a sweep lost a page, a bad report that it did not show still counts: no false all-clear."""
    sim.fleet(nodes=30, non_compliant=0)
    two_baselines(sim, "compliant", "non_compliant")
    pw.source(sim, retries=0, offset="page", sort="none")
    pw.sweeps(1)
    two_baselines(sim, "compliant", None, time=1768435300000)
    sim.fault("status", status=500, page=2)
    assert pw.once() == 75
    assert pw.changes(GOOD, NON) == []
    assert pw.nodes()["ECS/i-1"] == "non_compliant"
    pw.sweeps(1)
    assert pw.changes(GOOD, NON) == [(GOOD, "ECS/i-1")]
