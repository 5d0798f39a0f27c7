"""The program itself: options, exit codes, signals, reload, files."""

import os
import re
import signal
import sqlite3
import stat
import subprocess
import time

import pytest

from harness import wait_until

NON = "node.non_compliant"
ANY = "{type: [node.non_compliant, node.compliant]}"


@pytest.fixture(name="running")
def running_fixture(pw, sim):
    """A daemon that runs with interval = 1s and had its first sweep of twelve compliant nodes."""
    sim.fleet(nodes=12, non_compliant=0)
    pw.start()
    pw.wait_rows("SELECT 1 FROM source WHERE baseline_at IS NOT NULL")
    return pw


# Options

def test_help_and_version(pw):
    """--help explains every option on stdout, --version names program and version; both exit 0."""
    code, out, err = pw.run("--help")
    assert (code, err) == (0, "")
    for option in ("--config", "--once", "--check", "--version", "--help"):
        assert option in out
    code, out, err = pw.run("--version")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"patchwatchd \d+\.\d+\.\d+\n", out)


@pytest.mark.parametrize("options", [["--nonsense"], ["-x"], ["stray"], ["--config"], ["--once", "stray"]])
def test_wrong_usage(pw, options):
    """An unknown option, a stray word or a missing value is exit 64 with a message on stderr, nothing on stdout."""
    code, out, err = pw.run(*options)
    assert (code, out) == (64, "")
    assert err


# --check

def test_check_of_a_good_configuration(pw, sim):
    """A good configuration is exit 0, and neither network nor database is touched."""
    pw.record_all()
    code, text = pw.check()
    assert code == 0, text
    assert not pw.database.exists()
    assert sim.state()["connections"] == 1  # ours, of asking


BAD_INI = [
    ("[nonsense]\n", 1), ("[source p]\nendpoint = http://127.0.0.1:1\nauth = none\nintervall = 5m\n", 4),
    ("[source p]\nendpoint = http://127.0.0.1:1\nauth = none\ninterval = soon\n", 4),
    ("[source p]\nendpoint = http://127.0.0.1:1\nauth = none\nauth = none\n", 4),
    ("[source p]\nendpoint = ftp://127.0.0.1\nauth = none\n", 2), ("[source p]\nauth = none\n", 1),
    ("[source p]\nendpoint = http://127.0.0.1:1\nauth = none\npage_size = 101\n", 4),
    ("[source p]\nendpoint = http://127.0.0.1:1\nauth = none\noffset = both\n", 4),
    ("[source p]\nendpoint = http://127.0.0.1:1\nauth = none\nfilter.colour = red\n", 4),
    ("[source p\nendpoint = http://127.0.0.1:1\n", 1),
    ("[source p]\nno equals sign\n", 2),
    ("[daemon]\ndatabase = relative.db\n[source p]\nendpoint = http://127.0.0.1:1\nauth = none\n", 2),
    ("[source p]\nendpoint = http://127.0.0.1:1\nauth = none\n[source p]\nconfirm = 2\n", 4),
]


@pytest.mark.parametrize("text,line", BAD_INI)
def test_check_names_file_and_line(pw, text, line):
    """Each kind of mistake in the ini file is named as FILE:LINE: message, with exit 78; so it is without --check."""
    pw.config.write_text(text, encoding="utf-8")
    code, output = pw.check()
    assert code == 78
    assert re.search(rf"^{re.escape(str(pw.config))}:{line}: \S", output, re.M), output
    assert pw.once() == 78
    assert f"{pw.config}:{line}: " in pw.log_text()


def test_check_names_all_problems_at_once(pw, sim):
    """Several mistakes in several files, alerts.yaml among them, are all named in one go."""
    pw.config.write_text(f"[daemon]\ndatabase = {pw.database}\nalerts = {pw.alerts}\nlog_level = loud\n"
                         f"[source p]\nendpoint = {sim.endpoint}\nauth = none\nretries = many\n", encoding="utf-8")
    more = pw.directory / "conf.d"
    more.mkdir()
    (more / "10.ini").write_text("[source q]\nconfirm = 0\n", encoding="utf-8")
    pw.alerts.write_text("version: 1\nhooks:\n  h: {type: exce, command: [/bin/true]}\nrules:\n"
                         "  - {name: r, match: {regoin: x}, hooks: [nobody]}\n", encoding="utf-8")
    code, output = pw.check()
    assert code == 78
    for file, line in ((pw.config, 4), (pw.config, 8), (more / "10.ini", 2), (pw.alerts, 3), (pw.alerts, 5)):
        assert f"{file}:{line}: " in output, output
    assert not pw.database.exists()


