"""Starts the real programs in a temporary folder: the simulated API, patchwatchd, and a recording hook.

Sim steers one coc-sim by its control interface; Watch writes the configuration of one patchwatchd, runs it and reads its
database. Whoever makes one calls close() on it; Watch.problems() then names what no test may leave behind.
"""

import http.client
import json
import os
import re
import signal
import sqlite3
import ssl
import subprocess
import time
import urllib.parse
from pathlib import Path

BUILT = Path(__file__).resolve().parents[2] / "build" / "dev" / "bin"
COC_SIM = os.environ.get("COC_SIM", str(BUILT / "coc-sim"))
PATCHWATCHD = os.environ.get("PATCHWATCHD", str(BUILT / "patchwatchd"))
HOOK_SCRIPT = Path(__file__).with_name("record_hook.py")
DEADLINE_S = 20.0
TYPE_PREFIX = "io.patchwatch."
TRANSITIONS = ("node.compliant", "node.non_compliant")
SANITIZER_MARKS = ("ERROR: AddressSanitizer", "runtime error:", "LeakSanitizer", "AddressSanitizer:DEADLYSIGNAL")
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:exitcode=99:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:exitcode=99",
}
FAST_SOURCE = {
    "auth": "none", "interval": "1s", "jitter": "0%", "timeout": "5s", "connect_timeout": "2s", "rate": "0",
    "retries": "1", "page_size": "10",
    # Small fleets of which many flip at once, sweep for sweep: what becomes of that is test_calm's.
    "mass_change": "0", "flap_window": "0",
}


def wait_until(condition, what, deadline_s=DEADLINE_S):
    """Polls until condition() is true and gives its value; fails after the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline_s:g} s in vain for: {what}")
        time.sleep(0.02)


def node_key(node):
    """The key that the contract gives a node of the simulator's answers."""
    scene = node["report_scene"] or "-"
    if scene == "CCE" and (node["cce_info_id"] or node["node_id"] or node["instance_id"]):
        return f"CCE/{node['cce_info_id'] or ''}/{node['node_id'] or node['instance_id'] or ''}"
    if node["instance_id"]:
        return f"{scene}/{node['instance_id']}"
    return f"id/{node['id']}"


def definite(status):
    """What the contract makes of a status as received."""
    return status if status in ("compliant", "non_compliant") else "unknown"


