"""The control socket, and the commands that change something: by the daemon where it runs, by themselves where it does not."""

import grp
import json
import os
import pwd
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import threading
import time

import pytest

from harness import BUILT, SANITIZER_ENV, TYPE_PREFIX, wait_until

PATCHWATCH = os.environ.get("PATCHWATCH", str(BUILT / "patchwatch"))
NON = "node.non_compliant"


def run(*arguments, **env):
    """Exit code, stdout, stderr."""
    done = subprocess.run([PATCHWATCH, *map(str, arguments)], capture_output=True, timeout=90, check=False, stdin=subprocess.DEVNULL,
                          env={**os.environ, **SANITIZER_ENV, "TZ": "UTC", **env})
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def tell(pw, *arguments, code=0, **env):
    """What the command prints; it must exit with code, and say nothing on stderr where that is 0."""
    got, out, err = run("--config", pw.config, *arguments, **env)
    assert got == code, f"{arguments}: {got}\n{out}\n{err}\n{pw.tail()}"
    assert (err == "") == (code == 0), f"{arguments}: {err}"
    return out if code == 0 else err


def tell_json(pw, *arguments, code=0):
    got, out, err = run("--config", pw.config, "--json", *arguments)
    assert got == code, f"{arguments}: {got}\n{out}\n{err}"
    assert out.count("\n") == 1 and out.endswith("\n"), out
    return json.loads(out)


