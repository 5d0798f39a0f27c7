"""What the cloud and the network do to a client: errors, throttling, slowness, silence, and how it is told and outlived."""

import os
import re
import signal
import socket
import sqlite3
import statistics
import subprocess
import threading
import time

import pytest

from harness import PATCHWATCHD, SANITIZER_ENV, wait_until

NODES = 50  # on five pages
FAILING, RECOVERED = "source.failing", "source.recovered"


@pytest.fixture(name="base")
def base_fixture(pw, sim):
    """Fifty compliant nodes, seen by a first sweep."""
    sim.fleet(nodes=NODES, non_compliant=0)
    pw.source(sim, offset="page")
    pw.sweeps(1)
    sim.control("requests/clear")
    return pw


# Errors

ERRORS = {
    "flat": ('{"error_code":"COC.00010002","error_msg":"no such scene"}', "COC.00010002", "no such scene"),
    "camel": ('{"errorCode":"COC.7","errorMsg":"über"}', "COC.7", "über"),
    "cce": ('{"errorCode":"CCE.01400001","errorMessage":"bad cluster"}', "CCE.01400001", "bad cluster"),
    "code": ('{"code":"X.1","message":"m m"}', "X.1", "m m"),
    "nested": ('{"error":{"code":"APIGW.0106","message":"backend"}}', "APIGW.0106", "backend"),
    "keystone": ('{"error":{"code":409,"message":"a conflict","title":"Conflict"}}', "409", "a conflict"),
    "number": ('{"error_code":404123,"error_msg":"numbered","provider_code":"049","data":null}', "404123", "numbered"),
    "html": ("<html><h1>Bad\nthing</h1>" + "x" * 100_000, None, "Bad"),
    "text": ("upstream connect error\x1b[31m", None, "upstream connect error"),
    "blank": (" ", None, "500"),
    "cut": ('{"error_code":"COC.1","error_msg":"ab', None, "COC.1"),
}


@pytest.fixture(name="many")
def many_fixture(make_sim, make_watch):
    """Makes one daemon with a source and a simulator for each of some faults."""
    def make(faults, **options):
        pw, sims = make_watch(), {}
        for name in faults:
            sims[name] = make_sim()
            sims[name].fleet(nodes=NODES, non_compliant=0)
            pw.source(sims[name], name=f"s-{name}", offset="page", **options)
        return pw, sims
    return make


def test_error_bodies_are_decoded(many):
    """Whatever form an error has, its code and its text stand in the sweep and in the log; long ones are cut."""
    pw, sims = many(ERRORS, retries=0)
    for name, sim in sims.items():
        sim.fault("status", status=500, body=ERRORS[name][0].encode(), times=0)
    assert pw.once() == 75
    for name, (_, code, text) in ERRORS.items():
        sweep = pw.last_sweep(f"s-{name}")
        assert sweep["outcome"] == "failed" and sweep["reason"], f"{name}: {sweep}"
        assert sweep["error_code"] == code, f"{name}: {sweep}"
        assert text in sweep["error_msg"] and len(sweep["error_msg"]) < 2000, f"{name}: {sweep}"
        assert not re.search(r"[\x00-\x1f]", sweep["error_msg"]), f"{name}: {sweep}"
        line = [line for line in pw.log_text().splitlines() if f"s-{name}" in line and text in line]
        assert line and (code or "") in line[0] and len(line[0]) < 4000, f"{name}: {line}"


def test_request_id_of_an_error_is_kept(base, sim):
    """The request id that the cloud's support asks for stands in the sweep: of the header, which the gateway sets, before
    that of the body."""
    connection = sim.connect()
    connection.request("GET", "/v1/patch/instance/compliant")
    ours = connection.getresponse().headers["X-Request-Id"]
    connection.close()
    sim.fault("status", status=500, body='{"error_code":"COC.1","error_msg":"x","request_id":"of-the-body"}', times=0)
    base.source(sim, offset="page", retries=0)
    assert base.once() == 75
    kept = base.last_sweep()["request_id"]
    assert len(kept) == 32 and int(kept[16:], 16) == int(ours[16:], 16) + 1, kept  # the simulator counts in the second half


