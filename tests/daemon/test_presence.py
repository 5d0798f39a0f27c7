"""Nodes that come, go and come back; the first sweep."""

import pytest

NON = "node.non_compliant"
GOOD = "node.compliant"
MISSING = "node.missing"
RETURNED = "node.returned"
DISCOVERED = "node.discovered"
BASELINE = "source.baseline"


@pytest.fixture(name="base")
def base_fixture(pw, sim):
    """Thirty compliant nodes on three pages, seen by a first sweep; missing_after = 3, no retries."""
    sim.fleet(nodes=30, non_compliant=0)
    pw.source(sim, retries=0, offset="page", missing_after=3)
    pw.sweeps(1)
    return pw


def remove(sim, index):
    """Removes a node; gives its key."""
    key = sim.truth()[index]["key"]
    sim.control("remove", index=index)
    return key


def incomplete_sweep(pw, sim, page=2):
    sim.fault("status", status=500, page=page)
    assert pw.once() == 75


def test_missing_after_that_many_complete_sweeps(base, sim):
    """A node that is gone is reported missing with the third complete sweep without it, once."""
    key = remove(sim, 7)
    counts = []
    for _ in range(5):
        base.sweeps(1)
        counts.append(len(base.events(MISSING)))
    assert counts == [0, 0, 1, 1, 1]
    assert base.changes() == [(MISSING, key)]
    assert key not in base.nodes() and len(base.nodes()) == 29


def test_missing_after_one(pw, sim):
    """With missing_after = 1 the first complete sweep without the node reports it."""
    sim.fleet(nodes=5)
    pw.source(sim, missing_after=1)
    pw.sweeps(1)
    key = remove(sim, 0)
    pw.sweeps(1)
    assert pw.changes() == [(MISSING, key)]


def test_incomplete_sweeps_do_not_count_towards_missing(base, sim):
    """Sweeps that could not read everything prove no absence, and do not break the row of those that do."""
    key = remove(sim, 7)
    base.sweeps(1)
    incomplete_sweep(base, sim)
    base.sweeps(1)
    incomplete_sweep(base, sim)
    incomplete_sweep(base, sim, page=1)
    assert base.changes() == []
    base.sweeps(1)
    assert base.changes() == [(MISSING, key)]


def test_reappearance_starts_the_count_anew(base, sim):
    """A node that was away for two sweeps and came back must be away for three again."""
    key = remove(sim, 7)
    base.sweeps(2)
    sim.control("restore", index=7)
    base.sweeps(1)
    sim.control("remove", index=7)
    base.sweeps(2)
    assert base.changes() == []
    base.sweeps(1)
    assert base.changes() == [(MISSING, key)]


def test_reappearance_in_an_incomplete_sweep_counts_too(base, sim):
    """A report that was read is true: even a sweep that lost another page shows that the node is there."""
    remove(sim, 7)
    base.sweeps(2)
    sim.control("restore", index=7)
    sim.control("touch", index=7)  # the newest: on page 1 or 3 of both orders
    incomplete_sweep(base, sim, page=2)
    sim.control("remove", index=7)
    base.sweeps(2)
    assert base.changes() == []


def test_missing_node_returns(base, sim):
    """A missing node that is back with the status it had raises one node.returned and no transition."""
    key = remove(sim, 7)
    base.sweeps(3)
    sim.control("restore", index=7)
    base.sweeps(2)
    assert base.changes() == [(MISSING, key), (RETURNED, key)]
    assert base.nodes()[key] == "compliant" and len(base.nodes()) == 30


def test_missing_node_returns_with_another_status(base, sim):
    """A node that turned bad while it was missing raises its return and, since nobody was told yet, its alarm."""
    key = remove(sim, 7)
    base.sweeps(3)
    sim.control("restore", index=7)
    sim.flip_to(7, "non_compliant")
    base.sweeps(2)
    assert base.changes() == [(MISSING, key), (RETURNED, key), (NON, key)]
    assert base.events(NON)[0]["data"]["cause"] == "returned"


def test_missing_bad_node_returns_well(base, sim):
    """A bad node that was missing and comes back mended gets its all-clear."""
    key = sim.flip_to(7, "non_compliant")
    base.sweeps(1)
    remove(sim, 7)
    base.sweeps(3)
    sim.control("restore", index=7)
    sim.flip_to(7, "compliant")
    base.sweeps(1)
    assert base.changes() == [(NON, key), (MISSING, key), (RETURNED, key), (GOOD, key)]


def test_missing_and_back_many_times(base, sim):
    """Each absence and each return is told, each with an id of its own though nothing else differs."""
    key = remove(sim, 7)
    for _ in range(3):
        base.sweeps(3)
        sim.control("restore", index=7)
        base.sweeps(1)
        sim.control("remove", index=7)
    assert base.changes() == [(MISSING, key), (RETURNED, key)] * 3
    assert len({event["id"] for event in base.events()}) == len(base.events())


