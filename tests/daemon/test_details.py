"""`details = changed`: the missing patches in the event of a machine that just turned non-compliant, and that whatever
becomes of reading them neither loses, doubles nor delays an event."""

import json
import os
import signal
import time

import pytest

from harness import wait_until

NON = "node.non_compliant"
GOOD = "node.compliant"
SEVERITIES = ("critical", "high", "medium", "low", "informational", "unspecified")
RANKS = {"CRITICAL": 0, "HIGH": 1, "MEDIUM": 2, "LOW": 3, "INFORMATIONAL": 4, "UNSPECIFIED": 5}


@pytest.fixture(name="base")
def base_fixture(pw, sim):
    """Twelve compliant nodes, seen by a first sweep, with details."""
    sim.fleet(nodes=12, non_compliant=0)
    pw.source(sim, details="changed", page_size=100)
    pw.sweeps(1)
    sim.control("requests/clear")
    return pw


def turn(sim, index=4, **counts):
    """Makes a node non-compliant; gives its key and the id of its report."""
    key = sim.flip_to(index, "non_compliant")
    if counts:
        sim.control("counts", index=index, keep_time=1, **counts)
    return key, sim.truth()[index]["id"]


def patches(sim, report_id, **parameters):
    """A page of a report's patches as the API gives it."""
    pairs = {"limit": 100, **parameters}.items()
    return json.loads(sim.request("GET", f"/v1/patch/instance/compliant/{report_id}", list(pairs)))


def answer(sim, document):
    """Whatever patches are asked for from now on, this is the answer."""
    sim.control("fault", body=json.dumps(document).encode(), kind="status", status=200, path="patches", times=0)


def alarms(watch, after=0):
    return [event["data"] for event in watch.events(NON, after=after)]


def alarm(watch):
    found = alarms(watch)
    assert len(found) == 1
    return found[0]


def test_missing_patches_are_listed(base, sim):
    """The event lists every patch that is not in place, the worst first, and none that is."""
    _, report_id = turn(sim, critical=2, high=3, low=4)
    base.sweeps(1)
    asked = sim.requests("patches")
    page = patches(sim, report_id)
    lacking = [item for item in page["compliance_items"] if item["patch_detail"]["patch_status"] in
               ("MISSING", "FAILED", "PENDING_REBOOT", "REJECT")]
    assert 0 < len(lacking) == 9 < page["count"]
    found = alarm(base)["patches"]
    assert found["total"] == 9
    assert sorted(patch["title"] for patch in found["listed"]) == sorted(item["title"] for item in lacking)
    by_title = {item["title"]: item for item in lacking}
    for patch in found["listed"]:
        item = by_title[patch["title"]]
        assert patch == {"title": item["title"], "classification": item["classification"],
                         "severity_level": item["severity_level"], "compliance_level": item["compliance_level"],
                         "status": item["patch_detail"]["patch_status"]}
    ranks = [RANKS[patch["compliance_level"]] for patch in found["listed"]]
    assert ranks == sorted(ranks) and ranks[0] == 0
    assert {patch["status"] for patch in found["listed"]} == {"MISSING", "FAILED", "PENDING_REBOOT", "REJECT"}
    assert "patches_error" not in alarm(base)
    assert [request["query"].split("patch_status=")[1] for request in asked] == \
        ["MISSING", "FAILED", "PENDING_REBOOT", "REJECT"]


def test_one_request_where_all_are_missing(base, sim):
    """No more is asked once as many patches were counted as the report says; a patch of no severity is listed too."""
    _, report_id = turn(sim, critical=1, unspecified=2)
    base.sweeps(1)
    found = alarm(base)["patches"]
    assert (found["total"], len(found["listed"])) == (3, 3)
    assert found["listed"][0]["severity_level"] == "CRITICAL"
    assert [patch["severity_level"] for patch in found["listed"][1:]] == [None, None]
    assert len(sim.requests("patches")) == 1
    assert patches(sim, report_id, patch_status="MISSING")["count"] == 3


def test_off_by_default(pw, sim):
    """Without the option nothing is asked and the event says nothing of patches."""
    sim.fleet(nodes=3, non_compliant=0)
    pw.source(sim)
    pw.sweeps(1)
    turn(sim, 1)
    pw.sweeps(1)
    assert sim.requests("patches") == []
    assert not {"patches", "patches_error"} & set(alarm(pw))