def test_error_in_a_200_is_an_error(base, sim):
    """200 with an error code is no page: nothing is missed, the code is kept."""
    sim.fault("error_200", times=0, code="COC.00010099", msg="not now")
    base.source(sim, offset="page", retries=0)
    for _ in range(4):
        assert base.once() == 75
    sweep = base.last_sweep()
    assert (sweep["outcome"], sweep["error_code"]) == ("failed", "COC.00010099") and "not now" in sweep["error_msg"]
    assert base.changes() == []


def lines_about(pw, start, text):
    """Log lines of level warning or worse, after a place in the log, that have that text in them."""
    return [line for line in pw.log_text()[start:].splitlines()
            if text in line and not re.search(r"\b(debug|info|notice)\b", line)]


def test_one_line_for_one_trouble(base, sim):
    """A trouble that lasts is told in the log once, not with every poll; another cause is told; and so is the end."""
    base.source(sim, offset="page", retries=0, failing_after=100)
    sim.fault("status", status=500, body='{"error_code":"COC.AAA","error_msg":"first"}', times=0)
    start = len(base.log_text())
    base.start()
    base.wait_sweeps(4)
    assert len(lines_about(base, start, "COC.AAA") or lines_about(base, start, "first")) == 1, base.tail()
    sim.control("fault/clear")
    sim.fault("status", status=500, body='{"error_code":"COC.BBB","error_msg":"second"}', times=0)
    base.wait_sweeps(3)
    assert len(lines_about(base, start, "second")) == 1, base.tail()
    before_end = len(base.log_text())
    sim.control("fault/clear")
    base.wait_rows("SELECT 1 FROM sweep WHERE outcome = 'complete' AND sweep_id > 2")
    base.wait_sweeps(1)
    assert "prod" in base.log_text()[before_end:]
    assert len([line for line in base.log_text()[start:].splitlines() if "first" in line]) <= 2


# Retries

FINAL = [400, 401, 403, 404, 405, 409, 501]
PASSING = [408, 429, 500, 502, 503, 504]


def test_what_no_retry_can_heal_is_asked_once(many):
    """400, 401, 403, 404 and their like are not asked again within the sweep, though retries are left."""
    pw, sims = many(FINAL, retries=5)
    for status, sim in sims.items():
        sim.fault("status", status=status, times=0)
    assert pw.once() == 75
    assert {status: sim.state()["api_requests"] for status, sim in sims.items()} == dict.fromkeys(FINAL, 1)
    for status in FINAL:
        sweep = pw.last_sweep(f"s-{status}")
        assert (sweep["outcome"], sweep["requests"], sweep["retries"]) == ("failed", 1, 0), sweep


def test_what_passes_is_retried(many):
    """429, 5xx, resets, timeouts and torn bodies are asked again, and the sweep is complete."""
    faults = {str(status): ("status", {"status": status, "retry_after": "0"}) for status in PASSING}
    faults.update({kind: (kind, {}) for kind in ("reset", "reset_mid", "truncate", "length_long", "cut_json", "html", "empty",
                                                 "garbage", "error_200")})
    faults["timeout"] = ("timeout", {"delay_ms": 5000})
    faults["slow"] = ("delay", {"delay_ms": 3000})
    pw, sims = many(faults, retries=3, timeout="1s")
    for name, sim in sims.items():
        kind, parameters = faults[name]
        sim.fault(kind, page=2, **parameters)
    assert pw.once() == 0, pw.tail()
    for name in faults:
        sweep = pw.last_sweep(f"s-{name}")
        assert sweep["outcome"] == "complete", f"{name}: {sweep}"
        # A kept connection that is reset is replaced by libcurl itself.
        assert sweep["retries"] == 1 or name == "reset", f"{name}: {sweep}"
        assert not sweep["error_msg"] and not sweep["reason"], f"{name}: {sweep}"


def test_number_of_retries(base, sim):
    """retries = 2 means three requests for a page, no more."""
    sim.fault("status", status=503, times=0)
    base.source(sim, offset="page", retries=2)
    assert base.once() == 75
    assert sim.state()["api_requests"] == 3
    assert base.last_sweep()["retries"] == 2


# Throttling

def gap_after_first(sim):
    requests = sim.requests()
    return requests[1]["at_ms"] - requests[0]["at_ms"]


