"""Every page of every fleet, in both readings of `offset`, also while rows move."""

import os
import time

import pytest

import harness
from harness import definite

MODES = ("page", "record")
SIZES = (0, 1, 99, 100, 101, 1234)


def assert_table_is_truth(pw, sim, source="prod"):
    """The present nodes and their current reports are exactly what the API has."""
    truth = {node["key"]: (definite(node["status"]), node["report_time"], node["name"]) for node in sim.truth()}
    rows = pw.rows("SELECT n.node_key, n.status, r.report_time, n.name FROM node AS n JOIN source AS s USING (source_id)"
                   " LEFT JOIN report AS r ON r.node_id = n.node_id AND r.valid_to IS NULL"
                   " WHERE s.name = ? AND n.missing_since IS NULL", source)
    assert len(rows) == len(truth)
    assert {row["node_key"]: (row["status"], row["report_time"], row["name"]) for row in rows} == truth


def offsets(sim):
    return [int(query.get("offset", 1)) for query in sim.queries()]


def remembered(pw, source="prod"):
    return pw.rows("SELECT offset_mode FROM source WHERE name = ?", source)[0]["offset_mode"]


@pytest.mark.parametrize("page_size", [100, 10, 1])
@pytest.mark.parametrize("mode", MODES)
def test_every_node_is_seen_exactly_once(make_watch, sim, mode, page_size):
    """Whatever `offset` means, whether we are told or must find out, and whatever the size of the fleet: the table is
    the fleet, also after a restart and after changes."""
    watch = make_watch()
    sizes = SIZES if page_size > 1 else (0, 1, 2, 31)
    for nodes in sizes:
        sim.fleet(nodes=nodes, seed=nodes + 1, offset_mode=mode)
        watch.sources.clear()
        for offset in ("auto", mode):
            watch.source(sim, name=f"{offset}-{nodes}", offset=offset, page_size=page_size)
        watch.sweeps(1)
        sim.flip(count=min(5, nodes))
        sim.control("add", count=1)
        watch.sweeps(1)
        for name in watch.sources:
            sweep = watch.last_sweep(name)
            assert (sweep["outcome"], sweep["reported_count"], sweep["records"], sweep["nodes"]) == \
                ("complete", nodes + 1, nodes + 1, nodes + 1), name
            assert_table_is_truth(watch, sim, name)


@pytest.mark.parametrize("page_size", [10, 100])
@pytest.mark.parametrize("mode", MODES)
def test_a_large_fleet(make_watch, sim, mode, page_size, monkeypatch):
    """100,000 nodes are all there in both readings of offset, in pages of ten and of a hundred."""
    release = os.environ.get("PATCHWATCHD_RELEASE")
    if not release:
        pytest.skip("takes the optimized program: PATCHWATCHD_RELEASE")
    monkeypatch.setattr(harness, "PATCHWATCHD", release)
    sim.fleet(nodes=100_000, offset_mode=mode)
    watch = make_watch()
    watch.source(sim, page_size=page_size, rate=0)
    watch.sweeps(1)
    sim.flip(count=500, list=0)
    watch.sweeps(1)
    assert_table_is_truth(watch, sim)
    assert len(watch.changes("node.compliant", "node.non_compliant")) == 500


@pytest.mark.parametrize("mode", MODES)
def test_auto_finds_out_once_and_remembers(pw, sim, mode):
    """`offset = auto` asks offset=2 in its first sweep, and no longer once the answer is known, over restarts too."""
    sim.fleet(nodes=95, offset_mode=mode)
    pw.sweeps(1)
    assert 2 in offsets(sim)
    assert remembered(pw) == mode
    expected = [1 + page * (1 if mode == "page" else 10) for page in range(10)]
    for _ in range(2):
        sim.control("requests/clear")
        pw.sweeps(1)
        assert sorted(offsets(sim)) == expected


@pytest.mark.parametrize("nodes", [0, 1, 9])
def test_one_page_tells_nothing_of_the_mode(pw, sim, nodes):
    """A fleet that fits into one page is read with one request, and nothing is remembered that was not seen."""
    sim.fleet(nodes=nodes, offset_mode="record")
    pw.sweeps(2)
    assert set(offsets(sim)) == {1}
    assert remembered(pw) is None
    sim.control("add", count=40)
    pw.sweeps(1)
    assert remembered(pw) == "record"
    assert_table_is_truth(pw, sim)