def talk(pw, data, shut=True):
    """What the daemon answers to bytes, until it closes."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(pw.socket))  # without a limit: then it waits for its turn
        client.settimeout(20)
        client.sendall(data)
        if shut:
            client.shutdown(socket.SHUT_WR)
        got = b""
        try:
            while part := client.recv(65536):
                got += part
        except ConnectionResetError:
            pass  # it did not want to read all of it
    return got


def ask(pw, request):
    """The answer to one request."""
    data = request if isinstance(request, bytes) else json.dumps(request).encode()
    lines = talk(pw, data + b"\n").splitlines()
    assert len(lines) == 1, lines
    return json.loads(lines[0])


def use_socket(pw):
    pw.socket = pw.directory / "c.sock"
    pw.daemon["control"] = pw.socket
    pw.write_config()


@pytest.fixture(name="told")
def told_fixture(pw, sim):
    """Twelve nodes, one bad, of which a hook was told; the daemon stopped, its control socket configured."""
    use_socket(pw)
    sim.fleet(nodes=12, non_compliant=0)
    pw.record_all()
    pw.sweeps(1)
    pw.bad = sim.flip_to(3, "non_compliant")
    pw.sweeps(1)
    return pw


def wait_until_ready(pw):
    """Waits until the daemon does what it is asked for."""
    def look():
        try:
            return ask(pw, {"command": "sweep", "source": "none"})["exit"] == 64
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    wait_until(look, "a daemon that has started")


def start(pw):
    """Starts the daemon and waits until it does what it is asked for."""
    pw.start()
    wait_until_ready(pw)


@pytest.fixture(name="pw_of", params=["running", "stopped"])
def pw_of_fixture(told, request):
    """The daemon once running, once stopped: what the command does must be the same."""
    if request.param == "running":
        start(told)
    return told


# Mutes, acknowledgements, deliveries


def test_mutes(pw_of):
    """A mute is added, listed and removed; who did it and why is kept."""
    pw = pw_of
    out = tell(pw, "mute", "add", "--region", "cn-north-4", "--for", "2h", "--comment", "patch night", SUDO_USER="alice")
    assert re.fullmatch(r"mute 1 until 20\d\d-.*Z\n", out)
    added = tell_json(pw, "mute", "add", "--source", "prod", "--match", "web-*", "--type", NON, "--severity", "high", "--forever")
    assert added["ok"] and added["exit"] == 0 and added["mute_id"] == 2 and added["until_at"] is None
    tell(pw, "mute", "add", "--all", "--from", "2040-01-01", "--for", "1d")
    rows = pw.rows("SELECT * FROM mute ORDER BY mute_id")
    assert [json.loads(row["match"]) for row in rows] == [
        {"region": "cn-north-4"}, {"type": NON, "severity": "high", "name": "web-*", "source": "prod"}, {}]
    now_ms = time.time() * 1000
    assert rows[0]["until_at"] - rows[0]["created_at"] == pytest.approx(2 * 3600 * 1000, abs=10_000)
    assert rows[0]["created_at"] == pytest.approx(now_ms, abs=60_000) and rows[0]["from_at"] == rows[0]["created_at"]
    assert rows[0]["comment"] == "patch night"
    assert rows[0]["author"] == ("alice" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name)
    assert rows[1]["author"] == pwd.getpwuid(os.getuid()).pw_name
    assert rows[2]["from_at"] == 2208988800000 and rows[2]["until_at"] == 2208988800000 + 86400000
    listed = tell_json(pw, "mute", "list")["mutes"]
    assert [(mute["mute_id"], mute["state"]) for mute in listed] == [(1, "active"), (2, "active"), (3, "future")]
    text = tell(pw, "mute", "list")
    assert "patch night" in text and '{"region":"cn-north-4"}' in text.replace(": ", ":")

    assert tell(pw, "mute", "remove", "1") == "mute 1 is over\n"
    assert tell_json(pw, "mute", "remove", "3")["had_begun"] is False
    (row,) = pw.rows("SELECT * FROM mute WHERE mute_id = 1")
    assert row["until_at"] <= time.time() * 1000 and row["removed_by"] == pwd.getpwuid(os.getuid()).pw_name
    assert pw.rows("SELECT mute_id FROM mute ORDER BY 1") == [{"mute_id": 1}, {"mute_id": 2}], "what had not begun leaves no trace"
    assert [mute["mute_id"] for mute in tell_json(pw, "mute", "list")["mutes"]] == [2]
    assert [mute["state"] for mute in tell_json(pw, "mute", "list", "--all")["mutes"]] == ["ended", "active"]
    assert "ended already" in tell(pw, "mute", "remove", "1", code=1)
    assert "no mute 77" in tell(pw, "mute", "remove", "77", code=1)


def test_mute_of_one_machine(told):
    """--node finds the machine and mutes it by source and key."""
    tell(told, "mute", "add", "--node", told.bad.split("/")[1], "--for", "1h")
    assert json.loads(told.value("SELECT match FROM mute")) == {"source": "prod", "node": told.bad}
    assert "no machine" in tell(told, "mute", "add", "--node", "nonsense", "--for", "1h", code=1)


SENSELESS_MUTES = [
    ([], "needs add|list|remove"),
    (["ad"], "mute add, mute list or mute remove"),
    (["add", "--for", "2h"], "of what?"),
    (["add", "--all", "--region", "r", "--for", "2h"], "--all is everything"),
    (["add", "--all"], "for how long?"),
    (["add", "--all", "--forever", "--for", "2h"], "--forever goes with neither"),
    (["add", "--all", "--for", "2h", "--until", "2040-01-01"], "not both"),
    (["add", "--all", "--for", "0"], "more than nothing"),
    (["add", "--all", "--for", "2 moons"], "--for"),
    (["add", "--all", "--until", "2h"], "not later"),
    (["add", "--all", "--from", "2020-01-01", "--for", "1h"], "over already"),
    (["add", "--source", "prodd", "--for", "2h"], "prod"),
    (["add", "--type", "node.noncompliant", "--for", "2h"], "do you mean 'node.non_compliant'"),
    (["add", "--type", "node.*", "--for", "2h"], "not a pattern"),
    (["add", "--severity", "hihg", "--for", "2h"], "hihg"),
    (["add", "1", "--all", "--for", "2h"], "takes no argument"),
    (["remove"], "needs an ID"),
    (["remove", "x"], "mute remove"),
    (["remove", "1", "--all"], "takes no --all"),
    (["list", "--region", "r"], "takes no --region"),
]


def test_mutes_that_make_no_sense(told):
    """What is not clear is refused before anything is written."""
    for arguments, why in SENSELESS_MUTES:
        assert why in tell(told, "mute", *arguments, code=64)
    assert told.value("SELECT count(*) FROM mute") == 0


def test_ack(pw_of):
    """A problem is acknowledged, again, and no longer; what is well cannot be."""
    pw = pw_of
    out = tell(pw, "ack", pw.bad, "--for", "4h", "--comment", "rebooting it")
    assert re.fullmatch(rf"{pw.bad}: acknowledged until 20\d\d-.*Z\n", out)
    again = tell_json(pw, "ack", pw.bad)
    assert again["renewed"] is True and again["until_at"] is None and again["node_key"] == pw.bad
    rows = pw.rows("SELECT * FROM ack ORDER BY ack_id")
    assert [(row["ended_by"], row["comment"]) for row in rows] == [("renewal", "rebooting it"), (None, None)]
    assert rows[0]["until_at"] - rows[0]["created_at"] == pytest.approx(4 * 3600 * 1000, abs=10_000)
    assert tell(pw, "unack", pw.bad) == f"{pw.bad}: no longer acknowledged\n"
    assert pw.rows("SELECT ended_by FROM ack ORDER BY ack_id")[1]["ended_by"] == "command"
    assert "is not acknowledged" in tell(pw, "unack", pw.bad, code=1)
    good = pw.value("SELECT node_key FROM node WHERE status = 'compliant'")
    assert "nothing to acknowledge" in tell(pw, "ack", good, code=1)
    assert "no machine" in tell(pw, "ack", "nonsense", code=1)
    tell(pw, "ack", pw.bad, "--until", "1h", code=64)
    assert pw.value("SELECT count(*) FROM ack") == 2


def test_deliveries_again(pw_of, sim):
    """What was given up is tried again, by its number or all of it; what is not wanted is dropped. The daemon acts at once."""
    pw, running = pw_of, pw_of.process is not None
    if running:
        pw.stop()
    down = pw.directory / "down"
    down.touch()
    pw.write_alerts({"rec": (pw.command("fail-while", str(down)), "20s")}, {"all": (f"{{type: [{NON}]}}", ["rec"])})
    for index in (5, 6, 7):
        sim.flip_to(index, "non_compliant")
    assert pw.once() == 0
    ids = [row["delivery_id"] for row in pw.rows("SELECT delivery_id FROM delivery WHERE state = 'pending' ORDER BY 1")]
    assert len(ids) == 3
    connection = sqlite3.connect(pw.database)
    with connection:
        connection.execute("UPDATE delivery SET state = 'dead', created_at = unixepoch() * 1000 WHERE delivery_id IN (?, ?)", ids[1:])
    connection.close()
    if running:
        start(pw)

    def state(number):
        return pw.rows("SELECT state, reason FROM delivery WHERE delivery_id = ?", ids[number])[0]

    assert tell(pw, "deliveries", "drop", ids[0]) == "dropped\n"
    assert state(0) == {"state": "dropped", "reason": f"dropped by {pwd.getpwuid(os.getuid()).pw_name}"}
    assert "is dropped already (dropped by" in tell(pw, "deliveries", "drop", ids[0], code=1)
    assert "no delivery 999" in tell(pw, "deliveries", "retry", "999", code=1)
    down.unlink()
    assert tell(pw, "deliveries", "retry", "--dead", "--hook", "other") == "0 deliveries are tried again\n"
    assert tell(pw, "deliveries", "retry", ids[1]) == "1 delivery is tried again\n"
    assert tell(pw, "deliveries", "retry", "--dead") == "1 delivery is tried again\n"
    assert tell(pw, "deliveries", "retry", ids[0]) == "1 delivery is tried again\n", "what was dropped by hand comes back"
    if not running:
        assert [state(number) for number in range(3)] == [{"state": "pending", "reason": None}] * 3
        start(pw)
    for number in range(3):
        wait_until(lambda: state(number)["state"] == "delivered", "the delivery")
    assert "is delivered already" in tell(pw, "deliveries", "retry", ids[1], code=1)
    assert "is delivered already" in tell(pw, "deliveries", "drop", ids[1], code=1)


def test_deliveries_usage(told):
    for arguments in (["retry"], ["retry", "x"], ["retry", "1", "--dead"], ["retry", "1", "--hook", "h"], ["drop"], ["drop", "1", "--dead"],
                      ["--dead"], ["destroy", "1"], ["retry", "--dead", "--state", "dead"]):
        tell(told, "deliveries", *arguments, code=64)


# Without the daemon, and without reaching it


def test_unclean_stays_unclean(told):
    """A change that is made after a crash does not pass for a check of the database: the daemon still makes it."""
    start(told)
    told.stop(signal.SIGKILL)
    lock = told.directory / "history.db.lock"
    assert lock.read_bytes() == b""
    tell(told, "mute", "add", "--all", "--for", "1h")
    assert lock.read_bytes() == b""
    start(told)
    told.stop()
    assert lock.read_bytes() == b"closed\n"
    tell(told, "mute", "add", "--all", "--for", "1h")
    assert lock.read_bytes() == b"closed\n"


def test_stale_socket_is_replaced(told):
    """After a SIGKILL the socket file is left: the command works without the daemon, the next daemon takes its place."""
    start(told)
    told.stop(signal.SIGKILL)
    assert told.socket.exists()
    tell(told, "mute", "add", "--all", "--for", "1h")
    start(told)
    tell(told, "mute", "add", "--all", "--for", "1h")
    assert told.value("SELECT count(*) FROM mute") == 2
    told.stop()
    assert not told.socket.exists()


def test_socket_of_a_living_daemon(told, make_watch, sim):
    """A second daemon with a database of its own does not take the first one's socket."""
    start(told)
    other = make_watch()
    other.daemon["control"] = told.socket
    other.source(sim)
    other.start()
    assert other.process.wait(20) == 75
    other.process = None
    assert "another patchwatchd listens there" in other.log_text()
    assert ask(told, {"command": "sweep"})["ok"]


