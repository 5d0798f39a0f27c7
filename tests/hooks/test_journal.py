"""The journal hook: what it sends, by a socket of our own; and what systemd-journald makes of it, read back with journalctl.

For the latter a journald of its own is started for a namespace that only the test knows, which takes root. Without root, or
without systemd, those tests are skipped; with PATCHWATCH_VENDOR_REQUIRED set they fail instead.
"""

import fcntl
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from receiver import HOOK_CLI, HOSTILE, SANITIZER, event, line, source_event

ROOT = Path(__file__).resolve().parents[2]
JOURNALD = "/lib/systemd/systemd-journald"


def fields_of(data):
    """The fields of one entry of the native protocol, as its text has it."""
    fields = {}
    while data:
        name, separator, rest = re.match(rb"([A-Z0-9_]+)(=|\n)(.*)", data, re.S).groups()
        if separator == b"=":
            value, _, data = rest.partition(b"\n")
        else:
            (length,) = struct.unpack("<Q", rest[:8])
            value, data = rest[8:8 + length], rest[8 + length:]
            assert data[:1] == b"\n"
            data = data[1:]
        assert name.decode() not in fields, "no field comes twice"
        fields[name.decode()] = value.decode()
    return fields


class Socket:
    """What journald listens at; takes datagrams and the files that come in place of long ones."""

    def __init__(self, folder):
        self.path = str(folder / "socket")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(5)

    def read(self):
        data, fds, _, _ = socket.recv_fds(self.socket, 1 << 20, 4)
        if fds:
            [fd] = fds
            assert data == b""
            with os.fdopen(fd, "rb") as file:
                assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) == 15, "journald takes no file that may still change"
                file.seek(0)
                data = file.read()
        return fields_of(data)


@pytest.fixture(name="journal")
def journal_fixture(tmp_path):
    made = Socket(tmp_path)
    yield made
    made.socket.close()


# What is sent


def test_fields(journal, make_hook):
    hook = make_hook(type="journal", socket=journal.path)
    assert hook.send(event()) == {"outcome": "delivered", "why": "", "retry_after_ms": 0}
    fields = journal.read()
    assert json.loads(fields.pop("PATCHWATCH_EVENT")) == event()
    assert fields == {
        "MESSAGE": "prod-web-1 is non-compliant: 2 patches (2 high), baseline Linux default",
        "MESSAGE_ID": "b15aec2a010d4c7bb24a3cf9a033b0b5", "PRIORITY": "4", "SYSLOG_IDENTIFIER": "patchwatch",
        "PATCHWATCH_TYPE": "io.patchwatch.node.non_compliant", "PATCHWATCH_EVENT_ID": event()["id"],
        "PATCHWATCH_SOURCE": "prod", "PATCHWATCH_NODE_KEY": "ECS/i-1", "PATCHWATCH_NODE_NAME": "prod-web-1",
        "PATCHWATCH_FROM": "compliant", "PATCHWATCH_TO": "non_compliant", "PATCHWATCH_HOOK": "h", "PATCHWATCH_RULE": "rule",
        "PATCHWATCH_REGION": "cn-north-4", "PATCHWATCH_CAUSE": "patches", "PATCHWATCH_BASELINE": "Linux default",
        "PATCHWATCH_PATCHES": "2", "PATCHWATCH_CRITICAL": "0", "PATCHWATCH_HIGH": "2", "PATCHWATCH_MEDIUM": "0",
        "PATCHWATCH_LOW": "0", "PATCHWATCH_INFORMATIONAL": "0", "PATCHWATCH_UNSPECIFIED": "0"}


def test_one_entry_an_event(journal, make_hook):
    hook = make_hook(type="journal", socket=journal.path)
    assert hook.send(*[event(number) for number in range(1, 9)])["outcome"] == "delivered"
    assert [journal.read()["PATCHWATCH_NODE_KEY"] for _ in range(8)] == [f"ECS/i-{number}" for number in range(1, 9)]


