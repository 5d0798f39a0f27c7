"""Hooks that speak HTTP, by the whole daemon: who is told what, in which order, and that secrets stay where they are.

What one attempt sends and what it makes of the answers is tested in tests/hooks.
"""

import base64
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from harness import wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "hooks"))
from receiver import Receiver, verify  # noqa: E402

KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
PATH = "/services/T0000/hidden-path-of-the-url"
TOKEN = "hidden-token-of-the-hook"


@pytest.fixture(name="receive")
def receive_fixture():
    made = []

    def receive(*answers):
        made.append(Receiver(answers or ((200, {}, b"ok"),)))
        return made[-1]

    yield receive
    for receiver in made:
        receiver.close()


@pytest.fixture(name="base")
def base_fixture(pw, sim):
    """Twenty compliant nodes, seen by a first sweep that nobody was told of."""
    sim.fleet(nodes=20, non_compliant=0)
    pw.sweeps(1)
    return pw


def write_alerts(pw, rule="", **hooks):
    """Hooks, all named by one rule, which may have more keys."""
    lines = ["version: 1", "hooks:", *(f"  {name}: {json.dumps(keys)}" for name, keys in hooks.items())]
    lines.append(f"rules: [{{name: all, hooks: [{', '.join(hooks)}]{rule}}}]")
    pw.alerts.write_text("\n".join(lines) + "\n", encoding="utf-8")


def states(pw, hook):
    return [row["state"] for row in pw.rows("SELECT state FROM delivery WHERE hook = ? ORDER BY event_id", hook)]


def test_problem_and_recovery_reach_every_kind(base, sim, receive):
    bus, chat, am = receive(), receive(), receive()
    base.secret("bus-key", KEY)
    base.secret("chat-url", chat.url + PATH)
    write_alerts(base, bus={"type": "webhook", "url": bus.url, "secret_file": "bus-key"},
                 chat={"type": "webhook", "url_file": "chat-url", "format": "slack"},
                 am={"type": "alertmanager", "urls": [am.url]})
    key = sim.flip_to(3, "non_compliant")
    base.sweeps(1)
    sim.flip_to(3, "compliant")
    base.sweeps(1)
    assert [event["kind"] for event in base.events("node.non_compliant", "node.compliant")] == ["node.non_compliant", "node.compliant"]
    for hook in ("bus", "chat", "am"):
        assert states(base, hook) == ["delivered", "delivered"]
    recorded = [json.loads(row["data"]) for row in base.rows("SELECT data FROM event ORDER BY event_id") if "node." in row["data"]]
    assert [json.loads(got["body"]) for got in bus.got] == recorded[-2:]
    assert [verify(got, KEY) for got in bus.got] == [event["id"] for event in recorded[-2:]]
    said = [json.loads(got["body"])["text"] for got in chat.got]
    assert "is non-compliant" in said[0] and "is compliant again" in said[1]
    alerts = [alert for got in am.got for alert in json.loads(got["body"])]  # --once may also say again what stands
    fires, ends = alerts[0], alerts[-1]
    assert fires["labels"] == ends["labels"]
    assert fires["labels"]["node_key"] == (key if isinstance(key, str) else recorded[-1]["subject"])
    assert fires["endsAt"] > ends["endsAt"]


def test_receiver_that_was_down_gets_everything_in_order(base, sim, receive):
    bus = receive((503, {}, b"maintenance"), (503, {}, b"maintenance"), (200, {}, b""))
    write_alerts(base, bus={"type": "webhook", "url": bus.url})
    base.start()
    for status in ("non_compliant", "compliant", "non_compliant"):
        before = base.last_sequence()
        sim.flip_to(5, status)
        wait_until(lambda seen=before: base.last_sequence() > seen, "the event")
    base.wait_rows("SELECT count(*) FROM delivery WHERE state = 'delivered' HAVING count(*) = 3")
    statuses = [json.loads(got["body"])["data"]["to"] for got in bus.got]
    assert statuses[-3:] == ["non_compliant", "compliant", "non_compliant"]
    assert set(statuses[:-3]) == {"non_compliant"}
    assert base.stop() == 0


def test_secrets_stand_nowhere(base, sim, receive):
    """Neither the log at its most talkative, nor the database, nor what --check says, holds a secret."""
    chat = receive((404, {}, f"no {PATH} for {TOKEN} or {KEY}".encode()))
    base.secret("chat-url", chat.url + PATH)
    base.secret("chat-token", TOKEN)
    base.secret("chat-key", KEY)
    write_alerts(base, chat={"type": "webhook", "url_file": "chat-url", "token_file": "chat-token", "secret_file": "chat-key"})
    base.daemon["log_level"] = "debug"
    base.write_config()
    code, printed = base.check()
    assert code == 0, printed
    sim.flip_to(1, "non_compliant")
    base.sweeps(1)
    assert chat.got[0]["path"] == PATH and chat.got[0]["headers"]["Authorization"] == "Bearer " + TOKEN
    [row] = base.rows("SELECT state, last_error FROM delivery")
    assert row["state"] == "pending" and row["last_error"].startswith("HTTP 404: no ***")
    for name in os.listdir(base.directory):
        if name.startswith("chat-") or not (base.directory / name).is_file():
            continue
        held = (base.directory / name).read_bytes()
        for secret in (PATH[10:], TOKEN, KEY[6:]):
            assert secret.encode() not in held, f"{secret} in {name}"
            assert secret not in printed