def test_what_is_no_socket_stays(told):
    """A file that somebody put there is not removed; watching goes on, and the log says so."""
    told.socket.write_text("mine", encoding="ascii")
    told.start()
    told.wait_log("what is there is no socket")
    told.wait_sweeps(1)
    assert "cannot be asked by its control socket" in tell(told, "mute", "add", "--all", "--for", "1h", code=69)
    told.stop()
    assert told.socket.read_text(encoding="ascii") == "mine"


def test_socket_turned_off(told):
    """control = turns it off: a running daemon then is never bypassed."""
    told.daemon["control"] = ""
    told.write_config()
    told.start()
    told.wait_sweeps(1)
    assert "turned off" in tell(told, "mute", "add", "--all", "--for", "1h", code=69)
    assert "turned off" in tell(told, "sweep", code=69)
    code, _, err = run("--database", told.database, "mute", "add", "--all", "--for", "1h")
    assert code == 69 and "--config" in err
    told.stop()
    code, _, err = run("--database", told.database, "mute", "add", "--all", "--for", "1h")
    assert code == 0, err
    assert told.value("SELECT count(*) FROM mute") == 1


def test_no_daemon(told):
    assert "not running" in tell(told, "sweep", code=69)
    assert "not running" in tell(told, "reload", code=69)


