"""Care of the database as an administrator sees it: damage, a full disk, retention, readers, and growth."""

import hashlib
import json
import os
import signal
import sqlite3
import struct
import subprocess
import time
from pathlib import Path

import pytest

from harness import wait_until

NON = "node.non_compliant"
DAY_MS = 86400000
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root: a second uid, or a small file system to mount")
# Makes what is done hourly or daily come so many times sooner; builds without failpoints have no such thing.
needs_speed = pytest.mark.skipif(os.environ.get("PATCHWATCH_HAS_FAILPOINTS", "1") != "1",
                                 reason="this build cannot be hurried")


def write(pw, *statements):
    """Changes the database as only somebody with his own sqlite3 can, while no daemon runs."""
    connection = sqlite3.connect(pw.database, isolation_level=None)
    try:
        for statement in statements:
            connection.execute(statement)
    finally:
        connection.close()


def chain_problems(pw):
    """Follows the chain of the events by the words of docs/history.md, with nothing of the program's own."""
    def encoded(value):
        if value is None:
            return b"N"
        if isinstance(value, int):
            return b"I" + struct.pack(">q", value)
        text = value.encode()
        return b"T" + struct.pack(">q", len(text)) + text

    anchor = pw.rows("SELECT event_id, hash FROM chain_anchor") or [{"event_id": 0, "hash": bytes(32)}]
    number, link, problems = anchor[0]["event_id"], anchor[0]["hash"], []
    for row in pw.rows("SELECT event_id, uid, type, source_id, node_id, sweep_id, from_status, to_status, cause,"
                       " occurred_at, recorded_at, data, chain_hash FROM event ORDER BY event_id"):
        stored = row.pop("chain_hash")
        link = hashlib.sha256(link + b"".join(encoded(value) for value in row.values())).digest()
        if row["event_id"] != number + 1 or stored != link:
            problems.append(row["event_id"])
        number, link = row["event_id"], stored
    return problems


def test_events_are_chained_as_documented(pw, sim):
    """An auditor who recomputes the chain from the document gets the hashes that the daemon wrote."""
    sim.fleet(nodes=12, non_compliant=2)
    pw.sweeps(1)
    sim.flip(count=5, to="non_compliant")
    pw.sweeps(1)
    assert len(pw.events(NON)) == 5
    assert chain_problems(pw) == []
    write(pw, "UPDATE event SET data = replace(data, 'e', 'E') WHERE event_id = 3")
    assert chain_problems(pw) == [3]


def test_after_a_kill_the_database_is_checked(pw, sim):
    """Only an unclean stop costs a check, before the first request; the log says so and how long it took."""
    sim.fleet(nodes=20)
    pw.start()
    pw.wait_sweeps(1)
    assert "checking it" not in pw.log_text()
    pw.stop(signal.SIGKILL)
    pw.sweeps(1)
    text = pw.log_text()
    assert "was not closed by the last patchwatchd" in text
    assert "the database is sound: the check took" in text
    pw.sweeps(1)
    assert pw.log_text().count("the database is sound") == 1


def test_damaged_database_is_refused_and_left_alone(pw, sim):
    """Damage that a check finds: exit 74, what to do about it in the log, no request made, not a byte of it changed."""
    sim.fleet(nodes=200)
    pw.sweeps(1)
    page = pw.value("SELECT rootpage FROM sqlite_schema WHERE name = 'report_by_node'")
    with open(pw.database, "r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\x77" * 4096)
    os.truncate(f"{pw.database}-wal", 0)
    Path(f"{pw.database}.lock").write_bytes(b"")  # as a kill leaves it
    before, asked = pw.database.read_bytes(), len(sim.requests())
    for _ in range(2):
        assert pw.once() == 74
    text = pw.log_text()
    assert "is damaged" in text and "restore a backup" in text and ".dump" in text
    assert pw.database.read_bytes() == before
    assert len(sim.requests()) == asked
    pw.database.unlink()


def test_damage_that_a_sweep_meets_ends_the_daemon(pw, sim):
    """Damage that shows only under way: the daemon stops by itself with 74, and the next start checks the file."""
    sim.fleet(nodes=200, non_compliant=0)
    pw.sweeps(1)
    page = pw.value("SELECT rootpage FROM sqlite_schema WHERE name = 'event_by_type'")
    os.truncate(f"{pw.database}-wal", 0)
    with open(pw.database, "r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\x77" * 4096)
    sim.flip(count=3, to="non_compliant")
    assert pw.once() == 74
    assert "left as it is" in pw.log_text()
    assert pw.once() == 74
    assert "is damaged" in pw.log_text()
    pw.database.unlink()