@pytest.mark.parametrize("text", ["version: 2\n", "version: 1\nhooks: [\n", "\t", "version: 1\nrules:\n  - {name: r}\n",
                                  "version: 1\nhooks: {h: {type: exec, command: [/no/such/program]}}\n"])
def test_check_of_a_bad_alerts_file(pw, text):
    """A mistake in alerts.yaml is named with file and line, exit 78, also at a real start."""
    pw.alerts.write_text(text, encoding="utf-8")
    code, output = pw.check()
    assert code == 78
    assert re.search(rf"^{re.escape(str(pw.alerts))}:\d+: \S", output, re.M), output
    assert pw.once() == 78


def test_missing_configuration_file(pw):
    """A configuration that is not there is exit 78 and named; a missing alerts.yaml only means no alerts."""
    code, _, err = pw.run("--config", str(pw.directory / "none.ini"), "--check")
    assert code == 78 and "none.ini" in err
    assert pw.check()[0] == 0 and not pw.alerts.exists()


def test_later_files_win(pw, sim):
    """A file in conf.d changes a value of the main file, the later of two such files wins, and others are not read."""
    sim.fleet(nodes=5)
    pw.source("http://127.0.0.1:9")
    more = pw.directory / "conf.d"
    more.mkdir()
    (more / "20.ini").write_text(f"[source prod]\nendpoint = {sim.endpoint}\n", encoding="utf-8")
    (more / "10.ini").write_text("[source prod]\nendpoint = http://127.0.0.1:10\n", encoding="utf-8")
    (more / "30.ini.bak").write_text("nonsense", encoding="utf-8")
    pw.sweeps(1)
    assert len(pw.nodes()) == 5


def test_check_warns_of_a_status_filter(pw, sim):
    """--check warns that a source filtered by status sees no recoveries, and still exits 0."""
    pw.source(sim, filter_compliant_status="non_compliant")
    code, output = pw.check()
    assert code == 0
    assert "compliant_status" in output or "node.missing" in output


# Files

def test_second_daemon_on_one_database_is_refused(running):
    """A second daemon on the same database ends with an error and a message; the first goes on undisturbed."""
    for options in ((), ("--once",)):
        assert running.spawn(*options).wait(20) > 0
    assert len(re.findall(r"another patchwatchd", running.log_text())) == 2
    running.wait_sweeps(1)
    assert running.process.poll() is None


def test_database_folder_that_cannot_be_used(pw):
    """A database in a folder that does not exist is an exit code of its own with a message that names it."""
    pw.daemon["database"] = pw.directory / "nowhere" / "history.db"
    pw.write_config()
    assert pw.once() in (73, 74, 77, 78)
    assert "nowhere/history.db" in pw.log_text()
    pw.config.write_text("[daemon]\ndatabase = /proc/history.db\n[source p]\nendpoint = http://127.0.0.1:1\nauth = none\n",
                         encoding="utf-8")
    assert pw.once() in (73, 74, 77, 78)


@pytest.mark.parametrize("kind", ["foreign", "text", "newer"])
def test_file_of_another_program_is_left_alone(pw, kind):
    """A file that is no database of ours, or of a later version, is refused with a message and not changed by a byte."""
    if kind == "text":
        pw.database.write_text("my diary\n" * 1000, encoding="utf-8")
    else:
        connection = sqlite3.connect(pw.database)
        connection.execute("CREATE TABLE treasure (gold)")
        connection.execute(f"PRAGMA application_id = {0x50575443 if kind == 'newer' else 4711}")
        connection.execute("PRAGMA user_version = 9999")
        connection.commit()
        connection.close()
    before = pw.database.read_bytes()
    code = pw.once()
    assert code not in (0, 75) and code > 0
    assert "history.db" in pw.log_text()
    assert pw.database.read_bytes() == before
    pw.database.unlink()


def sqlite(pw, sql):
    done = subprocess.run(["sqlite3", "-readonly", str(pw.database), sql], capture_output=True, timeout=20, check=False)
    return done.returncode, done.stdout.decode().strip(), done.stderr.decode()