def test_no_history_is_made(pw):
    """Where there is no history yet, no change makes one."""
    use_socket(pw)
    tell(pw, "mute", "add", "--all", "--for", "1h", code=66)
    assert not pw.database.exists()


def test_start_waits_for_a_change(told):
    """The moment in which the command holds the lock keeps no daemon out."""
    done = threading.Event()

    def change():
        while not done.is_set():
            run("--config", told.config, "mute", "add", "--all", "--for", "1h")

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(3):
            start(told)
            told.stop()
    finally:
        done.set()
        thread.join()


# Who may


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes somebody else")
def test_who_may_ask(told):
    """Root and members of the socket's group may ask; others are kept out by its mode, and by the daemon itself."""
    start(told)
    info = os.stat(told.socket)
    assert stat.S_IMODE(info.st_mode) == 0o660
    try:
        assert info.st_gid == grp.getgrnam("patchwatch").gr_gid
    except KeyError:
        assert info.st_gid == os.getgid()
    told.directory.chmod(0o755)
    for parent in told.directory.parents:
        if parent.stat().st_mode & 0o001 == 0:
            parent.chmod(parent.stat().st_mode | 0o011)

    def try_as(uid, gid, groups):
        script = f"""
import os, socket
os.setgroups({groups}); os.setgid({gid}); os.setuid({uid})
client = socket.socket(socket.AF_UNIX)
client.connect({str(told.socket)!r})
try:
    client.sendall(b'{{"command":"sweep"}}\\n')
except BrokenPipeError:
    pass  # it has its answer already
print(client.recv(999).decode())
"""
        return subprocess.run(["/usr/bin/python3", "-ISEc", script], capture_output=True, text=True, check=False)

    # The tree itself may lie where others may not go.
    program = shutil.copy(PATCHWATCH, told.directory / "patchwatch")

    def mute_as(uid, gid):
        return subprocess.run([program, "--config", told.config, "mute", "add", "--all", "--for", "1h"], capture_output=True, text=True,
                              check=False, user=uid, group=gid, extra_groups=[], env={**os.environ, **SANITIZER_ENV})

    for name in (told.database, f"{told.database}-wal", f"{told.database}-shm", told.config):
        os.chmod(name, 0o644)
    assert "Permission" in try_as(65534, 65534, []).stderr
    done = mute_as(65534, 65534)
    assert done.returncode == 77 and "Permission denied" in done.stderr, done
    done = mute_as(65534, info.st_gid)
    assert done.returncode == 0, done
    told.wait_log(r"control: mute add by nobody \(uid 65534, pid \d+\)")
    assert '"ok":true' in try_as(65534, info.st_gid, []).stdout
    assert '"ok":true' in try_as(65534, 65534, [info.st_gid]).stdout
    os.chmod(told.socket, 0o666)
    answer = json.loads(try_as(65534, 65534, []).stdout)
    assert answer["exit"] == 77 and "permission denied" in answer["error"]
    told.wait_log("control: refused uid 65534")
    told.stop()
    done = mute_as(65534, 65534)
    assert done.returncode == 77 and "only its user and root" in done.stderr, done
    assert told.value("SELECT count(*) FROM mute") == 1