def age(pw, days):
    """Makes everything in the database so many days older, the chain included."""
    shift = days * DAY_MS
    connection = sqlite3.connect(pw.database, isolation_level=None)
    connection.execute("BEGIN")
    triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for table, columns in {"report": ("valid_from", "valid_to"), "event": ("recorded_at",),
                           "sweep": ("started_at", "ended_at"),
                           "node": ("missing_since", "first_seen_at", "last_seen_at")}.items():
        sets = ", ".join(f"{column} = {column} - {shift}" for column in columns)
        connection.execute(f"UPDATE {table} SET {sets}")
    for _, sql in triggers:
        connection.execute(sql)
    connection.execute("COMMIT")
    connection.close()


def old_history(pw, sim):
    """Two sweeps of long ago, with five transitions that were told, and one machine that went missing."""
    sim.fleet(nodes=12, non_compliant=0)
    pw.daemon["retention"] = "30d"
    pw.source(sim, missing_after=1)
    pw.record_all()
    pw.sweeps(1)
    sim.flip(count=5, to="non_compliant")
    sim.control("remove", index=11)
    pw.sweeps(1)
    assert pw.value("SELECT count(*) FROM node WHERE missing_since IS NOT NULL") == 1
    age(pw, 40)


def assert_pruned(pw):
    assert pw.rows("SELECT * FROM event WHERE recorded_at < (SELECT max(started_at) FROM sweep) - 30 * 86400000") == []
    assert pw.value("SELECT count(*) FROM report WHERE valid_to IS NOT NULL") == 0
    assert pw.value("SELECT count(*) FROM report WHERE valid_to IS NULL") == 11
    assert pw.value("SELECT count(*) FROM node") == 11
    assert pw.value("SELECT count(*) FROM chain_anchor") == 1
    assert pw.value("SELECT count(*) FROM told") == 5


def test_retention_with_once(pw, sim):
    """A cron job with --once keeps the history within its retention too, and who was told is told of the end."""
    old_history(pw, sim)
    before = pw.value("SELECT count(*) FROM event")
    pw.sweeps(3)
    # For all that the first of them knows, the clock is 40 days ahead: nothing goes before others agree.
    assert pw.value("SELECT count(*) FROM event") == before
    assert "the clock seems to have jumped" in pw.log_text()
    assert pw.rows("SELECT * FROM horizon") == []
    pw.sweeps(1)
    assert_pruned(pw)
    assert pw.value("SELECT kept_from < pruned_at - 29 * 86400000 FROM horizon") == 1
    assert "retention: removed" in pw.log_text()
    sim.flip(count=5, to="compliant")
    pw.sweeps(1)
    assert len(pw.events("node.compliant")) == 5
    assert len([call for call in pw.hook_calls() if call["event"]["type"].endswith("node.compliant")]) == 5
    assert pw.value("SELECT count(*) FROM told") == 0


def test_retention_0_keeps_all(pw, sim):
    """retention = 0: nothing goes, however old."""
    old_history(pw, sim)
    pw.daemon["retention"] = "0"
    pw.write_config()
    before = pw.value("SELECT count(*) FROM event")
    pw.sweeps(1)
    assert pw.value("SELECT count(*) FROM event") == before
    assert pw.value("SELECT count(*) FROM node") == 12


@needs_speed
def test_retention_while_the_daemon_runs(pw, sim):
    """In the running daemon it comes by itself, between sweeps that go on as before."""
    old_history(pw, sim)
    pw.sweeps(3)
    pw.start(env={"PATCHWATCH_CARE_SPEED": "1000"})
    pw.wait_log("retention: removed")
    assert_pruned(pw)
    pw.wait_log("chain of events: event [0-9]+ has the hash [0-9a-f]{64}")
    pw.wait_sweeps(1)
    assert set(pw.outcomes()) == {"complete"}
    assert pw.stop() == 0


def test_clock_back_is_told(pw, sim):
    """Rows that a wrong clock put into the future stay as they are; the log says so once, and verify names them."""
    sim.fleet(nodes=5)
    pw.sweeps(1)
    age(pw, -400)
    pw.sweeps(2)
    assert pw.log_text().count("the clock says") == 2  # once a process
    assert pw.value("SELECT count(*) FROM event WHERE recorded_at > 1000 * (unixepoch() + 86400)") == 1


def test_foreign_trigger_is_refused(pw, sim):
    """A trigger that lets deliveries vanish: the daemon does not write to such a file, asks nothing, and says what to do."""
    sim.fleet(nodes=5)
    pw.sweeps(1)
    write(pw, "CREATE TRIGGER hush AFTER INSERT ON delivery BEGIN DELETE FROM delivery; END")
    asked = len(sim.requests())
    assert pw.once() == 78
    text = pw.log_text()
    assert "trigger hush is not ours" in text and "DROP TRIGGER" in text
    assert len(sim.requests()) == asked
    write(pw, "DROP TRIGGER hush")
    pw.sweeps(1)