@pytest.mark.parametrize("mode", MODES)
def test_told_mode_needs_no_question(pw, sim, mode):
    """With `offset = page` or `record` nothing is asked that is not needed."""
    sim.fleet(nodes=95, offset_mode=mode)
    pw.source(sim, offset=mode)
    pw.sweeps(1)
    assert sorted(offsets(sim)) == [1 + page * (1 if mode == "page" else 10) for page in range(10)]


@pytest.mark.parametrize("mode", MODES)
def test_remembered_mode_heals_when_the_server_changes(pw, sim, mode):
    """When the API suddenly counts `offset` in the other way, no node goes missing and the new way is learned."""
    sim.fleet(nodes=95, offset_mode=mode)
    pw.source(sim, missing_after=1)
    pw.sweeps(1)
    other = MODES[1 - MODES.index(mode)]
    sim.control("fleet", offset_mode=other)
    assert pw.once() in (0, 75)
    assert pw.changes() == []
    pw.sweeps(1)
    assert remembered(pw) == other
    assert pw.changes() == []
    assert_table_is_truth(pw, sim)


@pytest.mark.parametrize("mode", MODES)
def test_wrong_told_mode_is_harmless(pw, sim, mode):
    """A configured `offset` that is wrong makes no node go missing: a sweep is complete only if it saw all of them, else
    it says why it is not."""
    sim.fleet(nodes=95, offset_mode=mode)
    pw.source(sim, missing_after=1)
    pw.sweeps(1)
    pw.source(sim, missing_after=1, offset=MODES[1 - MODES.index(mode)])
    for _ in range(2):
        code, sweep = pw.once(), pw.last_sweep()
        if code == 0:
            assert (sweep["outcome"], sweep["records"]) == ("complete", 95)
        else:
            assert (code, sweep["outcome"]) == (75, "incomplete") and sweep["reason"]
    assert pw.changes() == []
    assert len(pw.nodes()) == 95


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["move", "move_new_id", "insert", "delete", "swap_page"])
@pytest.mark.parametrize("offset", [1, "middle"])
def test_rows_that_move_once_are_repaired(pw, sim, mode, kind, offset):
    """Rows that move, come or go between two pages make us read once more; the sweep ends complete and right."""
    sim.fleet(nodes=95, offset_mode=mode, non_compliant=0)
    pw.source(sim, offset=mode, missing_after=1, concurrency=1)
    pw.sweeps(1)
    keys = {node["key"] for node in sim.truth()}
    at = 1 if offset == 1 else (5 if mode == "page" else 41)
    parameters = {"with": 11 if mode == "record" else 2} if kind == "swap_page" else {"position": 3, "moves": 3}
    sim.fault(kind, offset=at, **parameters)
    pw.sweeps(2)
    assert_table_is_truth(pw, sim)
    now = {node["key"] for node in sim.truth()}
    assert sorted(pw.changes("node.discovered")) == sorted(("node.discovered", key) for key in now - keys)
    assert sorted(pw.changes("node.missing")) == sorted(("node.missing", key) for key in keys - now)
    assert pw.changes("node.compliant", "node.non_compliant", "node.returned") == []


@pytest.mark.parametrize("kind", ["insert", "delete"])
def test_fleet_that_never_holds_still_is_harmless(pw, sim, kind):
    """While nodes come or go after every single page no sweep is complete; nothing goes missing that is there."""
    sim.fleet(nodes=95, non_compliant=0)
    pw.source(sim, missing_after=1, offset="page")
    pw.sweeps(1)
    sim.fault(kind, position=2, moves=1, times=0)
    for _ in range(2):
        code, sweep = pw.once(), pw.last_sweep()
        assert code == (0 if sweep["outcome"] == "complete" else 75)
        assert sweep["outcome"] == "complete" or sweep["reason"]
    assert sweep["outcome"] == "incomplete"
    sim.control("fault/clear")
    present = {node["key"] for node in sim.truth()}
    assert not [key for kind, key in pw.changes("node.missing") if key in present]
    pw.sweeps(1)
    assert not [key for kind, key in pw.changes("node.missing") if key in present]
    assert_table_is_truth(pw, sim)