# Sweeps


def test_sweep(told, sim, make_sim):
    """The daemon sweeps at once and the command waits for what came of it."""
    pw = told
    other = make_sim()
    other.fleet(nodes=2)
    pw.source(sim, interval="1h")
    pw.source(other, "eu", interval="1h")
    start(pw)
    pw.wait_rows("SELECT 1 FROM sweep JOIN source USING (source_id) WHERE outcome = 'complete' GROUP BY 1 HAVING count(DISTINCT name) = 2")
    wait_until(lambda: "running" not in pw.outcomes() + pw.outcomes("eu"), "both at rest")
    bad = sim.flip_to(8, "non_compliant")
    before = pw.complete_count()
    out = tell(pw, "sweep", "prod")
    assert re.fullmatch(r"prod: complete after \d+ ms: 12 machines, 1 reports changed, 1 changes of status\n", out), out
    assert pw.complete_count() == before + 1 and pw.changes(NON)[-1] == (NON, bad)
    answer = tell_json(pw, "sweep")
    assert answer["ok"] and sorted(one["source"] for one in answer["sweeps"]) == ["eu", "prod"]
    (prod,) = (one for one in answer["sweeps"] if one["source"] == "prod")
    assert prod["outcome"] == "complete" and prod["nodes"] == 12 and prod["sweep_id"] == pw.last_sweep()["sweep_id"]
    assert "do you mean 'prod'" in tell(pw, "sweep", "prodd", code=64)
    sim.fault("status", status=500, times=0)
    assert "failed" in run("--config", pw.config, "sweep", "prod")[1]
    assert tell_json(pw, "sweep", "prod", code=75)["sweeps"][0]["outcome"] == "failed"
    assert tell_json(pw, "sweep", "eu")["ok"]