# What the 429 says, and how long a pause it makes, at least and at most (there is some jitter).
PAUSES = {
    "retry-after": ({"kind": "throttle", "retry_after": "3"}, 2900, 8000),
    "window": ({"kind": "throttle", "window": "second"}, 950, 4500),
    "both": ({"kind": "throttle", "window": "second", "retry_after": "2"}, 1900, 6500),
    "date": ({"kind": "status", "status": 503, "retry_after": "Fri, 01 Jan 2021 00:00:00 GMT"}, 0, 2000),
    "nothing": ({"kind": "status", "status": 429, "body": '{"error_code":"APIGW.0308","error_msg":"slow"}'}, 1900, 6500),
}


def test_429_is_waited_for(many):
    """After 429 as long a pause is made as the server wants: Retry-After, else the window of its text, else some seconds."""
    pw, sims = many(PAUSES, retries=5)
    for name, sim in sims.items():
        sim.fault(**PAUSES[name][0])
    assert pw.once() == 0
    pauses = {name: gap_after_first(sim) for name, sim in sims.items()}
    wrong = {name: pause for name, pause in pauses.items() if not PAUSES[name][1] <= pause <= PAUSES[name][2]}
    assert not wrong


def spacing(sim, count):
    """The usual time between the next so many requests, in milliseconds."""
    sim.control("requests/clear")
    wait_until(lambda: sim.state()["api_requests"] >= count, f"{count} requests", 30)
    times = [one["at_ms"] for one in sim.requests() if one["fault"] is None]
    return statistics.median(later - earlier for earlier, later in zip(times, times[1:]))


@pytest.mark.parametrize("retry_after", ["1", ""])
def test_429_makes_it_slower_and_good_answers_faster_again(pw, sim, retry_after):
    """After 429, with Retry-After or without, the rate of the following requests is lower; good answers bring it back."""
    sim.fleet(nodes=3000, non_compliant=0)
    pw.source(sim, offset="page", page_size=1, rate="40/s", retries=5)
    pw.start()
    wait_until(lambda: sim.state()["api_requests"] >= 60, "the end of the first burst")
    before = spacing(sim, 30)
    sim.fault("throttle", window="second", times=1, retry_after=retry_after)
    wait_until(lambda: not any(fault["armed"] for fault in sim.state()["faults"]), "the refusal")
    spacing(sim, 2)
    during = spacing(sim, 8)  # at half the rate, less what it got back since
    assert during > 1.5 * before, (before, during)
    wait_until(lambda: spacing(sim, 20) < 1.2 * before, "the old rate", 40)
    assert pw.outcomes() == ["running"]


# Sweeps and their neighbours

def test_a_sweep_never_overlaps_the_next(pw, sim):
    """Sweeps that take longer than their interval follow each other, never two at a time; other requests wait."""
    sim.fleet(nodes=NODES, non_compliant=0)
    pw.source(sim, offset="page", concurrency=1)
    sim.fault("delay", delay_ms=250, times=0)
    pw.start()
    pw.wait_sweeps(3)
    assert sim.state()["api_max_concurrent"] == 1
    sweeps = [row for row in pw.rows("SELECT * FROM sweep ORDER BY sweep_id") if row["ended_at"]]
    assert len(sweeps) >= 3
    for earlier, later in zip(sweeps, sweeps[1:]):
        assert later["started_at"] >= earlier["ended_at"]
        assert later["started_at"] - earlier["ended_at"] < 1500


class Silent:
    """Listens and never answers."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(64)
        self.endpoint = f"http://127.0.0.1:{self.socket.getsockname()[1]}"


@pytest.fixture(name="silent")
def silent_fixture():
    server = Silent()
    yield server
    server.socket.close()


@pytest.fixture(name="dead")
def dead_fixture():
    """A URL where nothing listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}"