def test_priorities(journal, make_hook):
    hook = make_hook(type="journal", socket=journal.path)
    critical = event(1)
    critical["data"]["report"]["non_compliant"]["critical"] = 1
    expected = ((event(), 4), (critical, 3), (event(2, "node.compliant"), 5), (event(3, "node.missing"), 4),
                (event(4, "node.returned"), 5), (event(5, "node.worsened"), 4), (event(6, "node.improved"), 5),
                (source_event("source.failing"), 3), (source_event("source.recovered"), 5),
                (source_event("source.baseline"), 6), (source_event("fleet.shift"), 4))
    for sent, priority in expected:
        hook.send(sent)
        fields = journal.read()
        assert fields["PRIORITY"] == str(priority), sent["type"]
        assert ("PATCHWATCH_NODE_KEY" in fields) == ("subject" in sent), "what there is not is no field"
    hook.send(event(), options=("--reminder", 3))
    fields = journal.read()
    assert fields["PATCHWATCH_REMINDER"] == "3" and fields["MESSAGE"].startswith("reminder 3: ")


def test_message_ids_are_documented(journal, make_hook):
    documented = (ROOT / "docs/alerts.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| `((?:node|source|fleet)\.[a-z_]+)` \| `([0-9a-f]{32})` \|", documented, re.M))
    types = set(re.findall(r'= "((?:node|source|fleet)\.[a-z_]+)"', (ROOT / "lib/compliance/event.c").read_text()))
    assert types <= set(table), "every type of event has its MESSAGE_ID"
    assert len(set(table.values())) == len(table) >= 13
    hook = make_hook(type="journal", socket=journal.path)
    for kind, known_by in table.items():
        hook.send(event(1, kind))
        assert journal.read()["MESSAGE_ID"] == known_by, kind


@pytest.mark.parametrize("name", [HOSTILE, "a\nPRIORITY=0\nEVIL=1", "a\n\x00\x00\x00\x00\x00\x00\x00\x00", "=", "x" * 70000, "\n" * 3,
                                  "é" * 40000], ids=range(7))
def test_hostile_values(journal, make_hook, name):
    hook = make_hook(type="journal", socket=journal.path)
    hook.send(event(name=name, node={"region": name}))
    fields = journal.read()
    assert fields["PATCHWATCH_NODE_NAME"] == fields["PATCHWATCH_REGION"] == name
    assert "EVIL" not in fields and fields["PRIORITY"] == "4"
    assert json.loads(fields["PATCHWATCH_EVENT"])["data"]["node"]["name"] == name
    assert not re.search("[\x00-\x1f\x7f]", fields["MESSAGE"]) and len(fields["MESSAGE"]) < 1500


def test_long_entries_go_as_a_file(journal, make_hook):
    hook = make_hook(type="journal", socket=journal.path)
    big = event(1, patches={"listed": [{"title": "x" * 1000}] * 900, "total": 900})
    assert hook.send(event(2), big, event(3))["outcome"] == "delivered"
    assert [len(journal.read()["PATCHWATCH_EVENT"]) for _ in range(3)] == [len(line(one)) for one in (event(2), big, event(3))]


# A journal that does not do its part


def test_it_is_not_there(make_hook, tmp_path):
    result = make_hook(type="journal", socket=str(tmp_path / "nothing")).send(event())
    assert result["outcome"] == "retry"
    assert result["why"] == f"the journal is not there: No such file or directory ({tmp_path}/nothing)"


def test_nobody_listens(journal, make_hook):
    journal.socket.close()
    result = make_hook(type="journal", socket=journal.path).send(event())
    assert result["outcome"] == "retry" and "Connection refused" in result["why"]


def test_it_hangs(journal, make_hook):
    """The socket takes some ten entries that nobody reads."""
    hook = make_hook(type="journal", socket=journal.path, timeout="1s")
    begin = time.monotonic()
    result = hook.send(*[event(number) for number in range(1, 700)])
    assert result["outcome"] == "retry" and result["why"].startswith("timed out after 1s: the journal takes nothing")
    assert 1 <= time.monotonic() - begin < 4
    stopped = hook.send(event(), options=("--stop-after", 100))
    assert stopped["outcome"] == "retry" and stopped["why"] == "stopped, because patchwatchd ends"


