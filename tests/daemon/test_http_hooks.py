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


def write_alerts(pw, **hooks):
    """Hooks, all named by one rule."""
    lines = ["version: 1", "hooks:", *(f"  {name}: {json.dumps(keys)}" for name, keys in hooks.items())]
    lines.append(f"rules: [{{name: all, hooks: [{', '.join(hooks)}]}}]")
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
    [fires], [ends] = [json.loads(got["body"]) for got in am.got]
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
