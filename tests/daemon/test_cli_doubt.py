"""patchwatch where a reassuring answer would be a wrong one: typos, what cannot be checked or seen, files that are replaced."""

import fcntl
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest

from harness import wait_until
from test_cli import NON, PATCHWATCH, ask, ask_json, change, environment, on_terminal, run

from test_cli import told_fixture  # noqa: F401  pylint: disable=unused-import

HASH = "0" * 64


def refused(pw, *arguments, code=64):
    """What it says on stderr; nothing on stdout."""
    got, out, err = run("--config", pw.config, *arguments)
    assert (got, out) == (code, ""), f"{arguments}: {got} {out}{err}"
    return err


# Typos


def test_a_source_that_is_not_there(told, sim):
    """A name that no source has is refused with the nearest that there is; one that is only configured is not."""
    for arguments in (["nodes"], ["sweeps"], ["at", "now"], ["node", told.bad]):
        assert "there is no source 'prdo'; do you mean 'prod'?" in refused(told, *arguments, "--source", "prdo")
        ask(told, *arguments, "--source", "prod")
    told.source(sim, name="tomorrow")
    assert ask_json(told, "nodes", "--source", "tomorrow")["nodes"] == []
    assert run("--database", told.database, "nodes", "--source", "tomorrow")[0] == 64


def test_a_type_that_is_not_there(told):
    """A type must be one, or a pattern of one."""
    assert "do you mean 'node.non_compliant'?" in refused(told, "events", "--type", "node.noncompliant")
    assert "do you mean 'node.non_compliant'?" in refused(told, "events", "--type", "non_compliant", "--follow")
    for kind in ("nothing", "node.x*", "io.patchwatch.", "[", "a" * 300, "node.non_compliant,node.compliant"):
        assert "--type" in refused(told, "events", "--type", kind)
    for kind in ("*", "node.*", "*compliant", "io.patchwatch.node.*", NON):
        assert NON in [event["type"] for event in ask_json(told, "events", "--type", kind)["events"]]


def test_a_hook_that_is_not_there(told):
    """A hook that no delivery ever named is said to be such; of one that did, an empty answer is good news."""
    for arguments in (["--hook", "pagr"], ["--hook", "pagr", "--json"], ["--hook", "pagr", "--state", "all"]):
        code, out, err = run("--config", told.config, "deliveries", *arguments)
        assert code == 0 and out and "no delivery ever named a hook 'pagr'" in err
    assert ask(told, "deliveries", "--hook", "rec") == "nothing waits, nothing was given up\n"
    assert ask(told, "deliveries", "--hook", "rec", "--state", "dead") == "nothing was given up\n"


def test_empty_values(told):
    """The empty value of a variable that is not set is no filter and no name."""
    for arguments in (["node", ""], ["at", ""], ["backup", ""], ["nodes", "--source", ""], ["nodes", "--source="], ["events", "--node", ""],
                      ["events", "--type", ""], ["nodes", "--match", ""], ["--database", "", "status"]):
        assert "empty" in run("--config", told.config, *arguments)[2], arguments
        assert run("--config", told.config, *arguments)[0] == 64, arguments


# status


