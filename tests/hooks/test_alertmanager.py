"""The alertmanager hook: what it posts, by a receiver of our own, and what Debian's prometheus-alertmanager makes of it.

Where that program is neither in PATH nor named by PATCHWATCH_ALERTMANAGER the latter tests are skipped; with
PATCHWATCH_VENDOR_REQUIRED set they fail instead. tests/check unpacks it.
"""

import datetime
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from receiver import HOSTILE, Receiver, event, source_event

ROOT = Path(__file__).resolve().parents[2]
AT_MS = 1795507000000


def parse(stamp):
    return datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp() * 1000


def ago(seconds):
    return int((time.time() - seconds) * 1000)


@pytest.fixture(name="post")
def post_fixture(make_receiver, make_hook):
    """Sends events at AT_MS and gives the alerts that a receiver of ours got."""
    def post(*events, at_ms=AT_MS, **keys):
        receiver = make_receiver()
        hook = make_hook(type="alertmanager", urls=[receiver.url + "/am/"], **keys)
        assert hook.send(*events, options=("--at", at_ms))["outcome"] == "delivered"
        assert [got["path"] for got in receiver.got] == ["/am/api/v2/alerts"] * len(receiver.got)
        return receiver.json() if receiver.got else None

    return post


# What is posted


def test_firing(post):
    [alert] = post(event(), labels={"team": "infra"})
    assert alert["labels"] == {"alertname": "PatchNonCompliant", "source": "prod", "node_key": "ECS/i-1", "scene": "ECS",
                               "region": "cn-north-4", "team": "infra"}
    assert parse(alert["startsAt"]) == 1795506828123
    assert parse(alert["endsAt"]) == AT_MS + 3600_000
    notes = alert["annotations"]
    assert notes["summary"] == "prod-web-1 is non-compliant: 2 patches (2 high), baseline Linux default"
    assert notes["patches_non_compliant"] == "2" and notes["patches_high"] == "2" and notes["name"] == "prod-web-1"
    assert notes["baseline"] == "Linux default" and notes["event_id"] == event()["id"]
    assert all(isinstance(value, str) and value for value in notes.values())


def test_end_has_the_labels_of_the_problem(post):
    for problem, end in (("node.non_compliant", "node.compliant"), ("node.missing", "node.returned"),
                         ("node.flapping", "node.compliant"), ("node.worsened", "node.compliant"),
                         ("node.discovered", "node.compliant")):
        before, after = post(event(1, problem, name="old", time_ms=AT_MS - 9000),
                             event(2, end, key="ECS/i-1", name="new", time_ms=AT_MS - 5000))
        assert before["labels"] == after["labels"]
        assert parse(before["endsAt"]) > AT_MS
        assert parse(after["startsAt"]) == parse(after["endsAt"]) == AT_MS - 5000
    settled = event(1, "node.settled")
    settled["data"]["to"] = "compliant"
    before, after = post(event(), settled)
    assert before["labels"] == after["labels"] and parse(after["endsAt"]) < AT_MS
    before, after = post(source_event("source.failing"), source_event("source.recovered"))
    assert before["labels"] == after["labels"] == {"alertname": "PatchSourceFailing", "source": "prod"}
    assert parse(before["endsAt"]) > AT_MS > parse(after["endsAt"])


def test_missing_is_an_alert_of_its_own(post):
    one, two = post(event(), event(1, "node.missing"))
    assert one["labels"]["alertname"] != two["labels"]["alertname"]


def test_times(post):
    [alert] = post(event(time_ms=AT_MS + 3600_000))
    assert parse(alert["startsAt"]) == AT_MS, "nothing starts in the future, whatever a report says"
    [alert] = post(event(2, "node.compliant", time_ms=AT_MS + 3600_000))
    assert parse(alert["startsAt"]) == parse(alert["endsAt"]) == AT_MS
    [alert] = post(event(), resend="30m")
    assert parse(alert["endsAt"]) == AT_MS + 10 * 1800_000