def test_slow_and_dead_sources_delay_no_other(make_sim, make_watch, silent, dead):
    """One source is dead, one never answers, one drips, one is throttled: three others keep their rhythm of one second."""
    pw, good = make_watch(), [make_sim() for _ in range(3)]
    for number, sim in enumerate(good):
        sim.fleet(nodes=NODES, seed=number + 1, non_compliant=0)
        pw.source(sim, name=f"good-{number}", offset="page")
    drip, throttled = make_sim(), make_sim()
    for sim, fault in ((drip, {"kind": "drip", "bytes_per_second": 50}), (throttled, {"kind": "throttle"})):
        sim.fleet(nodes=NODES, non_compliant=0)
        sim.fault(times=0, **fault)
    pw.source(dead, name="dead", retries=5)
    pw.source(silent, name="silent", retries=5, timeout="60s", concurrency=64)
    pw.source(drip, name="drip", timeout="60s", concurrency=64)
    pw.source(throttled, name="throttled", retries=20)
    pw.start()
    for number in range(3):
        pw.wait_rows("SELECT 1 FROM source WHERE name = ? AND baseline_at IS NOT NULL", f"good-{number}")
    time.sleep(5)
    for number, sim in enumerate(good):
        rows = pw.rows("SELECT * FROM sweep JOIN source USING (source_id) WHERE name = ? ORDER BY sweep_id", f"good-{number}")
        starts = [row["started_at"] for row in rows]
        gaps = [later - earlier for earlier, later in zip(starts, starts[1:])]
        assert len(starts) >= 5 and max(gaps) < 1600, gaps
        assert {row["outcome"] for row in rows} <= {"complete", "running"}
    begun = time.monotonic()
    assert pw.stop() == 0
    assert time.monotonic() - begun < 3


def test_sources_are_spread_by_their_names(sim, make_watch):
    """After their first sweep, sources stand apart within the jitter: each where its name puts it, after every start."""
    names, gaps = ("a", "bravo", "charlie", "delta-4"), []
    sim.fleet(nodes=NODES, non_compliant=0)
    for _ in range(2):
        pw = make_watch()
        for name in names:
            pw.source(sim, name=name, offset="page", interval="3s", jitter="50%")
        pw.start()
        gap = {}
        for name in names:
            rows = pw.wait_rows("SELECT started_at FROM sweep JOIN source USING (source_id) WHERE name = ? AND"
                                " (SELECT count(*) FROM sweep AS o WHERE o.source_id = source.source_id) >= 2"
                                " ORDER BY sweep_id LIMIT 2", name)
            gap[name] = rows[1]["started_at"] - rows[0]["started_at"]
        assert pw.stop() == 0
        gaps.append(gap)
    assert all(1300 <= gap <= 5000 for one in gaps for gap in one.values()), gaps
    assert all(abs(gaps[0][name] - gaps[1][name]) < 400 for name in names), gaps
    assert max(gaps[0].values()) - min(gaps[0].values()) > 500, gaps


# Names that cannot be looked up

@pytest.fixture(name="mute_resolver")
def mute_resolver_fixture(tmp_path):
    """A resolver on the loopback that takes every question and never answers; gives a resolv.conf that names it."""
    questions = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        try:
            server.bind(("127.0.0.53", 53))
        except OSError:
            pytest.skip("port 53 of the loopback is not ours to take")
        server.settimeout(0.2)
        over = threading.Event()

        def listen():
            while not over.is_set():
                try:
                    questions.append(server.recv(512))
                except OSError:
                    pass
        thread = threading.Thread(target=listen)
        thread.start()
        file = tmp_path / "resolv.conf"
        file.write_text("nameserver 127.0.0.53\noptions timeout:20 attempts:3\n", encoding="ascii")
        hosts = tmp_path / "nsswitch.conf"
        hosts.write_text("hosts: files dns\n", encoding="ascii")
        yield file, hosts, questions
        over.set()
        thread.join()


