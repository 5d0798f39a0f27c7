"""The command patchwatch: what it says, with the daemon running or stopped, to people, pipes and programs."""

import fcntl
import json
import os
import pty
import random
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from harness import BUILT, SANITIZER_ENV, wait_until

ROOT = Path(__file__).resolve().parents[2]
PATCHWATCH = os.environ.get("PATCHWATCH", str(BUILT / "patchwatch"))
COMMANDS = ["status", "nodes", "node", "events", "sweeps", "at", "deliveries", "mute", "ack", "unack", "sweep", "reload", "hook", "rules", "backup", "verify"]
READING = [["status"], ["nodes"], ["events"], ["sweeps"], ["at", "now"], ["deliveries"], ["deliveries", "--state", "all"],
           ["mute", "list", "--all"]]
NON = "node.non_compliant"


def environment(**more):
    return {**os.environ, **SANITIZER_ENV, "TZ": "UTC", **more}


def run(*arguments, **more):
    """Exit code, stdout, stderr."""
    done = subprocess.run([PATCHWATCH, *map(str, arguments)], capture_output=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
                          env=environment(**more))
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def ask(pw, *arguments, code=0, **more):
    """What the command prints; it must exit with code and say nothing on stderr."""
    got, out, err = run("--config", pw.config, *arguments, **more)
    assert (got, err) == (code, ""), f"{arguments}: {got} {err}\n{out}"
    return out


def ask_json(pw, *arguments, code=0):
    """The document; one line."""
    out = ask(pw, "--json", *arguments, code=code)
    assert out.count("\n") == 1 and out.endswith("\n")
    return json.loads(out)


def on_terminal(pw, columns, *arguments, **more):
    """What the command writes to a terminal of that width."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    env = {key: value for key, value in environment(**{"TERM": "xterm", **more}).items() if key != "COLUMNS"}
    with subprocess.Popen([PATCHWATCH, "--config", str(pw.config), *arguments], stdout=other, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, env=env) as process:
        os.close(other)
        out = b""
        while True:
            try:
                part = os.read(main, 65536)
            except OSError:
                break
            if not part:
                break
            out += part
        assert process.wait(60) in (0, 1)
        assert process.stderr.read() == b""
    os.close(main)
    return out.decode().replace("\r\n", "\n")


def change(pw, sql):
    """Changes the database of a stopped daemon."""
    connection = sqlite3.connect(pw.database)
    with connection:
        connection.execute(sql)
    connection.close()


@pytest.fixture(name="told")
def told_fixture(pw, sim):
    """Twelve nodes; one of them turned bad, which a hook was told."""
    sim.fleet(nodes=12, non_compliant=0)
    pw.record_all()
    pw.sweeps(1)
    pw.bad = sim.flip_to(3, "non_compliant")
    pw.sweeps(1)
    return pw


# The command line


def test_usage_errors():
    """What cannot be understood exits with 64 and says what would do; an unknown command lists those there are."""
    for arguments in ([], ["moot", "list"], ["stauts"], ["--nope"], ["nodes", "--nope"], ["node"], ["at"], ["at", "now", "then"],
                      ["status", "now"], ["--config", "a", "--database", "b", "status"], ["--config"]):
        code, out, err = run(*arguments)
        assert (code, out) == (64, ""), arguments
        assert "patchwatch --help" in err
    err = run("moot")[2]
    assert all(re.search(rf"^  {name} ", err, re.M) for name in COMMANDS)
    assert "do you mean 'status'?" in run("stauts")[2]


def test_bad_values(told):
    """Values that mean nothing are refused, not taken for nothing found."""
    for arguments in (["nodes", "--status", "bad"], ["events", "--since", "soon"], ["at", "2026-02-30"], ["sweeps", "--limit", "many"],
                      ["sweeps", "--limit", "-1"], ["deliveries", "--state", "lost"], ["deliveries", "--since", "1h"]):
        code, out, err = run("--config", told.config, *arguments)
        assert (code, out) == (64, ""), arguments
        assert err


def test_help_and_version():
    """--help and --version print to stdout, for each command too, and need no database."""
    assert run("--version")[:2] == (0, run("nodes", "--version")[1])
    assert re.fullmatch(r"patchwatch \d+\.\d+\.\d+\n", run("--version")[1])
    for name in COMMANDS:
        code, out, err = run(name, "--help")
        assert (code, err) == (0, "") and out.startswith(f"Usage: patchwatch {name}")
        assert name in run("--help")[1]


def table():
    """Commands and options of the program's own table, as {command: [options]}; "-" are those of all."""
    rows = [line.split("\t") for line in run("--complete-table")[1].splitlines()]
    found = {"-": []} | {row[1]: [] for row in rows if row[0] == "command"}
    for row in rows:
        if row[0] == "option":
            found[row[1]].append(row[2])
    return found