def test_only_transitions_to_non_compliant(base, sim):
    """Neither a recovery, nor worse counts, nor a machine that shows up non-compliant, nor a sweep without news asks."""
    turn(sim, 4)
    base.sweeps(1)
    sim.control("requests/clear")
    base.sweeps(1)
    sim.control("counts", index=4, critical=40)
    sim.control("add", count=1, status="non_compliant")
    base.sweeps(1)
    sim.flip_to(4, "compliant")
    base.sweeps(1)
    assert [event["kind"] for event in base.events()[2:]] == ["node.worsened", "node.discovered", GOOD]
    assert all("patches" not in event["data"] for event in base.events()[2:])
    assert sim.requests("patches") == []


def test_confirm_asks_when_it_counts(pw, sim):
    """With confirm = 3 the patches are read once, by the sweep that raises the event."""
    sim.fleet(nodes=3, non_compliant=0)
    pw.source(sim, details="changed", confirm=3)
    pw.sweeps(1)
    turn(sim, 1, high=2)
    pw.sweeps(2)
    assert sim.requests("patches") == [] and pw.events(NON) == []
    pw.sweeps(1)
    assert alarm(pw)["patches"]["total"] == 2
    assert len(sim.requests("patches")) == 1


@pytest.mark.parametrize("mode", ["page", "record"])
def test_more_pages(pw, sim, mode):
    """Of more patches than fit into one page the worst are listed, at most 50; the total is that of the API. The
    simulator lists the mildest first."""
    sim.fleet(nodes=25, non_compliant=0, offset_mode=mode)
    pw.source(sim, details="changed", page_size=20)
    pw.sweeps(1)
    _, report_id = turn(sim, 4, critical=4, low=90)
    pw.sweeps(1)
    asked = sim.requests("patches")
    missing = patches(sim, report_id, patch_status="MISSING")
    found = alarm(pw)["patches"]
    assert found["total"] == 94 and missing["count"] == 60
    listed = found["listed"]
    assert len({patch["title"] for patch in listed}) == len(listed) == 50
    assert sum(patch["severity_level"] == "CRITICAL" for patch in listed) == 4
    assert all(patch["severity_level"] == "CRITICAL" for patch in listed[:4])
    offsets = [request["query"].split("offset=")[1].split("&")[0] for request in asked
               if "MISSING" in request["query"]]
    assert offsets == (["1", "2", "3"] if mode == "page" else ["1", "21", "41"])


def test_endless_pages_end(pw, sim):
    """However many patches the API counts, at most five pages of a status are read."""
    sim.fleet(nodes=25, non_compliant=0)
    pw.source(sim, details="changed", page_size=10)
    pw.sweeps(1)
    turn(sim, 4, low=900)
    pw.sweeps(1)
    found = alarm(pw)["patches"]
    assert (found["total"], len(found["listed"])) == (900, 50)
    assert len(sim.requests("patches")) == 20


def test_count_that_lies(pw, sim):
    """A count beyond what the pages show is told, and that it was not shown; one that is none is an error."""
    sim.fleet(nodes=25, non_compliant=0)
    pw.source(sim, details="changed", page_size=20)
    pw.sweeps(1)
    turn(sim, 4, low=3)
    sim.fault("lying_count", path="patches", set=5000, times=0)
    turn(sim, 5, low=3)
    pw.sweeps(1)
    for data in alarms(pw):
        assert data["patches"]["total"] == 5000 and len(data["patches"]["listed"]) == 3
        assert "counts 5000" in data["patches_error"]
    after = pw.last_sequence()
    sim.control("fault/clear")
    for lie in (-5, 10**18):
        sim.fault("lying_count", path="patches", set=lie, times=2)
    turn(sim, 6, low=3)
    turn(sim, 7, low=3)
    pw.sweeps(1)
    assert all("patches" not in data and "count" in data["patches_error"] for data in alarms(pw, after))