@pytest.mark.parametrize("mode", MODES)
def test_flips_are_found_while_rows_move_for_ever(pw, sim, mode):
    """With reports that change after every page flips are still told, each once, and nothing false is."""
    sim.fleet(nodes=95, offset_mode=mode, non_compliant=0)
    pw.source(sim, missing_after=1, offset=mode)
    pw.sweeps(1)
    sim.fault("move", position=1, moves=4, times=0)
    expected = sorted(("node.non_compliant", node["key"]) for node in sim.flip(count=6, to="non_compliant"))
    pw.once()
    assert set(pw.changes()) <= set(expected)
    sim.control("fault/clear")
    pw.sweeps(1)
    assert sorted(pw.changes()) == expected


def test_server_that_caps_the_page(pw, sim):
    """Asked with page_size 100 and 1234 nodes, pages of a hundred are asked for and nothing is asked twice."""
    sim.fleet(nodes=1234)
    pw.source(sim, page_size=100, offset="page")
    pw.sweeps(1)
    queries = sim.queries()
    assert {query["limit"] for query in queries} == {"100"}
    assert sorted(offsets(sim)) == list(range(1, 14))


def test_more_than_offset_can_reach_is_said(pw, sim):
    """A fleet beyond offset 1,000,000 ends incomplete with advice how to split it; nobody goes missing."""
    sim.fleet(nodes=30)
    pw.source(sim, missing_after=1, page_size=1, retries=0, concurrency=1)
    pw.sweeps(1)
    sim.fault("lying_count", set=2_000_000, times=0)
    assert pw.once() == 75
    sweep = pw.last_sweep()
    assert sweep["outcome"] == "incomplete" and sweep["reported_count"] == 2_000_000
    assert sweep["requests"] < 1000
    assert sweep["reason"]
    assert pw.changes() == []


def test_offset_ceiling_in_a_real_fleet(pw, sim, monkeypatch):
    """In record mode a fleet of a little more than a million nodes is incomplete, and the reason names filters."""
    release = os.environ.get("PATCHWATCHD_RELEASE")
    if not release or not os.environ.get("PW_TEST_MILLION"):
        pytest.skip("takes two minutes and the optimized program: PATCHWATCHD_RELEASE, PW_TEST_MILLION=1")
    monkeypatch.setattr(harness, "PATCHWATCHD", release)
    sim.fleet(nodes=1_000_000, offset_mode="record")
    for number in range(150):
        sim.record(instance_id=f"beyond-{number}", id=f"beyond-{number}")
    pw.source(sim, page_size=100, offset="record", retries=0)
    assert pw.once(timeout_s=250) == 75
    sweep = pw.last_sweep()
    assert sweep["outcome"] == "incomplete"
    assert "1000000" in sweep["reason"] and "filter." in sweep["reason"]


def test_sort_is_asked_for_or_not(pw, sim):
    """`sort = report_time` asks for that order, `sort = none` says no word about it; both see every node."""
    sim.fleet(nodes=35)
    pw.sweeps(1)
    assert {query.get("sort_key") for query in sim.queries()} == {"report_time"}
    sim.control("requests/clear")
    pw.source(sim, sort="none")
    pw.sweeps(1)
    assert {query.get("sort_key") for query in sim.queries()} == {None}
    assert_table_is_truth(pw, sim)


def test_filters_are_passed_on(pw, sim):
    """A filter of the configuration reaches the API as it stands, percent-encoded, and only its nodes are recorded."""
    sim.fleet(nodes=60)
    name = "生产 & Söhne+50%=?#"
    sim.control("set", index=3, name=name)
    pw.source(sim, filter_name=name)
    pw.sweeps(1)
    assert list(pw.nodes()) == [sim.truth()[3]["key"]]
    assert all(query["name"] == name for query in sim.queries())


def test_concurrency_is_kept(pw, sim):
    """No more requests are under way at once than `concurrency` allows."""
    sim.fleet(nodes=200)
    sim.fault("delay", delay_ms=20, times=0)
    pw.source(sim, concurrency=3)
    pw.sweeps(1)
    assert 2 <= sim.state()["api_max_concurrent"] <= 3


def test_rate_is_kept(pw, sim):
    """`rate = 20/s` spreads thirty requests over at least the better part of a second."""
    sim.fleet(nodes=300)
    pw.source(sim, rate="20/s")
    began = time.monotonic()
    pw.sweeps(1)
    assert time.monotonic() - began > 0.4
    assert_table_is_truth(pw, sim)