@pytest.fixture(name="small_disk")
def small_disk_fixture(tmp_path):
    """A file system of 6 MiB, and what is done to fill it and to free it."""
    if os.geteuid() != 0:
        pytest.skip("takes root to mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small file system here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder):
    """Leaves no byte."""
    with open(folder / "filler", "ab", buffering=0) as file:
        size = 65536
        while size:
            try:
                file.write(b"x" * size)
            except OSError:
                size //= 2


@needs_root
@needs_speed
def test_full_disk(pw, sim, small_disk):
    """Full disk: said once and loudly, no sweep begins, nothing is torn; with room again it goes on, and nobody was
    forgotten."""
    sim.fleet(nodes=40, non_compliant=0)
    pw.database = pw.daemon["database"] = small_disk / "history.db"
    pw.record_all()
    pw.write_config()
    pw.sweeps(1)
    pw.start(env={"PATCHWATCH_CARE_SPEED": "60"})
    pw.wait_sweeps(1)
    fill(small_disk)
    flipped = sim.flip(count=30, to="non_compliant")
    pw.wait_log("the disk is full: no sweep begins")
    asked = len(sim.requests())
    time.sleep(3)
    assert pw.process.poll() is None
    assert len(sim.requests()) == asked
    assert pw.log_text().count("the disk is full: no sweep begins") == 1
    assert pw.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    assert pw.changes() == []
    (small_disk / "filler").unlink()
    pw.wait_log("the disk has room again after")
    pw.wait_rows("SELECT count(*) FROM event WHERE type LIKE '%node.non_compliant' HAVING count(*) = 30")
    wait_until(lambda: len(pw.hook_calls()) == 30, "30 calls of the hook")
    reasons = {row["reason"] for row in pw.rows("SELECT reason FROM sweep WHERE outcome IN ('incomplete', 'failed')")}
    assert all(reason.startswith("disk is full") for reason in reasons), reasons
    assert sorted(subject for _, subject in pw.changes()) == sorted(one["key"] for one in flipped)
    assert chain_problems(pw) == []
    assert pw.stop() == 0
    assert pw.database_problems() == []


@needs_root
@needs_speed
def test_second_uid_that_reads_for_long_blocks_nothing(pw, sim, tmp_path):
    """A reader of the group that holds a transaction over many sweeps sees one moment and holds up nobody; the log says
    that the write-ahead log grows, and it is cut off once the reader has left."""
    sim.fleet(nodes=300, non_compliant=0)
    pw.sweeps(1)
    for path in (pw.directory, *tmp_path.parents):
        if str(path).startswith("/tmp/"):
            path.chmod(path.stat().st_mode | 0o011)
    tmp_path.chmod(0o755)
    pw.directory.chmod(0o2750)
    for path in (pw.directory, *pw.directory.glob("history.db*")):
        os.chown(path, 0, 65533)
    # 256 MiB / 400: 671 kB is too large a log
    pw.start(env={"PATCHWATCH_CARE_SPEED": "400"})
    pw.wait_sweeps(1)
    with subprocess.Popen(["sqlite3", "-readonly", str(pw.database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          user=65534, group=65533, extra_groups=[]) as reader:
        reader.stdin.write(b"BEGIN;\nSELECT count(*) FROM event;\n")
        reader.stdin.flush()
        assert reader.stdout.readline() == b"1\n"
        for number in range(6):
            last = pw.last_sequence()
            sim.flip(count=300, to="compliant" if number % 2 else "non_compliant")
            pw.wait_rows("SELECT count(*) FROM event WHERE event_id > ? HAVING count(*) >= 300", last)
        pw.wait_log("the write-ahead log has [0-9]+ MiB and cannot be cut off")
        reader.stdin.write(b"SELECT count(*) FROM event;\nCOMMIT;\nSELECT count(*) > 1800 FROM event;\n.quit\n")
        reader.stdin.close()
        assert reader.stdout.read() == b"1\n1\n"
    wal = Path(f"{pw.database}-wal")
    wait_until(lambda: wal.stat().st_size < 700000, "a short write-ahead log")
    assert pw.log_text().count("cannot be cut off") == 1
    assert set(pw.outcomes()) <= {"complete", "running"}
    assert pw.stop() == 0


def test_unchanged_sweeps_do_not_make_the_database_grow(pw, sim):
    """A hundred sweeps of an unchanged fleet cost at most 1 KiB each, one row in sweep, and nothing else."""
    sim.fleet(nodes=200)
    pw.source(sim, interval="1s", page_size=100)
    pw.sweeps(2)
    size = pw.database.stat().st_size
    tables = ("node", "report", "event", "delivery")
    before = [pw.rows(f"SELECT * FROM {table}") for table in tables]
    for _ in range(10):
        pw.sweeps(10)
    assert pw.database.stat().st_size - size <= 100 * 1024
    after = [pw.rows(f"SELECT * FROM {table}") for table in tables]
    assert json.dumps(before, default=bytes.hex) == json.dumps(after, default=bytes.hex)
    assert len(pw.outcomes()) == 102