def test_anyone_in_the_group_can_read_at_any_time(running, sim):
    """The file has mode 0640, and `sqlite3 -readonly` reads it while the daemon runs, after it stopped, after a kill."""
    def look():
        assert sqlite(running, "SELECT count(*) FROM current_nodes") == (0, "12", "")
        for path in running.directory.glob("history.db*"):
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode & 0o137 == 0 and (path != running.database or mode == 0o640), (path, oct(mode))

    look()
    assert running.stop() == 0
    look()
    running.start()
    running.wait_sweeps(1)
    sim.flip(count=3, to="non_compliant")
    running.wait_rows("SELECT 1 FROM event WHERE type LIKE '%node.non_compliant'")
    running.stop(signal.SIGKILL)
    look()
    assert sqlite(running, "SELECT count(*) FROM non_compliant_nodes")[1] == "3"


@pytest.mark.skipif(os.getuid() != 0, reason="takes root to become somebody else")
def test_member_of_the_group_without_rights_to_the_folder_can_read(pw, sim, tmp_path):
    """A user who is in the file's group and may not write the folder can read it when the daemon is stopped."""
    sim.fleet(nodes=3)
    pw.sweeps(1)
    for path in (pw.directory, *tmp_path.parents):
        if str(path).startswith("/tmp/"):
            path.chmod(path.stat().st_mode | 0o011)
    tmp_path.chmod(0o755)
    pw.directory.chmod(0o750)
    for path in (pw.directory, *pw.directory.glob("history.db*")):
        os.chown(path, 0, 65533)
    done = subprocess.run(["sqlite3", "-readonly", str(pw.database), "SELECT count(*) FROM current_nodes"],
                          capture_output=True, timeout=20, check=False, user=65534, group=65533, extra_groups=[])
    assert (done.stdout, done.stderr) == (b"3\n", b"")


def test_reader_never_blocks_the_daemon(running, sim):
    """A reader with an open transaction does not keep the daemon from recording and telling."""
    reader = sqlite3.connect(f"file:{running.database}?mode=ro", uri=True)
    try:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM node").fetchone() == (12,)
        key = sim.flip_to(3, "non_compliant")
        running.wait_rows("SELECT 1 FROM event WHERE type LIKE '%node.non_compliant'")
        assert running.changes() == [(NON, key)]
        assert reader.execute("SELECT count(*) FROM event WHERE type LIKE '%node.non_compliant'").fetchone() == (0,)
    finally:
        reader.close()


VIEWS = ("current_nodes", "non_compliant_nodes", "transitions", "node_timeline", "fleet_daily", "remediation",
         "sweep_log", "undelivered")


def test_views_for_people(pw, sim):
    """Every promised view answers, and says what happened."""
    sim.fleet(nodes=12, non_compliant=0)
    pw.sweeps(1)
    for status in ("non_compliant", "compliant"):
        key = sim.flip_to(3, status)
        pw.sweeps(1)
    rows = {view: pw.rows(f"SELECT * FROM {view}") for view in VIEWS}
    assert [row["node_key"] for row in rows["transitions"]] == [key, key]
    assert len(rows["current_nodes"]) == 12 and rows["non_compliant_nodes"] == [] and rows["undelivered"] == []
    assert [row["node_key"] for row in rows["remediation"]] == [key]
    assert rows["fleet_daily"][-1]["compliant"] == 12 and len(rows["sweep_log"]) == 3
    assert {"source", "node_key", "name", "status", "non_compliant_count", "critical", "high", "baseline_name", "region",
            "report_time", "status_since", "last_seen_at"} <= set(rows["current_nodes"][0])
    assert pw.value("PRAGMA application_id") == 0x50575443 and pw.value("PRAGMA journal_mode") == "wal"


# Running

@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_signal_in_the_middle_of_a_sweep(running, sim, how):
    """SIGTERM and SIGINT end the daemon with 0 within two seconds, also while pages are outstanding."""
    sim.fault("delay", delay_ms=3000, times=0)
    active = wait_until(lambda: sim.state()["api_active"], "a request under way")
    began = time.monotonic()
    assert running.stop(how) == 0
    assert active and time.monotonic() - began < 2
    assert running.rows("SELECT 1 FROM sweep WHERE outcome = 'running'") == []
    assert running.changes() == []


def test_interval_is_kept(pw, sim):
    """Sweeps start an interval apart, counted from start to start, without drifting off or bunching up."""
    sim.fleet(nodes=12)
    sim.fault("delay", delay_ms=100, times=0)
    pw.start()
    pw.wait_rows("SELECT count(*) FROM sweep WHERE outcome <> 'running' HAVING count(*) >= 4")
    starts = [row["started_at"] for row in pw.rows("SELECT started_at FROM sweep ORDER BY sweep_id")][:4]
    gaps = [late - early for early, late in zip(starts, starts[1:])]
    assert all(850 <= gap <= 1600 for gap in gaps), gaps