def test_reload_takes_other_secrets(base, sim, receive):
    bus = receive()
    base.secret("url", bus.url + "/one")
    write_alerts(base, bus={"type": "webhook", "url_file": "url"})
    base.start()
    sim.flip_to(1, "non_compliant")
    wait_until(lambda: len(bus.got) == 1, "the first event")
    base.secret("url", bus.url + "/two")
    base.send_signal(signal.SIGHUP)
    base.wait_log("reload")
    sim.flip_to(1, "compliant")
    wait_until(lambda: len(bus.got) == 2, "the second event")
    assert [got["path"] for got in bus.got] == ["/one", "/two"]
    (base.directory / "url").chmod(0o644)
    base.send_signal(signal.SIGHUP)
    base.wait_log("is open to others")
    sim.flip_to(1, "non_compliant")
    wait_until(lambda: len(bus.got) == 3, "what was loaded before goes on")
    assert base.stop() == 0


def test_group_is_a_batch_and_a_bad_one_keeps_nobody_back(base, sim, receive):
    """The receiver takes offence at one event: it refuses the batch, takes the others one by one, and that one waits."""
    bad = sim.truth()[4]["key"]

    def judge(handler):
        taken = bad.encode() not in bus.got[-1]["body"]
        handler.wfile.write(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % (b"204 Fine" if taken else b"400 No"))

    bus = receive(judge)
    base.secret("bus-key", KEY)
    write_alerts(base, ", group: {wait: 1s, max: 50}", bus={"type": "webhook", "url": bus.url, "secret_file": "bus-key"})
    for index in range(10):
        sim.flip_to(index, "non_compliant")
    base.start()
    base.wait_rows("SELECT count(*) FROM delivery WHERE state = 'delivered' HAVING count(*) = 9")
    assert base.stop() == 0
    first, rest = bus.got[0], bus.got[1:]
    assert first["headers"]["Content-Type"] == "application/cloudevents-batch+json"
    assert len(json.loads(first["body"])) == 10
    assert {got["headers"]["Content-Type"] for got in rest} == {"application/cloudevents+json"}
    assert len({verify(got, KEY) for got in bus.got}) == 11, "each message has an id of its own"
    [row] = base.rows("SELECT d.state, d.last_error, n.node_key FROM delivery AS d JOIN event USING (event_id)"
                      " JOIN node AS n USING (node_id) WHERE d.state <> 'delivered'")
    assert (row["state"], row["last_error"], row["node_key"]) == ("pending", "HTTP 400", bad)


def test_alertmanager_is_told_again_what_stands(base, sim, receive):
    am = receive()
    write_alerts(base, am={"type": "alertmanager", "urls": [am.url], "resend": "10s"})

    def said():
        alerts = [alert for got in am.got for alert in json.loads(got["body"])]
        return [alert["endsAt"] > alert["startsAt"] for alert in alerts]

    base.start()
    sim.flip_to(2, "non_compliant")
    wait_until(lambda: len(said()) >= 2, "the alert, and once more", 25)
    assert all(said()), "it fires"
    sim.flip_to(2, "compliant")
    wait_until(lambda: said()[-2:] == [False, False], "its end, and once more", 25)
    labels = {json.dumps(alert["labels"], sort_keys=True) for got in am.got for alert in json.loads(got["body"])}
    assert len(labels) == 1
    assert base.stop() == 0


def test_gone_turns_the_hook_off_until_it_goes_elsewhere(base, sim, receive):
    bus, other = receive((410, {}, b"no longer")), receive()
    write_alerts(base, bus={"type": "webhook", "url": bus.url})
    base.start()
    for index in range(3):
        sim.flip_to(index, "non_compliant")
    base.wait_log("410")
    base.wait_sweeps(2)
    asked = len(bus.got)
    assert 1 <= asked <= 3
    sim.flip_to(5, "non_compliant")
    base.wait_rows("SELECT count(*) FROM delivery HAVING count(*) = 4")
    base.wait_sweeps(1)
    assert len(bus.got) == asked, "nothing is asked of it any more"
    assert set(states(base, "bus")) == {"pending"}
    write_alerts(base, bus={"type": "webhook", "url": other.url})
    base.send_signal(signal.SIGHUP)
    base.wait_rows("SELECT count(*) FROM delivery WHERE state = 'delivered' HAVING count(*) = 4")
    assert len(other.got) == 4
    assert base.stop() == 0