def test_what_is_no_alert_is_not_sent(post):
    discovered = event(1, "node.discovered")
    discovered["data"]["to"] = "compliant"
    worsened = event(2, "node.worsened")
    worsened["data"]["to"] = "compliant"
    nothing = (discovered, worsened, source_event("source.baseline", totals={"nodes": 1}))
    assert post(*nothing) is None
    [alert] = post(*nothing, event(3))
    assert alert["labels"]["node_key"] == "ECS/i-3"
    [alert] = post(source_event("fleet.shift"))
    assert alert["labels"]["alertname"] == "PatchFleetShift"
    assert parse(alert["endsAt"]) == AT_MS + 3600_000


def test_labels_of_the_machine(post):
    sent = event(1, name=HOSTILE, node={"group": "", "region": None})
    [alert] = post(sent, node_labels=["region", "group", "name"])
    assert alert["labels"] == {"alertname": "PatchNonCompliant", "source": "prod", "node_key": "ECS/i-1", "scene": "ECS",
                               "name": HOSTILE}
    [alert] = post(event(), node_labels=[])
    assert "region" not in alert["labels"]


def test_one_of_several_is_enough(make_receiver, make_hook):
    down = make_receiver((503, {"Retry-After": "60"}, b"no"))
    up = make_receiver()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    hook = make_hook(type="alertmanager", urls=[down.url, up.url, nobody])
    assert hook.send(event())["outcome"] == "delivered"
    assert len(down.got) == len(up.got) == 1
    assert f"delivered, but not to all: {down.url}" in hook.log
    result = make_hook(type="alertmanager", urls=[down.url, nobody]).send(event())
    assert result["outcome"] == "retry" and result["retry_after_ms"] == 0
    assert "HTTP 503: no" in result["why"] and nobody in result["why"]
    bad = make_receiver((400, {}, b"bad label"))
    assert make_hook(type="alertmanager", urls=[nobody, bad.url]).send(event())["outcome"] == "refused"
    gone = make_receiver((410, {}, b""))
    assert make_hook(type="alertmanager", urls=[gone.url, down.url]).send(event())["outcome"] == "retry"
    assert make_hook(type="alertmanager", urls=[gone.url]).send(event())["outcome"] == "gone"


# Alertmanager itself