FAULTS = {
    "404": {"kind": "status", "status": 404}, "500": {"kind": "status", "status": 500},
    "503": {"kind": "status", "status": 503, "retry_after": "1000"}, "401": {"kind": "status", "status": 401},
    "403": {"kind": "status", "status": 403}, "429": {"kind": "throttle"}, "reset": {"kind": "reset"},
    "reset_mid": {"kind": "reset_mid"}, "truncate": {"kind": "truncate"}, "cut": {"kind": "cut_json"},
    "html": {"kind": "html"}, "302": {"kind": "html_302"}, "empty": {"kind": "empty"}, "null": {"kind": "null_list"},
    "no list": {"kind": "missing_list"}, "null item": {"kind": "null_records"}, "deep": {"kind": "deep"},
    "garbage": {"kind": "garbage"}, "big": {"kind": "big"}, "bomb": {"kind": "gzip_bomb"},
    "error 200": {"kind": "error_200"}, "auth 200": {"kind": "error_200", "code": "APIGW.0301"},
    "long": {"kind": "length_long"}, "short": {"kind": "length_short"},
    "text count": {"kind": "wrong_types", "variant": "count_string"},
    "object list": {"kind": "wrong_types", "variant": "list_object"},
    "array": {"kind": "wrong_types", "variant": "body_array"},
    "text item": {"kind": "wrong_types", "variant": "record_string"},
    "number level": {"kind": "wrong_types", "variant": "id_number"},
    "array title": {"kind": "wrong_types", "variant": "name_array"},
    "number status": {"kind": "wrong_types", "variant": "status_number"},
    "array detail": {"kind": "wrong_types", "variant": "execution_array"},
    "utf8": {"kind": "invalid_utf8"}, "1e400": {"kind": "huge_numbers", "variant": "count_1e400"},
}


# The build with sanitizers, which has the crash points too, tries them all; for the optimised one some will do.
TRIED = FAULTS if os.environ.get("PATCHWATCH_HAS_FAILPOINTS", "1") == "1" else dict(list(FAULTS.items())[::5])


@pytest.mark.parametrize("fault", TRIED.values(), ids=TRIED)
def test_what_cannot_be_read_is_said(base, sim, fault):
    """Whatever the endpoint answers: each event is there once, in a complete sweep, and says why it lists no patches."""
    keys = [turn(sim, index, high=2)[0] for index in (4, 5, 6, 7)]
    sim.fault(**fault, path="patches", times=0)
    began = time.monotonic()
    base.sweeps(1)
    assert time.monotonic() - began < 8
    assert sorted(event["subject"] for event in base.events(NON)) == sorted(keys)
    assert base.last_sweep()["outcome"] == "complete"
    for data in alarms(base):
        assert "patches" not in data
        assert 5 < len(data["patches_error"]) < 200 and data["patches_error"].isprintable()
    sim.control("fault/clear")
    base.sweeps(1)
    assert len(base.events(NON)) == 4


def test_refused_credential_is_shown_to_it_once(base, sim):
    """A 401 or 429 of this endpoint ends the asking at once: an access key is not to be locked for an event's words.
    The next sweep is complete."""
    for status, kind in ((401, {"kind": "status", "status": 401}), (429, {"kind": "throttle"})):
        sim.control("auth", mode="aksk", access_key="AK-1", secret_key="SK-1")
        base.source(sim, details="changed", page_size=100, **base.aksk())
        sim.control("fault/clear")
        sim.fault(**kind, path="patches", times=0)
        sim.control("requests/clear")
        sim.flip(count=6, to="non_compliant")
        after = base.last_sequence()
        base.sweeps(1)
        assert len(sim.requests("patches")) == 1
        assert len(alarms(base, after)) == 6
        assert all(str(status) in data["patches_error"] for data in alarms(base, after))
        base.sweeps(1)
        sim.flip(count=12, to="compliant")
        base.sweeps(1)


def test_404_is_no_reason_to_stop(base, sim):
    """Reports that are gone cost their own events the list, not those of others."""
    ids = [turn(sim, index, high=2)[1] for index in range(8)]
    assert len(set(ids)) == 8
    sim.fault("status", status=404, path="patches", times=5)
    base.sweeps(1)
    told = alarms(base)
    assert sum("patches" in data for data in told) == 3
    assert sum("404" in data.get("patches_error", "") for data in told) == 5