def start_swept(pw):
    """Starts it and waits for the sweep that it begins with: there is no other for an hour."""
    before = pw.complete_count()
    start(pw)
    wait_until(lambda: pw.complete_count() > before, "the first sweep")


def test_sweep_while_one_runs(told, sim):
    """The answer is that of a sweep that began after it was asked for: the one that runs may have seen the past."""
    pw = told
    pw.source(sim, interval="1h", retries="0", concurrency="1")
    start_swept(pw)
    sim.fault("delay", delay_ms=700, times=0)
    threads = [threading.Thread(target=lambda: tell(pw, "sweep", "prod"))]
    threads[0].start()
    pw.wait_rows("SELECT 1 FROM sweep WHERE outcome = 'running'")
    first = pw.last_sweep()["sweep_id"]
    sim.control("fault/clear")
    answers = [tell_json(pw, "sweep", "prod")["sweeps"][0]["sweep_id"]]
    threads[0].join()
    assert answers == [first + 1]


def test_client_that_goes_away(told, sim):
    """Who asks and leaves costs nothing: neither a place nor the sweep."""
    pw = told
    pw.source(sim, interval="1h", retries="0")
    start_swept(pw)
    sim.fault("delay", delay_ms=300, times=0)
    before = pw.descriptors()
    for _ in range(100):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(pw.socket))
            client.sendall(b'{"command":"sweep"}\n')
    wait_until(lambda: pw.descriptors() <= before + 2, "descriptors given back")
    sim.control("fault/clear")
    assert ask(pw, {"command": "sweep"})["ok"]


def test_stop_while_somebody_waits(told, sim):
    """A daemon that stops says so to whoever waits for a sweep."""
    pw = told
    pw.source(sim, interval="1h", retries="0", timeout="60s")
    start_swept(pw)
    sim.fault("delay", delay_ms=30000, times=0)
    got = []
    thread = threading.Thread(target=lambda: got.append(run("--config", pw.config, "sweep")))
    thread.start()
    pw.wait_rows("SELECT 1 FROM sweep WHERE outcome = 'running'")
    assert pw.stop() == 0
    thread.join()
    assert got[0][0] == 75 and "stopping" in got[0][2]


# Reload


def test_reload(told, sim):
    """reload waits, prints what is wrong, and changes nothing where something is."""
    pw = told
    start(pw)
    assert tell(pw, "reload") == "reloaded: 1 sources, 1 hooks, 1 rules\n"
    good = pw.alerts.read_text(encoding="utf-8")
    pw.alerts.write_text(good.replace("rules:", "rulez:").replace("timeout", "timeuot"), encoding="utf-8")
    err = tell(pw, "reload", code=78)
    assert "reload refused" in err and len(re.findall(rf"^{pw.alerts}:\d+: ", err, re.M)) == 2, err
    answer = tell_json(pw, "reload", code=78)
    assert answer["ok"] is False and {one["kind"] for one in answer["problems"]} == {"error"}
    pw.wait_log(rf"{pw.alerts}:\d+: ", count=4)
    pw.alerts.write_text(good, encoding="utf-8")
    pw.source(sim, "two")
    pw.daemon["control"] = pw.directory / "other.sock"
    pw.write_config()
    code, out, err = run("--config", pw.config, "reload")
    assert code == 69, "the command asks where the new file says"
    pw.daemon["control"] = pw.socket
    pw.write_config()
    assert tell(pw, "reload") == "reloaded: 2 sources, 1 hooks, 1 rules\n"
    pw.wait_sweeps(1, "two")