def test_first_sweep_is_the_baseline(pw, sim):
    """The first complete sweep raises one source.baseline with the right totals, and not one node is told of."""
    sim.fleet(nodes=200, non_compliant=25)
    sim.flip(count=7, to="unknown")
    pw.sweeps(3)
    events = pw.events()
    state = sim.state()
    assert [event["kind"] for event in events] == [BASELINE]
    assert events[0]["data"]["totals"] == {"nodes": 200, "compliant": state["compliant"],
                                           "non_compliant": state["non_compliant"], "unknown": 7}
    assert events[0]["source"] == "/patchwatch/prod" and "subject" not in events[0]
    assert pw.value("SELECT baseline_at FROM source") is not None


def test_incomplete_first_sweeps_are_no_baseline(pw, sim):
    """As long as no sweep was complete nothing is the baseline: no totals, no discoveries; then all at once."""
    sim.fleet(nodes=30, non_compliant=10)
    pw.source(sim, retries=0, offset="page", failing_after=1000)
    for page in (2, 3, 1):
        incomplete_sweep(pw, sim, page)
        assert [event["kind"] for event in pw.events()] == []
        assert pw.value("SELECT baseline_at FROM source") is None
    pw.sweeps(1)
    events = pw.events()
    assert [event["kind"] for event in events] == [BASELINE]
    assert events[0]["data"]["totals"]["nodes"] == 30


def test_flip_between_incomplete_first_sweeps_is_told(pw, sim):
    """A node that an incomplete first sweep showed and that then turns bad raises its alarm: what was seen is true."""
    sim.fleet(nodes=30, non_compliant=0)
    pw.source(sim, retries=0, offset="page", sort="none")
    incomplete_sweep(pw, sim, page=3)
    key = sim.flip_to(0, "non_compliant")
    pw.sweeps(1)
    assert pw.changes() == [(NON, key)]


def test_new_nodes_are_discovered_afterwards(base, sim):
    """A node that appears after the baseline raises one node.discovered with its status, and no transition."""
    added = sim.control("add", count=1, status="non_compliant")["nodes"] + \
        sim.control("add", count=1, status="compliant")["nodes"]
    base.sweeps(2)
    events = base.events(DISCOVERED)
    assert {event["subject"].split("/")[-1]: event["data"]["to"] for event in events} == \
        {node["node_id"] or node["instance_id"]: node["to"] for node in added}
    assert all(event["data"]["from"] is None and event["data"]["cause"] == "first_seen" for event in events)
    assert len(base.changes()) == 2


def test_new_node_in_an_incomplete_sweep_is_discovered(base, sim):
    """A new node is told of at once, also by a sweep that lost another page, and only once."""
    sim.control("add", count=1)
    incomplete_sweep(base, sim, page=2)
    base.sweeps(1)
    assert len(base.events(DISCOVERED)) == 1


def test_an_empty_fleet_is_a_fleet(pw, sim):
    """Zero nodes is a complete sweep with zero totals, and the first node that comes later is a discovery."""
    sim.fleet(nodes=0)
    pw.sweeps(2)
    events = pw.events()
    assert [event["kind"] for event in events] == [BASELINE]
    assert events[0]["data"]["totals"] == {"nodes": 0, "compliant": 0, "non_compliant": 0, "unknown": 0}
    sim.control("add", count=1)
    pw.sweeps(1)
    assert [kind for kind, _ in pw.changes()] == [DISCOVERED]


def test_a_fleet_that_is_gone_is_missing_only_after_the_sweeps(base, sim):
    """When the API says count 0 with an empty list, nobody is well again: all are missing after three such sweeps."""
    keys = sorted(node["key"] for node in sim.truth())
    sim.control("remove", count=30)
    base.sweeps(2)
    assert base.changes() == []
    base.sweeps(1)
    assert sorted(base.changes()) == [(MISSING, key) for key in keys]
    assert base.nodes() == {}


def test_incomplete_sweeps_retire_nothing(base, sim):
    """However often pages are lost, every node stays present with its status and its report."""
    key = sim.flip_to(3, "non_compliant")
    base.sweeps(1)
    before = base.nodes()
    reports = base.rows("SELECT * FROM report WHERE valid_to IS NULL ORDER BY report_pk")
    for page in (1, 2, 3, 1, 2, 3):
        incomplete_sweep(base, sim, page)
    assert base.nodes() == before
    assert base.rows("SELECT * FROM report WHERE valid_to IS NULL ORDER BY report_pk") == reports
    assert base.changes() == [(NON, key)]


def test_missing_state_survives_restarts_in_one_long_run_too(pw, sim):
    """A running daemon reports a vanished node and its return by itself, without any restart."""
    sim.fleet(nodes=5, non_compliant=0)
    pw.source(sim, missing_after=2)
    pw.start()
    pw.wait_rows("SELECT 1 FROM source WHERE baseline_at IS NOT NULL")
    key = remove(sim, 1)
    pw.wait_rows("SELECT 1 FROM event WHERE type LIKE '%node.missing'")
    sim.control("restore", index=1)
    pw.wait_rows("SELECT 1 FROM event WHERE type LIKE '%node.returned'")
    assert pw.changes() == [(MISSING, key), (RETURNED, key)]