def test_everything_is_documented():
    """Each command and option is in the man page, in docs/patchwatch.md and in the completions."""
    page = (ROOT / "docs/man/patchwatch.1").read_text(encoding="utf-8")
    text = (ROOT / "docs/patchwatch.md").read_text(encoding="utf-8")
    found = table()
    assert sorted(found) == sorted(["-", *COMMANDS])
    for command, options in found.items():
        part = text
        if command != "-":
            head = re.search(rf"^\.It Cm {command}\b.*$", page, re.M)
            assert head, f"{command}: docs/man/patchwatch.1"
            assert all(f"Fl {option[1:]}" in head[0] for option in options), f"{command}: docs/man/patchwatch.1: {options}"
            part = re.search(rf"^## {command}\b.*?(?=^## )", text, re.M | re.S)
            assert part, f"{command}: docs/patchwatch.md"
            part = part[0]
        for option in options:
            assert f"Fl {option[1:]}" in page, f"{option}: docs/man/patchwatch.1"
            assert f"`{option}" in part, f"{option} of {command}: docs/patchwatch.md"
    assert subprocess.run([sys.executable, ROOT / "etc/completion/generate", PATCHWATCH, "--check"], check=False).returncode == 0


def complete(*words):
    script = (f"source {ROOT}/etc/completion/patchwatch.bash; COMP_WORDS=(patchwatch {' '.join(words)}); "
              f"COMP_CWORD={len(words)}; _patchwatch; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split()


def test_completion():
    """bash completes commands, a command's own options, and words."""
    assert complete("ev") == ["events"]
    assert complete("--database", "status", "no") == ["nodes", "node"]
    assert complete("nodes", "--st") == ["--status"]
    assert complete("sweeps", "--st") == []
    assert complete("mute", "") == ["add", "list", "remove"]
    assert complete("mute", "add", "") == []
    assert complete("nodes", "--status", "non") == ["non_compliant"]
    assert "--json" in complete("status", "--")


def test_types_that_complete_are_those_that_exist():
    """The words for --type are the types of docs/events.md."""
    row = next(line for line in run("--complete-table")[1].splitlines() if line.startswith("option\tevents\t--type"))
    documented = re.findall(r"^\| `((?:node|source|fleet)\.[a-z_]+)` \|", (ROOT / "docs/events.md").read_text(encoding="utf-8"), re.M)
    assert set(row.split("\t")[4].split()) == set(documented)


# Where the history is


def test_config_without_secrets(told):
    """The path comes from the configuration even where its secret files and alerts cannot be read; conf.d counts."""
    told.source("https://coc.example", name="cloud", auth="aksk", access_key_file="none", secret_key_file="none")
    told.alerts.write_text("nonsense", encoding="utf-8")
    assert len(ask_json(told, "nodes")["nodes"]) == 12
    folder = told.directory / "conf.d"
    folder.mkdir()
    (folder / "1.ini").write_text(f"[daemon]\ndatabase = {told.directory}/other.db\n", encoding="utf-8")
    code, out, err = run("--config", told.config, "nodes")
    assert (code, out) == (66, "") and "other.db" in err


def test_no_configuration_and_no_database(tmp_path):
    """A missing configuration is 78, a missing database 66, a file that is none 78; nothing is made or changed."""
    assert run("--config", tmp_path / "none.ini", "status")[0] == 78
    (tmp_path / "bad.ini").write_text("[daemon]\ndatabase = relative.db\n", encoding="utf-8")
    code, _, err = run("--config", tmp_path / "bad.ini", "status")
    assert code == 78 and "bad.ini:2" in err
    assert run("--database", tmp_path / "none.db", "status")[0] == 66
    foreign = tmp_path / "foreign.db"
    foreign.write_text("no database at all, but long enough to look like one" * 40, encoding="utf-8")
    assert run("--database", foreign, "status")[0] == 78
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.ini", "foreign.db"]


def test_reads_only(told):
    """No command changes the database, and all work without a daemon."""
    before = told.database.read_bytes()
    for arguments in READING:
        run("--config", told.config, *arguments)
    assert told.database.read_bytes() == before


# status


def test_status_of_a_running_daemon(pw, sim):
    """Running, fresh, nothing broken, everyone told: exit code 0, and it says so."""
    sim.fleet(nodes=5, non_compliant=0)
    pw.source(sim, interval="1m")
    pw.start()
    pw.wait_rows("SELECT 1 FROM source WHERE baseline_at IS NOT NULL")
    status = ask_json(pw, "status")
    assert status["daemon"] == {"state": "running", "pid": pw.process.pid, "database": str(pw.database)}
    assert (status["ok"], status["wrong"]) == (True, [])
    assert status["wal_bytes"] == pw.database.with_name(pw.database.name + "-wal").stat().st_size > 0
    source = status["sources"][0]
    assert (source["source"], source["outcome"], source["records"], source["interval_ms"]) == ("prod", "complete", 5, 60000)
    assert source["next_at"] == source["started_at"] + 60000
    assert status["fleet"]["all"] == {"nodes": 5, "compliant": 5, "non_compliant": 0, "unknown": 0, "missing": 0}
    text = ask(pw, "status")
    assert f"patchwatchd is running (pid {pw.process.pid})" in text
    assert "No machine is non-compliant" in text and "Yes, nobody is owed anything" in text
    assert pw.stop() == 0
    text = ask(pw, "status", code=1)
    assert "patchwatchd IS NOT RUNNING" in text and "WRONG: patchwatchd is not running" in text


def test_status_disturbs_no_starting_daemon(pw, sim):
    """However often status is asked, a daemon gets its lock."""
    sim.fleet(nodes=3)
    pw.sweeps(1)
    asking = [subprocess.Popen(["bash", "-c", f"for i in {{1..12}}; do {PATCHWATCH} --config {pw.config} status; done"],
                               stdout=subprocess.DEVNULL, env=environment()) for _ in range(2)]
    pw.sweeps(4)
    for process in asking:
        process.wait(60)


def test_status_of_problems(told):
    """The newest problems stand there with their counts; the last lines say that they were told."""
    status = ask_json(told, "status", code=1)
    problem = status["problems"][0]
    assert (problem["source"], problem["node_key"]) == ("prod", told.bad)
    assert problem["status_since_utc"].endswith("Z") and problem["region"]
    assert status["told"]["transitions"] == 1 and status["told"]["told"] == 1
    text = ask(told, "status", code=1)
    assert "Last 24h: 1 change of status; 1 told to all who are owed it." == text.splitlines()[-1]


def test_status_of_many_problems(pw, sim):
    """At most ten are shown, the rest is counted."""
    sim.fleet(nodes=14, non_compliant=100)
    pw.sweeps(1)
    assert len(ask_json(pw, "status", code=1)["problems"]) == 10
    assert "and 4 more: patchwatch nodes --status non_compliant" in ask(pw, "status", code=1)


def test_status_of_a_failing_source(pw, sim):
    """A source that fails is named with its reason and since when; one failed sweep alone is no alarm."""
    sim.fleet(nodes=3, non_compliant=0)
    pw.source(sim, retries=0, interval="1m", failing_after=2)
    pw.sweeps(1)
    sim.fault("status", status=500, times=0)
    pw.once()
    assert ask_json(pw, "status", code=1)["sources"][0]["failing"] is False
    pw.once()
    status = ask_json(pw, "status", code=1)
    source = status["sources"][0]
    assert (source["outcome"], source["failing"], source["failed_sweeps"]) == ("failed", True, 2)
    assert any("source prod has been failing since" in line and source["reason"] in line for line in status["wrong"])
    assert "FAILING since" in ask(pw, "status", code=1)


def test_status_of_a_stale_source(pw, sim):
    """The last complete sweep may be three intervals old, not more."""
    sim.fleet(nodes=3)
    pw.source(sim, interval="1s")
    pw.sweeps(1)
    wait_until(lambda: ask_json(pw, "status", code=1)["sources"][0]["stale"], "staleness")
    assert "the last complete sweep ended" in ask(pw, "status", code=1)
    pw.source(sim, interval="1h")
    assert ask_json(pw, "status", code=1)["sources"][0]["stale"] is False


def test_status_of_sources_that_come_and_go(told, sim):
    """A configured source that was never swept is shown; one that is no longer configured is, too, and alarms nobody."""
    told.source(sim, name="new")
    told.sources["other"] = told.sources.pop("prod")
    told.write_config()
    sources = {source["source"]: source for source in ask_json(told, "status", code=1)["sources"]}
    assert sources["prod"]["configured"] is False and sources["prod"]["stale"] is False
    assert sources["new"]["outcome"] is None and set(sources["new"]) == set(sources["prod"])
    assert (sources["new"]["failing"], sources["new"]["stale"], sources["new"]["configured"], sources["new"]["next_at"]) == (
        False, False, True, None)
    assert any("source new is configured and has never been swept" in line for line in ask_json(told, "status", code=1)["wrong"])
    text = ask(told, "status", code=1)
    assert "no longer configured" in text and "never swept" in text
    known = json.loads(run("--database", told.database, "--json", "status")[1])["sources"]
    assert [(source["source"], source["configured"], source["next_at"]) for source in known] == [("prod", None, None)]


def test_status_of_deliveries(told):
    """What waits and what was given up is told by hook, with the last error; only the latter is wrong by itself."""
    change(told, "UPDATE delivery SET state = 'pending', delivered_at = NULL, last_error = 'no route', attempts = 3")
    status = ask_json(told, "status", code=1)
    assert [(row["hook"], row["state"], row["deliveries"], row["last_error"]) for row in status["backlog"]] == [
        ("rec", "pending", 1, "no route")]
    assert not any("given up" in line for line in status["wrong"])
    assert "Was everyone told? Not yet: 1 waiting" in ask(told, "status", code=1)
    change(told, "UPDATE delivery SET state = 'dead'")
    assert any("1 delivery was given up" in line for line in ask_json(told, "status", code=1)["wrong"])
    assert "Was everyone told? NO: 1 given up" in ask(told, "status", code=1)


# nodes, node


def test_nodes(told, sim):
    """All machines, the worst first; the filters and their totals."""
    key = sim.truth()[7]["key"]
    told.source(sim, missing_after=1)
    sim.control("remove", index=7)
    told.sweeps(1)
    answer = ask_json(told, "nodes")
    assert answer["nodes"][0]["node_key"] == told.bad
    assert answer["totals"] == {"non_compliant": 1, "unknown": 0, "missing": 1, "compliant": 10}
    assert [node["node_key"] for node in ask_json(told, "nodes", "--status", "missing")["nodes"]] == [key]
    assert [node["node_key"] for node in ask_json(told, "nodes", "--status", "non_compliant")["nodes"]] == [told.bad]
    node = answer["nodes"][0]
    assert ask_json(told, "nodes", "--match", node["name"])["nodes"][0]["node_key"] == told.bad
    assert ask_json(told, "nodes", "--match", f"*{node['instance_id'][-8:]}")["nodes"][0]["node_key"] == told.bad
    assert ask_json(told, "nodes", "--match", "nothing*")["nodes"] == []
    regions = ask_json(told, "nodes", "--region", node["region"])["nodes"]
    assert regions and {one["region"] for one in regions} == {node["region"]}
    scenes = ask_json(told, "nodes", "--scene", node["report_scene"])["nodes"]
    assert scenes and {one["report_scene"] for one in scenes} == {node["report_scene"]}
    assert ask(told, "nodes").splitlines()[-1] == "12 machines: 1 non_compliant, 0 unknown, 1 missing, 10 compliant"


def test_node(told):
    """By key, instance id and name: the same machine with its reports, its timeline and who was told."""
    answer = ask_json(told, "node", told.bad)
    node = answer["node"]
    assert (node["node_key"], node["status"]) == (told.bad, "non_compliant")
    assert answer == ask_json(told, "node", node["instance_id"]) == ask_json(told, "node", node["name"])
    assert [report["status"] for report in answer["reports"]] == ["non_compliant"]
    assert [line["what"] for line in answer["timeline"]] == ["report", "report", "event", "delivery"]
    assert [(line["type"], line["hook"], line["state"]) for line in answer["told"]] == [(NON, "rec", "delivered")]
    text = ask(told, "node", told.bad)
    assert f"{node['name']}: non_compliant" in text and "Who was told" in text
    shown = ask(told, "node", told.bad, "--limit", "1")
    assert "3 older lines not shown" in shown
    code, out, err = run("--config", told.config, "node", "nobody")
    assert (code, out) == (1, "") and "nobody" in err


def test_node_of_several(told, sim):
    """A name that several machines have lists them; a key that several sources know asks for the source."""
    for index in (1, 2):
        sim.control("set", index=index, name="twin", report_time=1768600000000)
    told.source(sim, name="again")
    told.sweeps(1)
    code, out, err = run("--config", told.config, "--json", "node", "twin", "--source", "prod")
    assert code == 1 and "several machines" in err
    assert {node["name"] for node in json.loads(out)["candidates"]} == {"twin"} and len(json.loads(out)["candidates"]) == 2
    assert run("--config", told.config, "node", told.bad)[0] == 1
    assert ask_json(told, "node", told.bad, "--source", "again")["node"]["source"] == "again"


def test_hostile_names(pw, sim):
    """A name that would steer a terminal or forge a line is escaped in tables, and is itself in JSON."""
    name = "\x1b[2J\x1b]0;owned\x07\nprod-1 compliant\u202e"
    sim.fleet(nodes=1)
    sim.record(instance_id="i-1", name=name, region="r\t1", baseline_name="\x1b[0m", status="non_compliant")
    pw.sweeps(1)
    for arguments in (["nodes"], ["node", "ECS/i-1"], ["status"], ["at", "now"]):
        out = run("--config", pw.config, *arguments)[1]
        assert "\\x1B[2J" in out and not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", out), arguments
    assert name in [node["name"] for node in ask_json(pw, "nodes")["nodes"]]


# events, sweeps, deliveries


def test_events(told):
    """By time, type and machine; each with its CloudEvent."""
    every = ask_json(told, "events")["events"]
    assert [event["type"] for event in every] == ["source.baseline", NON]
    assert [event["cloudevent"]["type"] for event in every] == ["io.patchwatch.source.baseline", "io.patchwatch." + NON]
    assert every[1]["cloudevent"] == json.loads(told.value("SELECT data FROM event WHERE type LIKE '%non_compliant'"))
    for kind in (NON, "io.patchwatch." + NON, "node.*"):
        assert ask_json(told, "events", "--type", kind)["events"] == every[1:]
    assert ask_json(told, "events", "--node", told.bad)["events"] == every[1:]
    change(told, "UPDATE event SET recorded_at = recorded_at - 86400000 * 2")
    assert ask_json(told, "events")["events"] == [] and ask(told, "events") == "no events\n"
    assert len(ask_json(told, "events", "--since", "3d")["events"]) == 2
    assert len(ask_json(told, "events", "--node", told.bad)["events"]) == 1
    assert ask_json(told, "events", "--node", told.bad, "--since", "1h")["events"] == []


def test_events_follow(pw, sim):
    """--follow prints what comes while it comes, as JSON or as text, and ends quietly when nobody reads any more."""
    sim.fleet(nodes=5, non_compliant=0)
    pw.sweeps(1)
    arguments = [PATCHWATCH, "--config", str(pw.config), "events", "--follow"]
    with subprocess.Popen([*arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as one, \
         subprocess.Popen([*arguments, "--type", "node.*"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as two:
        assert json.loads(one.stdout.readline())["type"] == "source.baseline"
        for status, kind in (("non_compliant", NON), ("compliant", "node.compliant")):
            key = sim.flip_to(2, status)
            pw.sweeps(1)
            event = json.loads(one.stdout.readline())
            assert (event["type"], event["node_key"], event["cloudevent"]["subject"]) == (kind, key, key)
            line = two.stdout.readline().decode()
            assert kind in line and key in line and "\x1b" not in line
        one.stdout.close()
        assert one.wait(20) == 0 and one.stderr.read() == b""
        two.send_signal(signal.SIGINT)
        assert two.wait(20) == -signal.SIGINT
    assert pw.changes() == [(NON, key), ("node.compliant", key)]


def test_sweeps(told, sim):
    """The newest first, as many as are asked for, of one source or all."""
    sim.fault("status", status=500, times=0)
    told.source(sim, retries=0)
    told.once()
    outcomes = [sweep["outcome"] for sweep in ask_json(told, "sweeps")["sweeps"]]
    assert outcomes == ["failed", "complete", "complete"]
    assert [sweep["sweep_id"] for sweep in ask_json(told, "sweeps", "--source", "prod", "--limit", "2")["sweeps"]] == [3, 2]
    assert "failed" in ask(told, "sweeps", "--limit", "0")


def test_deliveries(told):
    """What is owed by default; the rest by state."""
    assert ask_json(told, "deliveries")["deliveries"] == []
    assert ask(told, "deliveries") == "nothing waits, nothing was given up\n"
    done = ask_json(told, "deliveries", "--state", "delivered")["deliveries"]
    assert [(row["hook"], row["type"], row["node_key"]) for row in done] == [("rec", NON, told.bad)]
    assert ask_json(told, "deliveries", "--state", "all", "--since", "1h")["deliveries"] == done
    change(told, "UPDATE delivery SET state = 'dead', delivered_at = NULL, last_error = 'HTTP 500'")
    assert ask_json(told, "deliveries")["deliveries"][0]["last_error"] == "HTTP 500"
    assert ask_json(told, "deliveries", "--state", "pending")["deliveries"] == []
    assert "dead" in ask(told, "deliveries", "--state", "dead")


# at


def test_at_is_what_a_model_says(pw, sim):
    """Random histories through the real daemon: at every instant between sweeps the fleet is what a model remembers."""
    chance = random.Random(20261124)
    rank = ["missing", "unknown", "compliant", "non_compliant"]
    records, moments, seen = {}, [], set()
    pw.source(sim, missing_after=1, page_size=100)
    for step in range(30):
        for machine in range(8):
            for baseline in range(2):
                if chance.random() < 0.4:
                    status = chance.choice(["compliant", "non_compliant", "unknown", None])
                    records[machine, baseline] = status and (status, 1768435200000 + step * 1000)
        records["fixed", 0] = ("compliant", 1768435200000)
        sim.control("record/drop")
        for (machine, baseline), record in records.items():
            if record:
                sim.record(instance_id=f"i-{machine}", baseline_id=f"b{baseline}", id=f"{machine}-{baseline}", status=record[0],
                           report_time=record[1])
        begin = int(time.time() * 1000)
        pw.sweeps(1)
        now = {}
        for (machine, _), record in records.items():
            key = f"ECS/i-{machine}"
            now[key] = max(now.get(key, 0), rank.index(record[0]) if record else 0)
            if record:
                seen.add(key)
        state = {key: rank[value] for key, value in now.items() if key in seen}
        moments.append((begin, int(time.time() * 1000) + 1, state))
        time.sleep(0.005)
    assert sum(len(set(state.values())) == 4 for _, _, state in moments) > 5  # the histories are worth the name
    for number, (_, after, state) in enumerate(moments):
        until = moments[number + 1][0] if number + 1 < len(moments) else after + 1
        moment = chance.randrange(after, until) if after < until else after
        answer = ask_json(pw, "at", str(moment))
        assert {node["node_key"]: node["status"] for node in answer["nodes"]} == state, f"step {number}, {moment}"
        assert answer["totals"] == {status: list(state.values()).count(status) for status in answer["totals"]}
    now = {node["node_key"]: node["status"] for node in ask_json(pw, "nodes")["nodes"]}
    assert now == {node["node_key"]: node["status"] for node in ask_json(pw, "at", "now")["nodes"]}


def test_at_outside_of_the_history(told):
    """Before the first sweep nothing was known, which is refused; of the future nothing is, which is said."""
    code, out, err = run("--config", told.config, "at", "2020-01-01")
    assert (code, out) == (1, "") and "the history begins at" in err
    begin = re.search(r"begins at (.*?);", err)[1]
    time.sleep(1)
    assert "12 machines" in ask(told, "at", begin)
    code, out, err = run("--config", told.config, "--json", "at", "2099-01-01")
    assert code == 0 and len(json.loads(out)["nodes"]) == 12 and "future" in err


def test_local_time(told):
    """Times are local and can be given back; --utc overrides TZ."""
    change(told, "UPDATE node SET first_seen_at = first_seen_at - 1000")
    stamp = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d"
    assert re.search(stamp + r"\+08:00", ask(told, "sweeps", TZ="CST-8"))
    assert re.search(stamp + r"Z", ask(told, "sweeps", "--utc", TZ="CST-8"))
    first = re.search(stamp + r"\+08:00", ask(told, "sweeps", TZ="CST-8"))[0]
    assert json.loads(run("--config", told.config, "--json", "at", first)[1])["at"] // 1000 == told.value("SELECT max(started_at) FROM sweep") // 1000


# Pipes, terminals, programs


def test_pipes(pw, sim):
    """Nothing is cut or coloured in a pipe, a closed one is no error, a full disk is one."""
    sim.fleet(nodes=3000)
    pw.source(sim, page_size=100)
    pw.sweeps(1)
    out = ask(pw, "nodes", TERM="xterm", COLUMNS="40")
    assert "\x1b" not in out and "…" not in out and out.count("\n") == 3003
    for arguments in (["nodes"], ["nodes", "--json"]):
        script = f"{PATCHWATCH} --config {pw.config} {' '.join(arguments)} | head -c 100 >/dev/null; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env=environment())
        assert (done.stdout, done.stderr) == ("0\n", ""), arguments
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([PATCHWATCH, "--config", str(pw.config), *arguments], stdout=full, stderr=subprocess.PIPE,
                                  env=environment(), check=False)
        assert done.returncode == 74 and b"No space left" in done.stderr


def width(line):
    """Columns on a terminal; the names of the tests have East Asian characters only."""
    return sum(2 if ord(character) >= 0x1100 and character != "…" and not 0x2000 <= ord(character) < 0x2E80 else 1 for character in line)


@pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
def test_fits_the_terminal(told, sim, columns):
    """No line of a table is wider than the terminal, and names are still there."""
    sim.record(instance_id="i-cjk", name="生产环境数据库服务器一号" * 3, region="cn-north-4", status="non_compliant")
    told.sweeps(1)
    for arguments in (["nodes"], ["sweeps"], ["events", "--since", "1d"], ["deliveries", "--state", "all"], ["node", told.bad],
                      ["at", "now"]):
        out = re.sub(r"\x1b\[[\d;]*m", "", on_terminal(told, columns, *arguments))
        tables = [line for line in out.split("\n") if not line.startswith(("12", "13"))]
        assert all(width(line) <= max(columns, 60) for line in tables), out
    assert "生产环境数据库" in on_terminal(told, columns, "nodes")


def test_colour(told):
    """Colour on a terminal; not with NO_COLOR, nor on a dumb one, nor in a pipe."""
    assert "\x1b[1;31m" in on_terminal(told, 80, "nodes")
    assert "\x1b" not in on_terminal(told, 80, "nodes", NO_COLOR="1")
    assert "\x1b[" in on_terminal(told, 80, "nodes", NO_COLOR="")
    assert "\x1b" not in on_terminal(told, 80, "nodes", TERM="dumb")
    assert "\x1b" not in ask(told, "nodes")


def members(value):
    """Every member name of a document, the inner ones of cloudevent left out."""
    if isinstance(value, list):
        return set().union(*map(members, value))
    if not isinstance(value, dict):
        return set()
    return set(value).union(*(members(inner) for key, inner in value.items() if key != "cloudevent"))


def test_json_members_are_documented(told):
    """Each member that any command gives has its line in docs/patchwatch.md; a time has its text beside it."""
    text = (ROOT / "docs/patchwatch.md").read_text(encoding="utf-8").split("## JSON")[1]
    found = set()
    for arguments in (["mute", "add", "--all", "--for", "1h"], ["ack", told.bad], ["unack", told.bad], ["hook", "test", "rec"],
                      ["deliveries", "retry", "--dead"], *READING, ["node", told.bad], ["verify"], ["mute", "remove", "1"]):
        found |= members(json.loads(run("--config", told.config, "--json", *arguments)[1]))
    found |= members(json.loads(run("--config", told.config, "--json", "backup", told.directory / "copy.db")[1]))
    assert len(found) > 80
    for name in sorted(found):
        assert f"`{name.removesuffix('_utc')}`" in text, name
        if name.endswith(("_at", "_since", "_time", "valid_from", "valid_to")):
            assert name + "_utc" in found, name


# backup, verify


def test_backup_and_verify(told):
    """A copy while the daemon runs answers as the history does, and verifies; it does not replace a file unless told to."""
    told.source(next(iter(told.sources.values()))["endpoint"], interval="1h")
    told.start()
    told.wait_sweeps(1)
    copy = told.directory / "copy.db"
    assert "bytes" in ask(told, "backup", copy)
    code, _, err = run("--config", told.config, "backup", copy)
    assert code == 73 and str(copy) in err
    ask(told, "backup", copy, "--overwrite")
    one, two = (json.loads(run("--database", path, "--json", "nodes")[1]) for path in (told.database, copy))
    assert one == two and len(one["nodes"]) == 12
    assert ask_json(told, "verify")["ok"] is True
    assert "nothing is wrong" in ask(told, "verify")
    assert told.stop() == 0
    change(told, "UPDATE event SET cause = 'nothing' WHERE type LIKE '%non_compliant'")
    found = ask_json(told, "verify", code=1)
    assert found["ok"] is False and any(finding["check"] == "chain" for finding in found["findings"])
    assert "WRONG" in ask(told, "verify", code=1)
    assert json.loads(run("--database", copy, "--json", "verify")[1])["ok"] is True