def test_reload_takes_a_source_away(told, sim):
    """Who waits for a sweep of a source that a reload takes away is told so."""
    pw = told
    pw.source(sim, "two", interval="1h")
    start(pw)
    wait_until(lambda: pw.outcomes("two") == ["complete"], "the first sweep")
    sim.fault("delay", delay_ms=20000, times=0)
    got = []
    thread = threading.Thread(target=lambda: got.append(run("--config", pw.config, "--json", "sweep", "two")))
    thread.start()
    pw.wait_rows("SELECT 1 FROM sweep JOIN source USING (source_id) WHERE outcome = 'running' AND name = 'two'")
    del pw.sources["two"]
    pw.write_config()
    tell(pw, "reload")
    thread.join()
    assert got[0][0] == 75 and "took the source away" in json.loads(got[0][1])["sweeps"][0]["reason"]
    sim.control("fault/clear")


# Hooks


def test_hook_test(pw_of):
    """One synthetic event goes through the hook, marked as a test; nothing is written."""
    pw = pw_of
    pw.write_alerts({"rec": (pw.command(), "20s"), "broken": ('["/bin/sh", "-c", "echo no such pager; exit 3"]', "20s")},
                    {"all": ("{type: [node.non_compliant]}", ["rec", "broken"])})
    if pw.process is not None:
        tell(pw, "reload")
    before = pw.rows("SELECT count(*) AS n, max(event_id) AS last FROM event, (SELECT count(*) FROM delivery)")
    pw.hook_log.unlink()
    assert re.fullmatch(r"rec: delivered after \d+ ms\n", tell(pw, "hook", "test", "rec"))
    (call,) = pw.hook_calls()
    event = call["event"]
    assert event["type"] == TYPE_PREFIX + NON and event["data"]["test"] is True and "TEST" in event["data"]["node"]["name"]
    assert call["env"]["PATCHWATCH_HOOK"] == "rec" and "TEST" in call["env"]["PATCHWATCH_NODE_NAME"]
    code, out, err = run("--config", pw.config, "hook", "test", "broken")
    assert code == 1 and re.fullmatch(r"broken: failed after \d+ ms: exit code 3: no such pager\n", out), out + err
    answer = tell_json(pw, "hook", "test", "broken", code=1)
    assert answer["outcome"] == "failed" and answer["why"].startswith("exit code 3")
    assert "do you mean 'rec'" in tell(pw, "hook", "test", "rex", code=66)
    tell(pw, "hook", "try", "rec", code=64)
    assert pw.rows("SELECT count(*) AS n, max(event_id) AS last FROM event, (SELECT count(*) FROM delivery)") == before


def test_hook_test_outlives_a_reload(told):
    """A test that runs goes by the alerts that it began with, though a reload replaces them."""
    pw = told
    begun = pw.directory / "begun"
    pw.write_alerts({"slow": (f'["/bin/sh", "-c", "touch {begun}; sleep 3; exit 4"]', "20s")}, {"all": ("{type: [node.non_compliant]}", ["slow"])})
    start(pw)
    got = []
    thread = threading.Thread(target=lambda: got.append(run("--config", pw.config, "hook", "test", "slow")))
    thread.start()
    wait_until(begun.exists, "the hook")
    for _ in range(3):
        tell(pw, "reload")
    thread.join()
    assert got[0][0] == 1 and "exit code 4" in got[0][1]
    thread = threading.Thread(target=lambda: got.append(run("--config", pw.config, "hook", "test", "slow")))
    begun.unlink()
    thread.start()
    wait_until(begun.exists, "the hook")
    assert pw.stop() == 0
    thread.join()
    assert got[1][0] == 1 and "slow: failed" in got[1][1]


# Hostile