def test_failure_that_passes(base, sim):
    """A failure at once is tried once more."""
    turn(sim, 4, high=2)
    sim.fault("status", status=503, path="patches")
    base.sweeps(1)
    assert alarm(base)["patches"]["total"] == 2 and "patches_error" not in alarm(base)


def test_partly_read(base, sim):
    """What was read before a failure is told, and that it is not all."""
    turn(sim, 4, high=9)
    sim.fault("status", status=500, path="patches", query="FAILED", times=0)
    base.sweeps(1)
    data = alarm(base)
    assert data["patches"]["total"] == len(data["patches"]["listed"]) == 6
    assert "500" in data["patches_error"]


def test_signed(base, sim):
    """The request is signed as pages are."""
    sim.control("auth", mode="aksk", access_key="AK-1", secret_key="SK-1", domain_id="d-1")
    base.source(sim, details="changed", domain_id="d-1", **base.aksk())
    for index in range(6):
        turn(sim, index, high=2)
    base.sweeps(1)
    assert {request["auth"] for request in sim.requests("patches")} == {"ok"}
    assert all(data["patches"]["total"] == 2 for data in alarms(base))


def test_hanging_endpoint_delays_by_seconds(base, sim):
    """An endpoint that hangs holds the events up for five seconds at most, however many machines there are."""
    base.source(sim, details="changed", page_size=100, timeout="60s", concurrency=1)
    sim.flip(count=10, to="non_compliant")
    sim.fault("timeout", path="patches", times=0, delay_ms=30000)
    began = time.monotonic()
    base.sweeps(1)
    assert time.monotonic() - began < 7
    assert len(alarms(base)) == 10 and base.last_sweep()["outcome"] == "complete"
    assert {data["patches_error"] for data in alarms(base)} & {"not read within 5 s"}
    sweep = base.last_sweep()
    assert sweep["ended_at"] - sweep["started_at"] < 6500


def test_slow_endpoint_and_low_rate(base, sim):
    """Of what cannot all be read in five seconds, some is: the rest says so. The rate limit holds for these requests."""
    base.source(sim, details="changed", page_size=100, rate="2/s")
    for index in range(12):
        turn(sim, index, high=2)
    base.sweeps(1)
    told = alarms(base)
    read = [data for data in told if "patches" in data]
    assert len(told) == 12 and 5 <= len(read) <= 11
    assert {data["patches_error"] for data in told if "patches" not in data} == {"not read within 5 s"}


def test_more_machines_than_the_bound(pw, sim):
    """Of more than 100 machines in one sweep, those beyond are told without their patches, and say so."""
    sim.fleet(nodes=130, non_compliant=0)
    pw.source(sim, details="changed", page_size=100)
    pw.sweeps(1)
    for index in range(120):
        turn(sim, index, high=1)
    pw.sweeps(1)
    told = alarms(pw)
    assert len(told) == 120
    assert sum("patches" in data for data in told) == 100
    assert sum("more than 100" in data.get("patches_error", "") for data in told) == 20
    assert len(sim.requests("patches")) == 100
    assert sim.state()["api_max_concurrent"] <= 4


def test_events_are_the_same_otherwise(make_watch, sim):
    """With and without details, whatever the endpoint does, two daemons raise the same events with the same ids and data."""
    sim.fleet(nodes=20, non_compliant=20)
    plain, detailed, failing = make_watch(), make_watch(), make_watch()
    watches = ((plain, "off"), (detailed, "changed"), (failing, "changed"))

    def sweep():
        for watch, _ in watches:
            sim.control("fault/clear")
            if watch is failing:
                sim.fault("garbage", path="patches", times=0)
            watch.sweeps(1)

    for watch, details in watches:
        watch.source(sim, details=details)
    sweep()
    for number in range(3):
        sim.flip(count=6)
        sim.control("counts", index=number, critical=number)
        sweep()
    stories = []
    for watch, _ in watches:
        story = []
        for event in watch.events():
            data = {key: value for key, value in event["data"].items() if key not in ("patches", "patches_error")}
            story.append((event["id"], event["type"], event.get("subject"), json.dumps(data, sort_keys=True)))
        stories.append(sorted(story))
    assert len(stories[0]) > 12
    assert stories[0] == stories[1] == stories[2]
    assert any("patches" in data for data in alarms(detailed))