def test_dns_that_hangs_stalls_nothing(pw, sim, mute_resolver):
    """While a name is looked up in vain other sources keep their rhythm, the sweep ends by its connect_timeout, and
    SIGTERM ends the daemon at once."""
    file, hosts, questions = mute_resolver
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("mount namespaces are not allowed here")
    sim.fleet(nodes=NODES, non_compliant=0)
    pw.source(sim, offset="page")
    for number in range(6):  # more than libuv and libcurl have threads for
        pw.source(f"http://nobody-{number}.example", name=f"lost-{number}", retries=0, timeout="4s", connect_timeout="2s")
    script = (f"mount --bind {file} /etc/resolv.conf && mount --bind {hosts} /etc/nsswitch.conf && "
              f"exec {PATCHWATCHD} --config {pw.config}")
    with open(pw.log, "ab") as log:
        pw.process = subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdout=log, stderr=log,
                                      env={**os.environ, **SANITIZER_ENV})
    pw.wait_rows("SELECT 1 FROM sweep WHERE outcome = 'failed'")
    wait_until(lambda: questions, "questions to the resolver")
    pw.wait_sweeps(3)
    starts = [row["started_at"] for row in pw.rows("SELECT started_at FROM sweep JOIN source USING (source_id)"
                                                   " WHERE name = 'prod' ORDER BY sweep_id")]
    gaps = [later - earlier for earlier, later in zip(starts, starts[1:])]
    assert len(starts) >= 3 and max(gaps) < 1600, gaps
    failed = pw.rows("SELECT w.*, s.name FROM sweep AS w JOIN source AS s USING (source_id) WHERE outcome = 'failed'")[0]
    assert failed["name"].startswith("lost-") and failed["ended_at"] - failed["started_at"] < 5000
    assert failed["error_msg"] and failed["reason"]
    begun = time.monotonic()
    assert pw.stop() == 0
    assert time.monotonic() - begun < 3


# A list that is empty all at once

def test_an_empty_list_is_held_once(pw, sim):
    """A fleet that is gone from one sweep to the next is said loudly and counts for nothing; when the next sweep says the
    same, both count as missed."""
    sim.fleet(nodes=5, non_compliant=0)
    pw.source(sim, missing_after=3)
    pw.sweeps(1)
    sim.control("remove", count=5)
    start = len(pw.log_text())
    pw.sweeps(1)
    loud = [line for line in pw.log_text()[start:].splitlines() if re.search(r"\b(warning|err)\b", line)]
    assert len(loud) == 1 and "empty" in loud[0], loud
    assert pw.value("SELECT empty_sweeps FROM source") == 1
    assert pw.value("SELECT max(missed_sweeps) FROM node") == 0
    pw.sweeps(1)
    assert pw.changes() == []
    assert pw.value("SELECT min(missed_sweeps) FROM node") == 2
    pw.sweeps(1)
    assert sorted(kind for kind, _ in pw.changes()) == ["node.missing"] * 5


def test_an_empty_list_with_missing_after_one(pw, sim):
    """Even where one sweep is enough to miss a node, an empty list needs a second one."""
    sim.fleet(nodes=5, non_compliant=0)
    pw.source(sim, missing_after=1)
    pw.sweeps(1)
    sim.control("remove", count=5)
    pw.sweeps(1)
    assert pw.changes() == []
    pw.sweeps(1)
    assert len(pw.changes("node.missing")) == 5


def test_an_empty_list_that_was_an_accident(pw, sim):
    """A wrong host answered once: nothing is told, and the next accident is an accident again."""
    sim.fleet(nodes=5, non_compliant=0)
    pw.source(sim, missing_after=1)
    pw.sweeps(1)
    for _ in range(2):
        for index in range(5):
            sim.control("remove", index=index)
        pw.sweeps(1)
        for index in range(5):
            sim.control("restore", index=index)
        pw.sweeps(1)
    assert pw.changes() == []
    assert pw.value("SELECT empty_sweeps FROM source") == 0


def test_an_empty_list_between_failures(pw, sim):
    """Failed sweeps between two empty ones neither confirm nor deny."""
    sim.fleet(nodes=5, non_compliant=0)
    pw.source(sim, missing_after=1, retries=0)
    pw.sweeps(1)
    sim.control("remove", count=5)
    pw.sweeps(1)
    sim.fault("status", status=500, times=1)
    assert pw.once() == 75
    assert pw.changes() == []
    pw.sweeps(1)
    assert len(pw.changes("node.missing")) == 5


# A source that fails

def fail(pw, sim, times, **fault):
    for _ in range(times):
        sim.fault(**{"kind": "status", "status": 500, "times": 0, **fault})
        assert pw.once() == 75
        sim.control("fault/clear")


def sources_told(pw):
    return [event["kind"] for event in pw.events(FAILING, RECOVERED)]