class Alertmanager:
    def __init__(self, program, folder):
        (folder / "am.yml").write_text("route: {receiver: none, group_wait: 1s}\nreceivers: [{name: none}]\n", encoding="ascii")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/prefix"
        self.log = open(folder / "am.log", "wb")
        self.process = subprocess.Popen(
            [program, f"--config.file={folder}/am.yml", f"--storage.path={folder}/data", "--cluster.listen-address=",
             f"--web.listen-address=127.0.0.1:{port}", "--web.route-prefix=/prefix"], stdout=self.log, stderr=self.log)
        for _ in range(600):
            try:
                with urllib.request.urlopen(self.url + "/-/ready", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise AssertionError("Alertmanager does not start: " + (folder / "am.log").read_text())

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()

    def alerts(self):
        """Those that stand, by node_key or source."""
        with urllib.request.urlopen(self.url + "/api/v2/alerts", timeout=5) as answer:
            return {one["labels"].get("node_key", one["labels"]["source"]): one for one in json.load(answer)}


@pytest.fixture(name="program", scope="session")
def program_fixture():
    unpacked = ROOT / "build/tools/usr/bin/prometheus-alertmanager"
    program = os.environ.get("PATCHWATCH_ALERTMANAGER") or shutil.which("prometheus-alertmanager")
    if program is None and unpacked.exists():
        program = str(unpacked)
    if program is None:
        why = "prometheus-alertmanager is not there (tests/check unpacks Debian's)"
        if os.environ.get("PATCHWATCH_VENDOR_REQUIRED"):
            pytest.fail(why)
        pytest.skip(why)
    return program


@pytest.fixture(name="am")
def am_fixture(program, tmp_path):
    running = Alertmanager(program, tmp_path)
    yield running
    running.close()


def test_fires_is_sent_again_and_resolves(am, make_hook):
    hook = make_hook(type="alertmanager", urls=[am.url], labels={"team": "infra"})
    start_ms = ago(600)
    assert hook.send(event(1, time_ms=start_ms))["outcome"] == "delivered"
    first = am.alerts()["ECS/i-1"]
    assert first["status"]["state"] in ("active", "unprocessed")
    assert first["labels"]["team"] == "infra"
    assert abs(parse(first["startsAt"]) - start_ms) < 2
    assert parse(first["endsAt"]) > time.time() * 1000 + 3000_000
    time.sleep(1.1)
    # Sent again, and it got worse meanwhile: the same alert, it began when it began, and ends later.
    hook.send(event(1, time_ms=start_ms), event(2, "node.worsened", key="ECS/i-1", time_ms=ago(1)))
    [again] = am.alerts().values()
    assert again["fingerprint"] == first["fingerprint"]
    assert abs(parse(again["startsAt"]) - start_ms) < 2
    assert parse(again["endsAt"]) > parse(first["endsAt"])
    assert "more or worse patches" in again["annotations"]["summary"]
    hook.send(event(3, "node.compliant", key="ECS/i-1", name="renamed", time_ms=ago(0)))
    assert am.alerts() == {}
    hook.send(event(3, "node.compliant", key="ECS/i-1", name="renamed", time_ms=ago(0)))
    assert am.alerts() == {}, "told of its end again, it stays over"
    hook.send(event(4, key="ECS/i-1", time_ms=ago(0)))
    assert len(am.alerts()) == 1, "it can begin anew"


def test_end_that_comes_before_its_problem_was_reported(am, make_hook):
    """Clocks of reports are what they are: whatever the times say, what is over is over."""
    hook = make_hook(type="alertmanager", urls=[am.url])
    hook.send(event(1, time_ms=ago(10)))
    hook.send(event(2, "node.compliant", key="ECS/i-1", time_ms=ago(60)))
    assert am.alerts() == {}
    hook.send(event(3, time_ms=ago(-600)))
    assert len(am.alerts()) == 1
    hook.send(event(4, "node.compliant", key="ECS/i-3", time_ms=ago(-700)))
    assert am.alerts() == {}


def test_group_of_100(am, make_hook):
    hook = make_hook(type="alertmanager", urls=[am.url])
    assert hook.send(*[event(number, name=HOSTILE) for number in range(100)])["outcome"] == "delivered"
    assert len(am.alerts()) == 100
    hook.send(*[event(number, "node.compliant") for number in range(50)],
              *[event(number) for number in range(50, 100)])
    assert set(am.alerts()) == {f"ECS/i-{number}" for number in range(50, 100)}


def test_hostile_values_are_taken(am, make_hook):
    hook = make_hook(type="alertmanager", urls=[am.url], node_labels=["name", "region", "group"])
    for number, name in enumerate([HOSTILE, "n" * 65536, "\u0085\u2028", "", None, "{}", 'a="b"', " "]):
        result = hook.send(event(number, name=name, key=f"ECS/{name}-{number}", node={"group": name}))
        assert result["outcome"] == "delivered", result
    assert len(am.alerts()) == 8


def test_one_bad_alert_does_not_keep_back_the_others(am, make_hook):
    """Alertmanager takes the good ones of a batch and answers 400; one by one all but the bad one are delivered. A
    label that cannot be is made by a proxy in between, for the hook itself makes none."""
    def spoil(handler):
        alerts = json.loads(forward.got[-1]["body"])
        for alert in alerts:
            if alert["labels"]["node_key"] == "ECS/i-7":
                alert["labels"]["not a name"] = "x"
        request = urllib.request.Request(am.url + "/api/v2/alerts", json.dumps(alerts).encode(),
                                         {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read()
        handler.wfile.write(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))

    forward = Receiver([spoil])
    hook = make_hook(type="alertmanager", urls=[forward.url])
    events = [event(number) for number in range(20)]
    together = hook.send(*events)
    assert together["outcome"] == "refused" and "HTTP 400" in together["why"] and "not a name" in together["why"]
    outcomes = hook.send(*events, options=("--each",))
    forward.close()
    assert [number for number, one in enumerate(outcomes) if one["outcome"] != "delivered"] == [7]
    assert set(am.alerts()) == {f"ECS/i-{number}" for number in range(20) if number != 7}


def test_sources(am, make_hook):
    hook = make_hook(type="alertmanager", urls=[am.url])
    hook.send(source_event("source.failing", time_ms=ago(5), failure={"sweeps": 3, "since": ago(60), "reason": "HTTP 503"}))
    [alert] = am.alerts().values()
    assert alert["annotations"]["summary"] == "source prod fails, 3 sweeps in a row: HTTP 503"
    hook.send(source_event("source.recovered", time_ms=ago(0)))
    assert am.alerts() == {}