def test_hostile_lines(told):
    """Whatever comes, the daemon answers no and goes on."""
    pw = told
    start(pw)
    for line in [b"", b"x", b"{}", b"[]", b"null", b'"reload"', b'{"command":1}', b'{"command":"reload"', b'{"command":"reload"}}',
                 b'{"command":"reload","command":"reload"}', b'{"command":"rm -rf"}', b'{"command":"reload","source":"prod"}',
                 b'{"command":"sweep","source":["prod"]}', b'{"command":"sweep","source":null}', b'{"command":"sweep","source":{}}',
                 b'{"command":"mute add"}', b'{"command":"mute add","match":"[]"}', b'{"command":"mute add","match":"{}","until_at":-1}',
                 b'{"command":"mute add","match":"{}","until_at":1}', b'{"command":"mute add","match":"{}","until_at":1e99}',
                 b'{"command":"mute add","match":"{\\"regoin\\":\\"r\\"}"}', b'{"command":"mute add","match":"{}","match":"{}"}',
                 b'{"command":"mute remove","id":1.5}', b'{"command":"mute remove","id":99999999999999999999}',
                 b'{"command":"deliveries retry"}', b'{"command":"deliveries retry","id":1,"state":"dead"}',
                 b'{"command":"sweep","source":"pr\\u0000od"}', b'{"command":"sweep","source":"\xff"}', b"\0" * 100, b"[" * 60000,
                 b'{"a":' * 10000, b'{"command":"sweep","source":"' + b"x" * 60000 + b'"}']:
        answer = ask(pw, line)
        assert answer["ok"] is False and answer["exit"] != 0 and answer["error"], line[:60]
    assert json.loads(talk(pw, b"x" * 70000))["exit"] == 64
    assert talk(pw, b'{"command":"reload"}') == b"", "a line that does not end is none"
    answers = talk(pw, b'{"command":"deliveries retry","state":"dead"}\r\n' * 50).splitlines()
    assert len(answers) == 50 and all(json.loads(one)["ok"] for one in answers)
    assert pw.value("SELECT count(*) FROM mute") == 0
    tell(pw, "sweep")


def test_many_and_slow_connections(told):
    """A thousand silent connections neither keep others out nor cost more than a bounded number of descriptors."""
    pw = told
    start(pw)
    before = pw.descriptors()
    clients = []
    for _ in range(1000):
        clients.append(socket.socket(socket.AF_UNIX))
        clients[-1].connect(str(pw.socket))
    assert pw.descriptors() <= before + 64 + 70
    assert ask(pw, {"command": "sweep"})["ok"]
    slow = socket.socket(socket.AF_UNIX)
    slow.connect(str(pw.socket))
    begun = time.monotonic()
    with pytest.raises(OSError):
        while time.monotonic() < begun + 30:
            slow.sendall(b" ")
            time.sleep(0.2)
    assert time.monotonic() < begun + 15, "a line that drips is given ten seconds"
    for client in clients:
        client.close()
    slow.close()
    wait_until(lambda: pw.descriptors() <= before + 2, "descriptors given back")


def test_socket_activation(told):
    """A socket that systemd handed over is used, and left where it is."""
    pw = told
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(pw.socket))
    listener.listen(8)
    assert listener.fileno() != 3

    script = ('import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1");'
              "os.set_inheritable(3, True); os.execv(sys.argv[2], sys.argv[2:])")
    daemon = os.environ.get("PATCHWATCHD", str(BUILT / "patchwatchd"))
    with open(pw.log, "ab") as log:
        pw.process = subprocess.Popen(["/usr/bin/python3", "-c", script, str(listener.fileno()), daemon, "--config", str(pw.config)],
                                      stdout=log, stderr=log, pass_fds=[listener.fileno()], env={**os.environ, **SANITIZER_ENV})
    listener.close()
    wait_until_ready(pw)
    tell(pw, "mute", "add", "--all", "--for", "1h")
    assert pw.stop() == 0
    assert pw.socket.exists()