@pytest.fixture(name="told")
def told_fixture(base, sim):
    """A hook that wants to know of sources; no retries."""
    base.source(sim, offset="page", retries=0, failing_repeat="1m")
    base.write_alerts({"rec": (base.command(), "20s")}, {"sources": ("{type: [source.failing]}", ["rec"])})
    return base


def hook_told(pw):
    return [call["event"]["type"].removeprefix("io.patchwatch.") for call in pw.hook_calls()]


def test_failing_after_three_and_recovered(told, sim):
    """Two bad sweeps are nobody's business; with the third source.failing is told, once; the hook that was told of it is
    told of the recovery too, though its rule does not name that."""
    fail(told, sim, 2)
    assert sources_told(told) == []
    told.sweeps(1)
    fail(told, sim, 2)
    assert sources_told(told) == []
    fail(told, sim, 1, page=2)  # incomplete counts too
    assert sources_told(told) == [FAILING]
    fail(told, sim, 2)
    assert sources_told(told) == [FAILING]
    told.sweeps(2)
    assert sources_told(told) == [FAILING, RECOVERED]
    assert hook_told(told) == [FAILING, RECOVERED]
    event = told.events(FAILING)[0]
    assert event["source"] == "/patchwatch/prod" and event.get("subject") is None
    failure = event["data"]["failure"]
    assert failure["sweeps"] == 3 and failure["reason"] and failure["error_code"]
    assert event["data"]["cause"] == "incomplete"
    assert failure["since"] == told.value("SELECT min(started_at) FROM sweep WHERE sweep_id >= 5")


def edit(pw, sql):
    connection = sqlite3.connect(pw.database)
    with connection:
        connection.execute(sql)
    connection.close()


def test_failing_is_repeated_while_it_lasts(told, sim):
    """Again after failing_repeat, with another id each time; one recovery ends it all."""
    fail(told, sim, 3)
    edit(told, "UPDATE source SET failing_told_at = failing_told_at - 50000")
    fail(told, sim, 1)
    assert sources_told(told) == [FAILING]
    for _ in range(2):
        edit(told, "UPDATE source SET failing_told_at = failing_told_at - 61000")
        fail(told, sim, 1)
    assert sources_told(told) == [FAILING] * 3
    told.sweeps(1)
    assert sources_told(told) == [FAILING] * 3 + [RECOVERED] == hook_told(told)
    assert len({event["id"] for event in told.events(FAILING, RECOVERED)}) == 4


def test_failing_again_is_told_anew(told, sim):
    """A second trouble after a recovery is told like the first."""
    for _ in range(2):
        fail(told, sim, 3)
        told.sweeps(1)
    assert sources_told(told) == [FAILING, RECOVERED] * 2 == hook_told(told)


def test_recovery_is_told_to_those_told_of_the_failure_only(told, sim):
    """A hook that joins later is not told that something is over of which it never heard."""
    fail(told, sim, 3)
    late = told.directory / "late.jsonl"
    told.write_alerts({"rec": (told.command(), "20s"), "late": (told.command(log=late), "20s")},
                      {"sources": ("{type: [source.failing]}", ["rec", "late"])})
    told.sweeps(1)
    assert hook_told(told) == [FAILING, RECOVERED]
    assert told.hook_calls(late) == []


def test_failing_after_is_configurable_and_a_stop_is_no_failure(base, sim):
    """failing_after = 1 tells at once; a sweep that SIGTERM cut short counts for nothing."""
    base.source(sim, offset="page", retries=0, failing_after=1)
    sim.fault("delay", delay_ms=3000)
    process = base.spawn()
    wait_until(lambda: sim.state()["api_active"] == 1, "the first page")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert sources_told(base) == []
    sim.control("fault/clear")
    fail(base, sim, 1)
    assert sources_told(base) == [FAILING]


def test_a_refused_credential_is_a_failing_source_too(base, sim):
    """A source that rests because its key is refused is still told of, in time."""
    base.source(sim, offset="page", **base.aksk())
    sim.control("auth", mode="aksk", access_key="AK-1", secret_key="another")
    for _ in range(3):
        assert base.once() == 75
    assert sources_told(base) == [FAILING]
    assert base.events(FAILING)[0]["data"]["failure"]["error_code"] == "APIGW.0301"
