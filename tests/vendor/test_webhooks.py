"""What our webhooks send, read by the reference implementations: npm's standardwebhooks and cloudevents.

    HOOK_CLI=build/dev/bin/hook-cli pytest tests/vendor/test_webhooks.py

See npm.py for when it is skipped. tests/hooks/test_webhook.py checks the same without them, always.
"""

import base64
import json
import sys
from pathlib import Path

import pytest

import npm

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "hooks"))
from receiver import HOSTILE, Hook, Receiver, event, source_event  # noqa: E402

KEYS = ["whsec_" + base64.b64encode(bytes(range(start, start + size))).decode() for start, size in ((0, 24), (7, 32), (99, 64))]
SENT = [
    [event()],
    [event(name=HOSTILE, node={"group": "größe 中文 🚀", "region": ""})],
    [event(2, "node.missing", report=None, cause="not_shown")],
    [source_event("source.failing", failure={"sweeps": 3, "since": 1795506828123, "reason": None})],
    [event(number) for number in range(1, 101)],
    [event(1), event(2, "node.compliant", name=HOSTILE)],
]


@pytest.fixture(name="read", scope="session")
def read_fixture(tmp_path_factory):
    """The requests that were made of SENT with KEYS, one that was spoiled, and what the packages make of them."""
    folder = npm.install("webhooks.json", "standardwebhooks", tmp_path_factory)
    receiver = Receiver()
    hook = Hook(tmp_path_factory.mktemp("hook"), url=receiver.url, secret_file="keys")
    hook.secret("keys", "\n".join(KEYS) + "\n")
    for events in SENT:
        assert hook.send(*events)["outcome"] == "delivered"
    receiver.close()
    requests = [{"headers": {name.lower(): value for name, value in got["headers"].items()},
                 "body": base64.b64encode(got["body"]).decode(), "secret": key} for got in receiver.got for key in KEYS]
    spoiled = {**requests[0], "body": base64.b64encode(receiver.got[0]["body"] + b" ").decode()}
    stranger = {**requests[0], "secret": "whsec_" + base64.b64encode(b"x" * 32).decode()}
    answers = json.loads(npm.node(folder, "webhooks.mjs", json.dumps([*requests, spoiled, stranger])))
    assert len(answers) == len(SENT) * len(KEYS) + 2
    return answers


def test_what_is_not_ours_is_refused(read):
    for answer in read[-2:]:
        assert "No matching signature" in answer["error"]


@pytest.mark.parametrize("number", range(len(SENT)))
def test_each_key_verifies_and_events_are_events(read, number):
    for answer in read[number * len(KEYS):(number + 1) * len(KEYS)]:
        assert "error" not in answer, answer
        sent = SENT[number]
        assert answer["verified"] == (sent if len(sent) > 1 else sent[0])
        assert len(answer["events"]) == len(sent)
        for got, one in zip(answer["events"], sent):
            assert got["id"] == one["id"] and got["type"] == one["type"] and got["data"] == one["data"]
            assert got["source"] == one["source"] and got["sequence"] == one["sequence"]