def test_sources_are_independent(pw, sim, make_sim):
    """A source whose server is dead or slow delays none of the others, and the others' exit code is not hidden by it."""
    sim.fleet(nodes=12, non_compliant=0)
    slow = make_sim("--nodes", "12")
    slow.fault("delay", delay_ms=4000, times=0)
    pw.source(sim, name="fine")
    pw.source("http://127.0.0.1:9", name="dead", retries=0)
    pw.source(slow, name="slow")
    pw.sources.pop("prod")
    pw.write_config()
    pw.start()
    pw.wait_rows("SELECT count(*) FROM sweep JOIN source USING (source_id) WHERE name = 'fine' AND outcome = 'complete'"
                 " HAVING count(*) >= 2")
    key = sim.flip_to(1, "non_compliant")
    pw.wait_rows("SELECT 1 FROM event WHERE type LIKE '%node.non_compliant'")
    assert pw.changes() == [(NON, key)]
    assert pw.value("SELECT count(*) FROM sweep JOIN source USING (source_id) WHERE name = 'dead' AND outcome = 'failed'") \
        >= 2
    assert pw.value("SELECT count(*) FROM sweep JOIN source USING (source_id) WHERE name = 'slow'"
                    " AND outcome = 'complete'") == 0


def test_one_machine_in_two_sources(pw, sim):
    """Two sources that watch the same machines have a node each, and each tells of its own."""
    sim.fleet(nodes=5, non_compliant=0)
    pw.source(sim, name="other")
    pw.sweeps(1)
    key = sim.flip_to(1, "non_compliant")
    pw.sweeps(1)
    events = pw.events(NON)
    assert sorted(event["source"] for event in events) == ["/patchwatch/other", "/patchwatch/prod"]
    assert {event["subject"] for event in events} == {key}
    assert len({event["id"] for event in events}) == 2


def test_once_says_whether_all_was_complete(pw, sim):
    """--once exits 75 where one of several sources is incomplete or failed, and 0 where all are complete."""
    sim.fleet(nodes=5)
    pw.source(sim, name="other")
    assert pw.once() == 0
    pw.source("http://127.0.0.1:9", name="dead", retries=0)
    assert pw.once() == 75
    assert pw.last_sweep("prod")["outcome"] == "complete"


# Reload

def test_reload_takes_new_sources_and_rules(running, sim, make_sim):
    """After SIGHUP a new source is watched, a removed one is left alone, and new rules apply; no restart is seen."""
    more = make_sim("--nodes", "7", "--non-compliant", "0")
    running.source(more, name="more")
    running.record_all()
    running.send_signal(signal.SIGHUP)
    running.wait_rows("SELECT 1 FROM source WHERE name = 'more' AND baseline_at IS NOT NULL")
    keys = {sim.flip_to(1, "non_compliant"), more.flip_to(2, "non_compliant")}
    running.wait_rows("SELECT count(*) FROM delivery WHERE state = 'delivered' HAVING count(*) = 2")
    assert {call["env"]["PATCHWATCH_NODE_KEY"] for call in running.hook_calls()} == keys
    running.sources.pop("more")
    running.write_config()
    running.send_signal(signal.SIGHUP)
    wait_until(lambda: stays_quiet(more), "no more requests to the removed source")
    running.wait_sweeps(1)
    assert running.process.poll() is None


def stays_quiet(sim):
    before = sim.state()["api_requests"]
    time.sleep(1.3)
    return sim.state()["api_requests"] == before


@pytest.mark.parametrize("spoilt", ["ini", "alerts", "gone"])
def test_reload_of_a_bad_file_changes_nothing(pw, sim, spoilt):
    """After SIGHUP with a mistake in a file the daemon says where it is and goes on as before, hooks and all."""
    sim.fleet(nodes=12, non_compliant=0)
    pw.record_all()
    pw.start()
    pw.wait_rows("SELECT 1 FROM source WHERE baseline_at IS NOT NULL")
    if spoilt == "ini":
        pw.config.write_text(pw.config.read_text() + "nonsense = 1\n")
    elif spoilt == "alerts":
        pw.alerts.write_text("version: 1\nhoks: {}\n")
    else:
        pw.config.unlink()
    pw.send_signal(signal.SIGHUP)
    pw.wait_log(re.escape(str(pw.alerts if spoilt == "alerts" else pw.config)) + (r":\d+: " if spoilt != "gone" else ""))
    key = sim.flip_to(1, "non_compliant")
    pw.wait_rows("SELECT 1 FROM delivery WHERE state = 'delivered'")
    assert [call["env"]["PATCHWATCH_NODE_KEY"] for call in pw.hook_calls()] == [key]
    pw.write_config()
    pw.record_all()
    pw.send_signal(signal.SIGHUP)
    pw.wait_sweeps(1)