def test_hostile_texts(base, sim):
    """Titles with line breaks, quotes, NUL and 64 KiB are printable and short in the event; a list of over 1000 is
    none."""
    hostile = ["a\nb\x1b[2J", 'q"\\', "nul\x00in", "x" * 65536, "\u202e" + "ü" * 300, ""]
    items = [{"title": title, "classification": title, "severity_level": title, "compliance_level": title,
              "patch_detail": {"patch_status": "MISSING"}} for title in hostile]
    items += [{"title": None}, {"patch_detail": None}, {}]
    turn(sim, 4, high=9)
    answer(sim, {"count": 9, "compliance_items": items})
    base.sweeps(1)
    found = alarm(base)["patches"]
    assert found["total"] == 9
    titles = [patch["title"] for patch in found["listed"]]
    assert "a\\x0Ab\\x1B[2J" in titles and 'q"\\' in titles and "nul\\x00in" in titles
    assert all(title is None or ("\n" not in title and len(title.encode()) < 256) for title in titles)
    assert len(json.dumps(found)) < 5000
    sim.control("fault/clear")
    turn(sim, 5, high=2)
    after = base.last_sequence()
    answer(sim, {"count": 5000, "compliance_items": [{"title": str(number)} for number in range(1001)]})
    base.sweeps(1)
    assert "1000" in alarms(base, after)[0]["patches_error"]


def test_server_that_does_not_filter(base, sim):
    """Where the API lists patches of another status than was asked for, its total means nothing."""
    turn(sim, 4, high=2)
    items = [{"title": "a", "patch_detail": {"patch_status": "INSTALLED"}}]
    answer(sim, {"count": 1, "compliance_items": items})
    base.sweeps(1)
    assert "patches" not in alarm(base) and "another status" in alarm(base)["patches_error"]


@pytest.mark.parametrize("report_id", ["../../../sim/login", "a b", "x?y=1", "%2e%2e", "i" * 65, "ä"])
def test_ids_that_cannot_be_asked_for(pw, sim, report_id):
    """A report's id that is no plain word never becomes part of a URL."""
    sim.record(instance_id="i-1", id=report_id)
    pw.source(sim, details="changed")
    pw.sweeps(1)
    sim.control("record/drop")
    sim.record(instance_id="i-1", id=report_id, status="non_compliant", report_time=1768435300000)
    pw.sweeps(1)
    assert "no id" in alarm(pw)["patches_error"]
    assert sim.requests("patches") == []
    assert all(request["status"] == 200 for request in sim.requests())


def test_incomplete_sweep_asks_too(base, sim):
    """A transition of a sweep that is not complete has its patches as well."""
    turn(sim, 4, high=2)
    sim.fault("lying_count", add=3, times=0)
    assert base.once() == 75
    assert alarm(base)["patches"]["total"] == 2


def test_older_record_asks_for_nothing(pw, sim):
    """A record that is older than what is known changes nothing and costs no request, sweep after sweep."""
    sim.record(instance_id="i-1", id="new", report_time=1768435300000)
    pw.source(sim, details="changed")
    pw.sweeps(1)
    sim.control("record/drop")
    sim.record(instance_id="i-1", id="old", status="non_compliant", report_time=1768435200000)
    pw.sweeps(3)
    assert pw.events(NON) == [] and sim.requests("patches") == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_end_of_the_daemon_while_patches_are_read(base, sim, how):
    """kill -9 while the API hangs: nothing was raised, and the next start raises the event once. SIGTERM: the daemon
    ends at once, with the event told."""
    base.record_all()
    key, _ = turn(sim, 4, high=2)
    sim.fault("timeout", path="patches", times=0, delay_ms=30000)
    base.start()
    wait_until(lambda: sim.state()["faults"][0]["fired"], "a request for patches")
    assert base.events(NON) == []
    began = time.monotonic()
    code = base.stop(how)
    assert code == (0 if how == signal.SIGTERM else -9) and time.monotonic() - began < 2
    assert len(base.events(NON)) == (1 if how == signal.SIGTERM else 0)
    sim.control("fault/clear")
    base.sweeps(2)
    assert [event["subject"] for event in base.events(NON)] == [key]
    if how == signal.SIGTERM:
        assert "stopped" in alarm(base)["patches_error"]
    else:
        assert alarm(base)["patches"]["total"] == 2
    assert [call["event"]["id"] for call in base.hook_calls()] == [base.events(NON)[0]["id"]]
    assert base.hook_calls()[0]["event"]["data"] == base.events(NON)[0]["data"]