def namespaced(pw, *arguments):
    """As seen from another PID namespace; exit code and output."""
    if subprocess.run(["unshare", "-pf", "--mount-proc", "true"], check=False, stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("may not make a PID namespace")
    done = subprocess.run(["unshare", "-pf", "--mount-proc", PATCHWATCH, "--config", str(pw.config), *arguments],
                          capture_output=True, env=environment(), check=False, timeout=60)
    return done.returncode, done.stdout.decode()


def test_status_from_a_container(pw, sim):
    """Where the daemon cannot be seen it is unknown, not stopped; that it ended well can be seen from anywhere."""
    sim.fleet(nodes=3, non_compliant=0)
    pw.source(sim, interval="1m")
    pw.start()
    pw.wait_rows("SELECT 1 FROM source WHERE baseline_at IS NOT NULL")
    code, out = namespaced(pw, "--json", "status")
    status = json.loads(out)
    assert (code, status["daemon"]["state"], status["daemon"]["pid"]) == (0, "unknown", None)
    assert "may be running or not" in namespaced(pw, "status")[1]
    assert pw.stop() == 0
    assert json.loads(namespaced(pw, "--json", "status")[1])["daemon"]["state"] == "stopped"


def test_status_where_another_program_holds_the_lock(told):
    """Whoever holds the lock and is no patchwatchd is named and is no running daemon."""
    with open(f"{told.database}.lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status = ask_json(told, "status", code=1)
        assert (status["daemon"]["state"], status["daemon"]["pid"]) == ("stopped", None)
        assert any("another program" in line and f"pid {os.getpid()}" in line for line in status["wrong"])


def test_status_where_nobody_is_told(told):
    """Changes that no rule names are not called told."""
    assert "Was everyone told? Yes" in ask(told, "status", code=1)
    change(told, "DELETE FROM delivery")
    text = ask(told, "status", code=1)
    assert "Was everyone told? Nobody was: no rule names the one change of the last 24h." in text and "Yes" not in text


def test_the_last_sweep_is_the_one_that_was_made_last(told, sim):
    """A clock that was ahead during one sweep does not make that the last one."""
    change(told, "UPDATE sweep SET started_at = started_at + 86400000, ended_at = ended_at + 86400000 WHERE sweep_id = 1")
    sim.fault("status", status=500, times=0)
    told.source(sim, retries=0, failing_after=1, interval="1m")
    told.once()
    status = ask_json(told, "status", code=1)
    source = status["sources"][0]
    assert (source["sweep_id"], source["outcome"]) == (3, "failed")
    assert any(source["reason"] in line for line in status["wrong"])
    assert [sweep["sweep_id"] for sweep in ask_json(told, "sweeps", "--source", "prod")["sweeps"]] == [3, 2, 1]


# at


def test_at_before_what_is_kept(told):
    """What retention removed is refused as such, not shown as a fleet without problems."""
    connection = sqlite3.connect(told.database)
    with connection:
        connection.execute("CREATE TABLE IF NOT EXISTS horizon (horizon_id INTEGER PRIMARY KEY, kept_from INTEGER, pruned_at INTEGER)")
        connection.execute("UPDATE node SET first_seen_at = 1000")
        connection.execute("INSERT INTO horizon (horizon_id, kept_from, pruned_at) VALUES (1, 1700000000000, 1700000000000)")
    connection.close()
    err = refused(told, "at", "2023-11-01", code=1)
    assert "retention has removed what was known before 2023-11-14 22:13:2" in err
    assert "12 machines" in ask(told, "at", "2023-11-15")


def test_the_counts_stay_on_a_narrow_terminal(told, sim):
    """At 80 columns a key that would be cut goes before what says how bad it is."""
    sim.record(instance_id="0123456789-0123456789-0123456789", name="a-name-of-quite-some-length", status="non_compliant")
    told.sweeps(1)
    for arguments in (["nodes"], ["status"], ["at", "now"]):
        out = on_terminal(told, 80, *arguments, NO_COLOR="1")
        assert "CRIT" in out and "HIGH" in out and "a-name-of-quite-some" in out, out


# verify


def test_verify_that_cannot_look(told):
    """What could not be checked is never called right: not in text, not in JSON, not by the exit code."""
    assert ask_json(told, "verify")["complete"] is True
    change(told, "DROP INDEX report_by_node")
    code, out, err = run("--config", told.config, "--json", "verify")
    found = json.loads(out)
    assert code != 0 and found["ok"] is False
    if not found["complete"]:
        assert code in (1, 78) and found["error"] in err and "versions" in found["not_checked"] and "file" not in found["not_checked"]
    text = run("--config", told.config, "verify")[1]
    assert "nothing is wrong" not in text
    for name in found["not_checked"]:
        assert any(line.startswith(name) and "NOT CHECKED" in line for line in text.splitlines())


def test_verify_expect(told):
    """The end of the chain that was noted elsewhere must still be in it."""
    last = ask_json(told, "verify")["last"]
    link = f"{last['event_id']}:{last['hash']}"
    for bad in ("1", "x:" + HASH, "1:abc", "0:" + HASH, f"1:{HASH}0", "1:" + "g" * 64):
        assert "--expect" in refused(told, "verify", "--expect", bad)
    assert ask_json(told, "verify", "--expect", link)["ok"] is True
    assert ask_json(told, "verify", "--expect", link.upper())["ok"] is True
    assert ask_json(told, "verify", "--expect", f"{last['event_id']}:{HASH}", code=1)["ok"] is False
    change(told, "DELETE FROM delivery WHERE event_id = (SELECT max(event_id) FROM event)")
    change(told, "DELETE FROM event WHERE event_id = (SELECT max(event_id) FROM event)")
    change(told, "UPDATE sqlite_sequence SET seq = (SELECT max(event_id) FROM event) WHERE name = 'event'")
    change(told, "UPDATE sweep SET transitions = 0")
    assert ask_json(told, "verify")["ok"] is True  # whoever can write can do this
    assert ask_json(told, "verify", "--expect", link, code=1)["ok"] is False


# events


def test_events_that_are_no_utf8(told):
    """Bytes that are no UTF-8 in an event do not make JSON that nobody can read."""
    change(told, "UPDATE event SET data = CAST(X'7b226e616d65223a2261ff62c3227d' AS TEXT) WHERE type LIKE '%non_compliant'")
    assert ask_json(told, "events", "--type", NON)["events"][0]["cloudevent"] == {"name": "a\ufffdb\ufffd"}


@pytest.mark.parametrize("how", ["renamed over", "removed", "event_id"])
def test_follow_where_the_database_is_replaced(told, how):
    """--follow does not wait for ever at a file that nobody writes to any more."""
    older = told.directory / "older.db"
    ask(told, "backup", older)
    arguments = [PATCHWATCH, "--config", str(told.config), "events", "--follow", "--json"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as follower:
        for _ in range(2):
            follower.stdout.readline()
        time.sleep(1)
        assert follower.poll() is None
        if how == "renamed over":
            shutil.copy(older, told.directory / "new.db")
            os.replace(told.directory / "new.db", told.database)
        elif how == "removed":
            told.database.unlink()
        else:
            change(told, "DELETE FROM delivery WHERE event_id > 1")
            change(told, "DELETE FROM event WHERE event_id > 1")
            change(told, "UPDATE sqlite_sequence SET seq = 1 WHERE name = 'event'")
        assert follower.wait(20) == 74
        assert (b"went back" if how == "event_id" else b"replaced") in follower.stderr.read()


# backup


def test_backup_spares_the_history(told):
    """No file that the daemon lives on is a target, by whatever name."""
    (told.directory / "link").symlink_to(told.directory)
    os.link(f"{told.database}-wal", told.directory / "hard")
    before = {path.name: path.read_bytes() for path in told.directory.iterdir() if path.is_file()}
    names = [f"history.db{suffix}" for suffix in ("", "-wal", "-shm", "-journal", ".lock", ".room")] + ["hard"]
    for name in names + [f"link/{name}" for name in names]:
        assert "history" in refused(told, "backup", "--overwrite", told.directory / name, code=73)
    after = {path.name: path.read_bytes() for path in told.directory.iterdir() if path.is_file()}
    assert {name: data for name, data in after.items() if not name.endswith("-shm")} == {
        name: data for name, data in before.items() if not name.endswith("-shm")}


def big_backup(told, *prefix):
    """A backup that takes its time, under way."""
    if told.value("SELECT count(*) FROM sqlite_schema WHERE name = 'filler'") == 0:
        change(told, "CREATE TABLE filler (x)")
        change(told, "INSERT INTO filler VALUES (zeroblob(400000000))")
    process = subprocess.Popen([*prefix, PATCHWATCH, "--config", str(told.config), "backup", str(told.directory / "copy.db")],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    part = told.directory / "copy.db.part"
    wait_until(lambda: process.poll() is not None or (part.exists() and part.stat().st_size > 1000000), "the copy")
    assert process.poll() is None, process.communicate()
    return process, part


def test_backup_interrupted(told):
    """A signal ends a backup, which leaves nothing and says by which one; what a killed one left is used again."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process, part = big_backup(told)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == -number and b"interrupted" in err
        assert not part.exists() and not (told.directory / "copy.db").exists()
    process, part = big_backup(told)
    code, _, err = run("--config", told.config, "backup", told.directory / "copy.db")
    assert code == 73 and "another backup" in err
    process.kill()
    process.communicate()
    assert part.exists()
    ask(told, "backup", told.directory / "copy.db")
    assert not part.exists() and sorted(path.name for path in told.directory.glob("copy.db*")) == ["copy.db"]
    assert (told.directory / "copy.db").stat().st_size > 400000000


def test_backup_while_the_daemon_writes(told, sim):
    """A copy that takes many steps while sweeps write is of one moment, and a sweep does not wait for it."""
    process, _ = big_backup(told)
    process.send_signal(signal.SIGSTOP)
    for status in ("compliant", "non_compliant"):
        sim.flip_to(5, "non_compliant" if status == "compliant" else "compliant")
        told.sweeps(1)
    process.send_signal(signal.SIGCONT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    copy = json.loads(run("--database", told.directory / "copy.db", "--json", "sweeps")[1])["sweeps"]
    assert [sweep["sweep_id"] for sweep in copy] == [2, 1]
    assert [sweep["sweep_id"] for sweep in ask_json(told, "sweeps")["sweeps"]] == [4, 3, 2, 1]
    connection = sqlite3.connect(told.directory / "copy.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