def processes_with(text):
    """Ids and command lines of the processes, ours excepted, whose command line contains text."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            command = Path("/proc", entry, "cmdline").read_bytes()
        except OSError:
            continue
        if text.encode() in command:
            found.append((int(entry), command.replace(b"\0", b" ").decode(errors="replace")))
    return found


class Sim:
    """A running coc-sim."""

    def __init__(self, directory, *options):
        given = dict(zip(options[::2], options[1::2]))
        self.host = given.get("--listen", "127.0.0.1")
        self.is_tls = "--tls-cert" in given
        port_file = Path(directory) / "port"
        port_file.unlink(missing_ok=True)
        self.process = subprocess.Popen([COC_SIM, "--port-file", str(port_file), *options],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.process.stdout.readline()
        self.port = int(port_file.read_text(encoding="ascii"))
        host = f"[{self.host}]" if ":" in self.host else self.host
        self.endpoint = f"http{'s' if self.is_tls else ''}://{host}:{self.port}{given.get('--path-prefix', '')}"

    def close(self):
        """Stops it; it must end well."""
        self.process.terminate()
        rest, _ = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, rest
        assert rest == b""

    def connect(self):
        if not self.is_tls:
            return http.client.HTTPConnection(self.host, self.port, timeout=20)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(self.host, self.port, timeout=20, context=context)

    def request(self, method, path, pairs=(), body=None):
        target = path + ("?" + urllib.parse.urlencode(pairs) if pairs else "")
        connection = self.connect()
        try:
            connection.request(method, target, body=body)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, f"{method} {target}: {answer.status} {text!r}"
            return text
        finally:
            connection.close()

    def control(self, path, /, body=None, **parameters):
        pairs = []
        for key, value in parameters.items():
            pairs += [(key, one) for one in (value if isinstance(value, list) else [value])]
        return json.loads(self.request("POST", "/sim/" + path, pairs, body))

    def fleet(self, **parameters):
        """A new fleet and nothing else: no records, no faults, no memory of requests."""
        self.control("clear")
        state = self.control("fleet", **{"offset_mode": "page", "seed": 1, "non_compliant": 10, **parameters})
        self.control("requests/clear")
        return state

    def flip(self, **parameters):
        """Flips nodes; gives the nodes touched, each with from, to and its key."""
        nodes = self.control("flip", **parameters)["nodes"]
        return [{**node, "key": node_key(node)} for node in nodes]

    def flip_to(self, index, status):
        """Flips one node to a status and gives its key."""
        return self.flip(index=index, to=status)[0]["key"]

    def record(self, **fields):
        """Adds one explicit record of an ECS node; None is null."""
        fields = {"report_scene": "ECS", "id": "r", "baseline_id": "b", "status": "compliant",
                  "report_time": 1768435200000, **fields}
        given = {key: value for key, value in fields.items() if value is not None}
        return self.control("record", **given)["record"]

    def fault(self, kind, **parameters):
        return self.control("fault", kind=kind, **parameters)

    def truth(self):
        """Every present node, with its key."""
        text = self.request("GET", "/sim/truth").decode()
        nodes = [json.loads(line) for line in text.split("\n") if line]
        return [{**node, "key": node_key(node)} for node in nodes]

    def state(self):
        return json.loads(self.request("GET", "/sim/state"))

    def requests(self, path="api"):
        """The last requests to that part, oldest first, as the simulator logs them."""
        return [one for one in json.loads(self.request("GET", "/sim/requests"))["requests"] if one["path"] == path]

    def queries(self):
        """The API's requests, oldest first, each as a dict of its parameters."""
        return [dict(urllib.parse.parse_qsl(request["query"], keep_blank_values=True)) for request in self.requests()]

    def iam_token(self, user="other"):
        """A token that IAM gives to a user made for it."""
        self.control("iam/user", domain="acme", user=user, password="pw")
        scope = {"domain": {"name": "acme"}}
        person = {"name": user, "password": "pw", "domain": {"name": "acme"}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": person}}, "scope": scope}}
        connection = self.connect()
        try:
            connection.request("POST", "/v3/auth/tokens", body=json.dumps(body), headers={"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 201
            return answer.headers["X-Subject-Token"]
        finally:
            connection.close()


class Watch:
    """One patchwatchd: its configuration, its runs, its database."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.database = self.directory / "history.db"
        self.config = self.directory / "patchwatch.ini"
        self.alerts = self.directory / "alerts.yaml"
        self.log = self.directory / "daemon.log"
        self.hook_log = self.directory / "hook.jsonl"
        self.daemon = {"database": self.database, "alerts": self.alerts, "control": ""}
        self.sources = {}
        self.process = None

    # Configuration

    def source(self, sim, name="prod", **options):
        """Adds or replaces a source. sim: a Sim, or a URL."""
        endpoint = getattr(sim, "endpoint", sim)
        options = {key.replace("filter_", "filter."): value for key, value in options.items()}
        self.sources[name] = {**FAST_SOURCE, "endpoint": endpoint, **options}
        self.write_config()

    def write_config(self):
        lines = ["[daemon]"] + [f"{key} = {value}" for key, value in self.daemon.items()]
        for name, options in self.sources.items():
            lines += ["", f"[source {name}]"] + [f"{key} = {value}" for key, value in options.items()]
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def secret(self, name, text, in_place=False):
        """Writes a secret file beside the ini file, at once as a careful administrator does, or in place; gives its name."""
        path = self.directory / name
        beside = path if in_place else path.with_name(path.name + ".new")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        if not in_place:
            beside.rename(path)
        return name

    def aksk(self, access_key="AK-1", secret_key="SK-1"):
        """Writes both key files; gives the options that name them."""
        return {"auth": "aksk", "access_key_file": self.secret("ak", access_key),
                "secret_key_file": self.secret("sk", secret_key)}

    def command(self, *options, log=None):
        """A hook's command: the script that records its input, and what else it shall do."""
        parts = ["/usr/bin/python3", "-ISE", str(HOOK_SCRIPT), str(log or self.hook_log), *options]
        return json.dumps(parts)

    def write_alerts(self, hooks, rules):
        """hooks: name to (command, timeout). rules: name to (match as YAML flow text, hook names)."""
        lines = ["version: 1", "hooks:"]
        lines += [f"  {name}: {{type: exec, command: {command}, timeout: {timeout}}}"
                  for name, (command, timeout) in hooks.items()]
        lines += ["rules:"]
        lines += [f"  - {{name: {name}, match: {match}, hooks: [{', '.join(names)}]}}"
                  for name, (match, names) in rules.items()]
        self.alerts.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def record_all(self, types="node.non_compliant, node.compliant"):
        """One hook that records all events of these types."""
        self.write_alerts({"rec": (self.command(), "20s")}, {"all": (f"{{type: [{types}]}}", ["rec"])})

    # Runs

    def spawn(self, *options, env=None):
        with open(self.log, "ab") as log:
            return subprocess.Popen([PATCHWATCHD, "--config", str(self.config), *options], stdout=log, stderr=log,
                                    stdin=subprocess.DEVNULL, env={**os.environ, **SANITIZER_ENV, **(env or {})})

    def once(self, env=None, timeout_s=60.0):
        """Runs --once to its end and gives the exit code (negative: the signal that ended it)."""
        process = self.spawn("--once", env=env)
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"--once still ran after {timeout_s:g} s:\n{self.tail()}") from None

    def sweeps(self, count):
        """Runs --once so many times; each must be complete."""
        for _ in range(count):
            code = self.once()
            assert code == 0, f"--once gave {code}:\n{self.tail()}"

    def run(self, *options):
        """Runs the program with these options only; gives exit code, stdout, stderr."""
        done = subprocess.run([PATCHWATCHD, *options], capture_output=True, timeout=30, check=False,
                              env={**os.environ, **SANITIZER_ENV})
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def check(self):
        """Runs --check; gives exit code and all that it printed."""
        code, out, err = self.run("--config", str(self.config), "--check")
        return code, out + err

    def start(self, env=None):
        """Starts the daemon; returns at once."""
        assert self.process is None
        self.process = self.spawn(env=env)

    def send_signal(self, number):
        os.kill(self.process.pid, number)

    def stop(self, how=signal.SIGTERM, deadline_s=DEADLINE_S):
        """Ends the daemon and gives its exit code."""
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(how)
        try:
            return process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the daemon did not end within {deadline_s:g} s:\n{self.tail()}") from None

    # What can be seen from outside

    def rows(self, sql, *values):
        """Rows of the database as a reader of the group gets them, as dicts."""
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=5)
        try:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, values)]
        finally:
            connection.close()

    def value(self, sql, *values):
        return next(iter(self.rows(sql, *values)[0].values()))

    def last_sequence(self):
        """The greatest event_id so far."""
        return self.value("SELECT ifnull(max(event_id), 0) FROM event")

    def events(self, *types, after=0):
        """The CloudEvents recorded after a sequence, oldest first; their short type as "kind"."""
        rows = self.rows("SELECT event_id, data FROM event WHERE event_id > ? ORDER BY event_id", after)
        found = [{**json.loads(row["data"]), "event_id": row["event_id"]} for row in rows]
        for event in found:
            event["kind"] = event["type"].removeprefix(TYPE_PREFIX)
        return [event for event in found if not types or event["kind"] in types]

    def changes(self, *types, after=0):
        """(kind, subject) of the events after a sequence, in order; the sources' own left out."""
        return [(event["kind"], event.get("subject")) for event in self.events(*types, after=after)
                if not event["kind"].startswith("source.")]

    def last_sweep(self, source="prod"):
        return self.rows("SELECT w.* FROM sweep AS w JOIN source AS s USING (source_id) WHERE s.name = ?"
                         " ORDER BY sweep_id DESC LIMIT 1", source)[0]

    def outcomes(self, source="prod"):
        """The outcomes of a source's sweeps, oldest first."""
        return [row["outcome"] for row in self.rows("SELECT outcome FROM sweep JOIN source USING (source_id)"
                                                    " WHERE name = ? ORDER BY sweep_id", source)]

    def complete_count(self, source="prod"):
        """The number of complete sweeps of a source so far."""
        return self.value("SELECT count(*) FROM sweep JOIN source USING (source_id)"
                          " WHERE name = ? AND outcome = 'complete'", source)

    def status_kib(self, field, pid=None):
        """A number of /proc/PID/status of the daemon, such as VmRSS."""
        text = Path("/proc", str(pid or self.process.pid), "status").read_text(encoding="ascii")
        return int(re.search(rf"^{field}:\s+(\d+)", text, re.M).group(1))

    def descriptors(self):
        """How many files the daemon has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def nodes(self, source="prod"):
        """node_key to status of the present nodes."""
        rows = self.rows("SELECT n.node_key, n.status FROM node AS n JOIN source AS s USING (source_id)"
                         " WHERE s.name = ? AND n.missing_since IS NULL", source)
        return {row["node_key"]: row["status"] for row in rows}

    def hook_calls(self, log=None):
        """What the recording hook was called with, in order; a line that is just being written is none yet."""
        path = Path(log or self.hook_log)
        if not path.exists():
            return []
        calls = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
        for call in calls:
            call["event"] = json.loads(call["stdin"])
        return calls

    def log_text(self):
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def tail(self):
        return "\n".join(self.log_text().splitlines()[-40:])

    def wait_rows(self, sql, *values, deadline_s=DEADLINE_S):
        """Waits until the query gives rows, and gives them."""
        def look():
            try:
                return self.rows(sql, *values)
            except sqlite3.OperationalError as error:
                if "unable to open" in str(error) or "no such table" in str(error):
                    return None  # no database yet
                raise
        return wait_until(look, sql, deadline_s)

    def wait_log(self, pattern, count=1):
        """Waits until the log matches the regular expression so many times."""
        wait_until(lambda: len(re.findall(pattern, self.log_text())) >= count, f"{pattern!r} in the log")

    def wait_sweeps(self, count, source="prod"):
        """Waits until so many more sweeps that have not begun yet ended."""
        start = self.wait_rows("SELECT ifnull(max(sweep_id), 0) AS n FROM sweep")[0]["n"]
        self.wait_rows("SELECT count(*) FROM sweep JOIN source USING (source_id) WHERE name = ? AND sweep_id > ?"
                       " AND outcome <> 'running' HAVING count(*) >= ?", source, start, count)

    # The end

    def close(self):
        """Stops the daemon where it still runs; SIGTERM must be enough."""
        if self.process is not None:
            code = self.stop()
            assert code == 0, f"the daemon ended with {code}:\n{self.tail()}"

    def problems(self):
        """What no run may leave behind, in words."""
        found = []
        text = self.log_text()
        found += [f"{mark} in the log:\n{self.tail()}" for mark in SANITIZER_MARKS if mark in text]
        try:
            wait_until(lambda: not processes_with(str(self.directory)), "the end of all processes", 5)
        except AssertionError:
            left = processes_with(str(self.directory))
            for pid, _ in left:
                os.kill(pid, signal.SIGKILL)
            found.append(f"processes left over: {left}")
        return found + self.database_problems()

    def database_problems(self):
        if not self.database.exists():
            return []
        try:
            if self.value("PRAGMA application_id") != 0x50575443:
                return []  # a test put another program's file there, or the daemon died too early
            integrity = [row["integrity_check"] for row in self.rows("PRAGMA integrity_check")]
            found = [] if integrity == ["ok"] else [f"integrity_check: {integrity}"]
            broken = self.rows("PRAGMA foreign_key_check")
            found += [f"foreign_key_check: {broken}"] if broken else []
            doubles = self.rows("SELECT event_id, hook FROM delivery GROUP BY event_id, hook HAVING count(*) > 1")
            return found + ([f"deliveries doubled: {doubles}"] if doubles else [])
        except sqlite3.DatabaseError as error:
            return [f"the database cannot be read: {error}"]