def test_reload_while_patches_are_read(base, sim):
    """A reload while the API hangs does no harm: the event is told once."""
    turn(sim, 4, high=2)
    sim.fault("timeout", path="patches", times=0, delay_ms=30000)
    base.start()
    wait_until(lambda: sim.state()["faults"][0]["fired"], "a request for patches")
    base.source(sim, details="off", interval="2s")
    base.send_signal(signal.SIGHUP)
    base.wait_rows("SELECT 1 FROM event WHERE type = 'io.patchwatch.node.non_compliant'", deadline_s=8)
    turn(sim, 5, high=2)
    base.wait_rows("SELECT count(*) FROM event WHERE type = 'io.patchwatch.node.non_compliant' HAVING count(*) = 2")
    assert ["patches_error" in data for data in alarms(base)] == [True, False]


@pytest.mark.skipif(os.environ.get("PATCHWATCH_HAS_FAILPOINTS", "1") != "1", reason="this build has no crash points")
@pytest.mark.parametrize("point", ["apply", "commit-before", "commit-after"])
def test_kill_around_the_commit(base, sim, point):
    """Killed right before or after the transaction: one event, with its patches."""
    key, _ = turn(sim, 4, high=2)
    assert base.once(env={"PATCHWATCH_FAILPOINT": point}) == -9
    base.sweeps(2)
    assert [event["subject"] for event in base.events(NON)] == [key]
    assert alarm(base)["patches"]["total"] == 2


def test_reload_turns_it_on(base, sim):
    """A reload turns reading on and off for the sweeps that follow."""
    base.source(sim, details="off")
    base.start()
    base.wait_sweeps(1)
    base.source(sim, details="changed")
    base.send_signal(signal.SIGHUP)
    base.wait_sweeps(2)
    turn(sim, 4, high=2)
    base.wait_rows("SELECT 1 FROM event WHERE type = 'io.patchwatch.node.non_compliant'")
    assert alarm(base)["patches"]["total"] == 2
    base.source(sim, details="off")
    base.send_signal(signal.SIGHUP)
    base.wait_sweeps(2)
    turn(sim, 5, high=2)
    base.wait_rows("SELECT count(*) FROM event WHERE type = 'io.patchwatch.node.non_compliant' HAVING count(*) = 2")
    assert "patches" not in alarms(base)[1]


# Severity deltas

def test_delta(base, sim):
    """Every event with a report before and after says how the counts changed; one without says null."""
    base.source(sim, details="off")
    turn(sim, 4, critical=1, high=3)
    base.sweeps(1)
    sim.control("counts", index=4, critical=3, high=1)
    base.sweeps(1)
    sim.control("counts", index=4, low=1)
    base.sweeps(1)
    sim.flip_to(4, "compliant")
    base.sweeps(1)
    sim.control("add", count=1)
    base.sweeps(1)
    deltas = {event["kind"]: event["data"]["delta"] for event in base.events() if not event["kind"].startswith("source")}
    zero = dict.fromkeys(SEVERITIES, 0)
    assert deltas == {
        NON: {**zero, "count": 4, "critical": 1, "high": 3},
        "node.worsened": {**zero, "count": 0, "critical": 2, "high": -2},
        "node.improved": {**zero, "count": -3, "critical": -3, "high": -1, "low": 1},
        GOOD: {**zero, "count": -1, "low": -1},
        "node.discovered": None,
    }


def test_delta_without_counts(pw, sim):
    """A count that either report lacks has no difference."""
    sim.record(instance_id="i-1", non_compliant_count=0, non_compliant_critical=0)
    pw.source(sim)
    pw.sweeps(1)
    sim.control("record/drop")
    sim.record(instance_id="i-1", status="non_compliant", report_time=1768435300000, non_compliant_count=3,
               non_compliant_high=3)
    pw.sweeps(1)
    assert alarm(pw)["delta"] == {**dict.fromkeys(SEVERITIES), "count": 3}