def test_many_reloads_at_once(running, sim):
    """A burst of SIGHUPs, in the middle of sweeps and hooks, neither loses an event nor ends the daemon."""
    running.write_alerts({"rec": (running.command("sleep", "0.2"), "20s")}, {"all": (ANY, ["rec"])})
    running.send_signal(signal.SIGHUP)
    running.wait_sweeps(1)
    flips = sim.flip(count=8, to="non_compliant")
    began = time.monotonic()
    while time.monotonic() - began < 2:
        running.send_signal(signal.SIGHUP)
        time.sleep(0.03)
    running.wait_rows("SELECT count(*) FROM delivery WHERE state = 'delivered' HAVING count(*) = 8")
    assert sorted(running.changes()) == sorted((NON, node["key"]) for node in flips)
    assert running.process.poll() is None


def test_frequent_reloads_do_not_put_off_the_sweeps(running, sim):
    """Somebody who reloads more often than `interval` does not keep the daemon from looking: the alarm still comes."""
    key = sim.flip_to(1, "non_compliant")

    def reload_and_look():
        running.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        return running.changes()

    assert wait_until(reload_and_look, "the alarm in spite of reloads", 6) == [(NON, key)]


def test_reload_keeps_what_was_counted(pw, sim):
    """A SIGHUP between two sweeps does not make the counting of missing_after or confirm begin anew."""
    sim.fleet(nodes=12, non_compliant=0)
    pw.source(sim, missing_after=3, interval="1s")
    pw.start()
    pw.wait_rows("SELECT 1 FROM source WHERE baseline_at IS NOT NULL")
    sim.control("remove", index=2)
    before = pw.value("SELECT max(sweep_id) FROM sweep")
    for _ in range(2):
        pw.wait_sweeps(1)
        pw.send_signal(signal.SIGHUP)
    event = pw.wait_rows("SELECT * FROM event WHERE type LIKE '%node.missing'")[0]
    assert event["sweep_id"] - before <= 4


# Secrets and the log

def test_secrets_do_not_reach_the_log(pw, sim):
    """Neither a key in a secret file nor a password that somebody wrote into a URL is printed back."""
    secret = pw.directory / "key"
    secret.write_text("s3cr3t-key\n", encoding="utf-8")
    secret.chmod(0o600)
    pw.source(sim, auth="aksk", access_key_file=secret, secret_key_file=secret)
    pw.source("https://somebody:hunter2@coc.example.com", name="url")
    pw.source(sim, name="proxied", proxy="http://somebody:hunter2@proxy.example.com:3128")
    code, text = pw.check()
    assert code == 78
    assert pw.once() == 78
    for word in ("s3cr3t-key", "hunter2"):
        assert word not in text + pw.log_text()


def test_secret_file_that_others_may_read_is_refused(pw, sim):
    """A secret file with mode 0644 is an error that names the file."""
    secret = pw.directory / "key"
    secret.write_text("s3cr3t-key\n", encoding="utf-8")
    secret.chmod(0o644)
    pw.source(sim, auth="token", token_file=secret)
    code, text = pw.check()
    assert code == 78 and str(secret) in text and "s3cr3t" not in text


def test_log_levels(pw, sim):
    """With log_level = warning a good sweep says nothing; with debug it says more than with info."""
    sim.fleet(nodes=5)
    sizes = {}
    for level in ("warning", "info", "debug"):
        pw.daemon["log_level"] = level
        pw.write_config()
        before = len(pw.log_text())
        pw.sweeps(1)
        sizes[level] = len(pw.log_text()) - before
    assert sizes["warning"] == 0 < sizes["info"] < sizes["debug"]


def test_log_says_how_a_sweep_went(pw, sim):
    """An operator sees in the log which source was swept, how it ended and why it was not complete."""
    sim.fleet(nodes=30)
    pw.source(sim, retries=0, offset="page")
    sim.fault("status", status=403, page=2, times=0)
    assert pw.once() == 75
    line = [line for line in pw.log_text().splitlines() if "incomplete" in line][0]
    assert "prod" in line and "warning" in line