def test_it_is_slow(journal, make_hook):
    """What does not fit waits until there is room; then it goes on, each entry once and in order."""
    hook = make_hook(type="journal", socket=journal.path, timeout="20s")
    events = "".join(line(event(number)) + "\n" for number in range(1, 401))
    with subprocess.Popen([HOOK_CLI, hook.alerts, "h"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, env=SANITIZER) as running:
        running.stdin.write(events.encode())
        running.stdin.close()
        got = []
        while len(got) < 400:
            got.append(journal.read()["PATCHWATCH_NODE_KEY"])
            time.sleep(0.002)
        assert json.loads(running.stdout.read())["outcome"] == "delivered"
    assert got == [f"ECS/i-{number}" for number in range(1, 401)]


# The real one


@pytest.fixture(name="journald")
def journald_fixture():
    """The name of a namespace for which a systemd-journald runs."""
    missing = [what for what, is_there in (("root", os.geteuid() == 0), (JOURNALD, os.access(JOURNALD, os.X_OK)),
                                           ("journalctl", shutil.which("journalctl")),
                                           ("/etc/machine-id", Path("/etc/machine-id").exists())) if not is_there]
    if missing:
        reason = f"systemd-journald cannot be started: {', '.join(missing)} missing"
        assert not os.environ.get("PATCHWATCH_VENDOR_REQUIRED"), reason
        pytest.skip(reason)
    name = f"patchwatch-test-{uuid.uuid4().hex[:8]}"
    run = Path(f"/run/systemd/journal.{name}")
    run.mkdir(parents=True)
    with subprocess.Popen([JOURNALD, name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        end = time.monotonic() + 20
        while not (run / "socket").exists():
            assert running.poll() is None, running.stdout.read()
            assert time.monotonic() < end, "journald made no socket"
            time.sleep(0.05)
        yield name
        running.terminate()
        running.wait(20)
    shutil.rmtree(run, ignore_errors=True)
    for where in ("/run/log/journal", "/var/log/journal"):
        for folder in Path(where).glob(f"*.{name}"):
            shutil.rmtree(folder)


def read_back(name, *matches):
    """Entries as journalctl has them; a value with other than printable characters comes as a list of bytes."""
    done = subprocess.run(["journalctl", f"--namespace={name}", "--output=json", "--all", "--no-pager", *matches],
                          capture_output=True, check=False, timeout=30)
    entries = [json.loads(one) for one in done.stdout.splitlines()]
    return [{key: bytes(value).decode() if isinstance(value, list) else value for key, value in entry.items()}
            for entry in entries]


def test_real_journal(journald, make_hook):
    hook = make_hook(type="journal", socket=f"/run/systemd/journal.{journald}/socket")
    big = event(5, patches={"listed": [{"title": "x" * 1000}] * 400, "total": 400})
    sent = [event(1), event(2, "node.compliant", key="ECS/i-1"), event(3, name=HOSTILE), event(4, name="a\nPRIORITY=0\nEVIL=1"),
            big]
    assert hook.send(*sent)["outcome"] == "delivered"
    end = time.monotonic() + 20
    while len(entries := read_back(journald, "SYSLOG_IDENTIFIER=patchwatch")) < len(sent):
        assert time.monotonic() < end, entries
        time.sleep(0.1)
    assert [entry["PATCHWATCH_EVENT_ID"] for entry in entries] == [one["id"] for one in sent]
    assert [json.loads(entry["PATCHWATCH_EVENT"]) for entry in entries] == sent
    assert [entry["PRIORITY"] for entry in entries] == ["4", "5", "4", "4", "4"]
    assert entries[2]["PATCHWATCH_NODE_NAME"] == HOSTILE and entries[3]["PATCHWATCH_NODE_NAME"] == "a\nPRIORITY=0\nEVIL=1"
    assert not any("EVIL" in entry for entry in entries)
    by_id = read_back(journald, "MESSAGE_ID=630b8a5c45a84e8794adec7ecd5efc7a")
    assert [entry["MESSAGE"] for entry in by_id] == ["prod-web-1 is compliant again"]
    by_node = read_back(journald, "PATCHWATCH_NODE_KEY=ECS/i-1")
    assert len(by_node) == 2
