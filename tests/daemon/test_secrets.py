"""Secrets: planted ones occur nowhere but in their files and in memory that no core dump holds."""

import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from harness import wait_until

NODES = 50
ACCESS_KEY, SECRET_KEY = "PLANTEDACCESSKEY0001", "planted-secret-key-7f3a9c"
SECURITY_TOKEN = "gQ" + "".join(f"{number * 7919 % 9973:04d}z" for number in range(60))
PASSWORD = "geheim: pass wörd 0815"
LEAST_PIECE = 12  # a piece of a secret as long as this is one too


def pieces(secret):
    """The secret, its first and its last part: an error or a log could cut it."""
    data = secret.encode()
    half = max(LEAST_PIECE, len(data) // 2)
    return {data, data[:half], data[-half:]}


class Kind:
    """A source of one kind of credential, with a simulator of its own."""

    def __init__(self, name, pw, sim):
        self.name, self.sim = name, sim
        sim.fleet(nodes=NODES, non_compliant=0)
        getattr(self, name)(pw, sim)

    def aksk(self, pw, sim):
        sim.control("auth", mode="aksk", access_key=ACCESS_KEY, secret_key=SECRET_KEY, security_token=SECURITY_TOKEN)
        pw.source(sim, name="aksk", **pw.aksk(ACCESS_KEY, SECRET_KEY), security_token_file=pw.secret("st", SECURITY_TOKEN))
        self.secrets = [ACCESS_KEY, SECRET_KEY, SECURITY_TOKEN]

    def token(self, pw, sim):
        sim.control("auth", mode="token")
        token = sim.iam_token()
        pw.source(sim, name="token", auth="token", token_file=pw.secret("token", token))
        self.secrets = [token]

    def password(self, pw, sim):
        sim.control("auth", mode="token")
        sim.control("iam/user", domain="acme", user="watch", password=PASSWORD)
        pw.source(sim, name="password", auth="password", iam_endpoint=sim.endpoint, iam_domain="acme", iam_user="watch",
                  iam_password_file=pw.secret("password", PASSWORD))
        self.secrets = [PASSWORD]

    def metadata(self, pw, sim):
        sim.control("auth", mode="aksk")
        sim.control("metadata", ttl_ms=4 * 3600 * 1000, renew_before_ms=0)
        pw.source(sim, name="metadata", auth="metadata", metadata_endpoint=sim.endpoint)
        self.secrets = []

    def learn(self, make_sim):
        """Secrets that only the server and the daemon know."""
        if self.name == "password":  # tokens are made up from their number: another simulator's are the same
            twin = make_sim()
            self.secrets = [PASSWORD, twin.iam_token(), twin.iam_token()]
        if self.name != "metadata":
            return
        body = self.sim.request("GET", "/openstack/latest/securitykey").decode()
        credential = json.loads(body)["credential"]
        self.secrets = [credential[key] for key in ("access", "secret", "securitytoken")]


@pytest.fixture(name="rig")
def rig_fixture(make_sim, make_watch):
    """A daemon with a source of each kind, a hook, and the debug log; every source had its first sweep."""
    pw = make_watch()
    pw.daemon["log_level"] = "debug"
    kinds = [Kind(name, pw, make_sim()) for name in ("aksk", "token", "password", "metadata")]
    for options in pw.sources.values():
        options["retries"] = "2"
    pw.write_config()
    pw.record_all("node.non_compliant, source.failing")
    pw.start()
    for kind in kinds:
        pw.wait_rows("SELECT 1 FROM source WHERE name = ? AND baseline_at IS NOT NULL", kind.name)
        kind.learn(make_sim)
    return pw, kinds


def planted(kinds):
    return set().union(*(pieces(secret) for kind in kinds for secret in kind.secrets))


def found_in(data, needles):
    return sorted(needle[:40] for needle in needles if needle in data)


def slow_down(pw):
    """Sweeps far apart from now on, so that there is time between them."""
    for options in pw.sources.values():
        options["interval"] = "1h"
    pw.write_config()
    pw.send_signal(1)
    pw.wait_log("reload|configuration")


def dumpable(pid):
    """What a core dump would hold: every readable private or anonymous mapping that is not marked as left out."""
    text = Path("/proc", str(pid), "smaps").read_text(encoding="ascii", errors="replace")
    areas = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) (\S+) .*?^VmFlags: ([^\n]*)$", text, re.M | re.S)
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for start, end, rights, flags in areas:
            if "r" not in rights or "dd" in flags.split() or "io" in flags.split():
                continue
            begin, stop = int(start, 16), int(end, 16)
            for chunk in range(begin, stop, 1 << 26):
                try:
                    memory.seek(chunk)
                    yield hex(begin), memory.read(min(1 << 26, stop - chunk) + 0)
                except (OSError, OverflowError, ValueError):
                    break


def secrets_in_memory(pid, needles):
    """Where which of them are found, with what stands around them."""
    found = []
    for area, data in dumpable(pid):
        for needle in needles:
            place = data.find(needle)
            if place >= 0:
                found.append((area, place, data[max(0, place - 100):place + len(needle) + 20][:400]))
    return found


def test_secrets_are_in_no_log_file_or_command_line(rig):
    """After good sweeps, refusals and trouble of every kind no planted secret is in the log (at level debug), in the
    database and its log, in an event, on a command line, or in the environment of a hook."""
    pw, kinds = rig
    for kind in kinds:
        kind.sim.flip_to(1, "non_compliant")
    wait_until(lambda: len(pw.hook_calls()) >= 4, "four calls of the hook")
    needles = planted(kinds)
    for kind in kinds:  # a server that says what it was told; the API is not told the password
        if kind.name == "password":
            continue
        body = json.dumps({"error_code": "COC.9", "error_msg": "you said: " + " ".join(kind.secrets)[:3000]}, ensure_ascii=False)
        kind.sim.fault("status", status=500, body=body.encode(), times=3)
        kind.sim.fault("status", status=400, body=("<p>" + " ".join(kind.secrets)).encode(), content_type="text/html", times=1)
    pw.wait_sweeps(3, "aksk")
    # Refusals, of the API and of IAM and the metadata service.
    by_name = {kind.name: kind.sim for kind in kinds}
    by_name["aksk"].control("auth", mode="aksk", access_key=ACCESS_KEY, secret_key="another")
    by_name["token"].control("iam/revoke")
    by_name["password"].control("iam/revoke")
    by_name["password"].fault("status", path="iam", status=401, times=0,
                              body=json.dumps({"error": {"code": 401, "message": f"wrong: {PASSWORD}", "title": "U"}}).encode())
    by_name["metadata"].control("metadata/rotate", revoke=1)
    by_name["metadata"].fault("status", path="metadata", status=500, times=0)
    for kind in kinds:
        pw.wait_rows("SELECT 1 FROM source WHERE name = ? AND failed_sweeps > 0", kind.name, deadline_s=30)
    command = Path("/proc", str(pw.process.pid), "cmdline").read_bytes()
    everybody = subprocess.run(["ps", "axeww"], capture_output=True, check=False).stdout
    assert pw.stop() == 0
    places = {"log": pw.log.read_bytes(), "hooks": pw.hook_log.read_bytes(), "command line": command, "ps": everybody}
    for file in pw.directory.glob("history.db*"):
        places[file.name] = file.read_bytes()
    assert len(places["log"]) > 1000 and b"debug" in places["log"] and b"you said" in places["history.db"] + places["log"]
    assert {place: found_in(data, needles) for place, data in places.items() if found_in(data, needles)} == {}
    assert set(pw.hook_calls()[0]["env"]) <= {name for name in pw.hook_calls()[0]["env"] if name.startswith("PATCHWATCH_")
                                              or name in ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "HOME", "PWD", "SHLVL", "TZ")}


def test_secrets_are_in_nothing_that_a_core_dump_holds(rig):
    """Between sweeps no planted secret is in memory that would be dumped."""
    pw, kinds = rig
    pw.wait_sweeps(2, "aksk")
    slow_down(pw)
    wait_until(lambda: not pw.rows("SELECT 1 FROM sweep WHERE outcome = 'running'"), "the end of all sweeps")
    time.sleep(1.5)
    needles = planted(kinds)
    assert secrets_in_memory(pw.process.pid, needles) == []
    # The search can find something: what is no secret is there.
    assert secrets_in_memory(pw.process.pid, {b"io.patchwatch.", str(pw.database).encode()})


def test_secrets_are_wiped_after_renewals(rig, make_sim):
    """Nor are those that were replaced meanwhile."""
    pw, kinds = rig
    old = planted(kinds)
    by_name = {kind.name: kind.sim for kind in kinds}
    pw.secret("token", by_name["token"].iam_token("third"))
    by_name["password"].control("iam/revoke")
    by_name["metadata"].control("metadata/rotate", revoke=1)
    pw.wait_sweeps(2, "password")
    pw.wait_sweeps(1, "metadata")
    kinds[3].learn(make_sim)
    slow_down(pw)
    wait_until(lambda: not pw.rows("SELECT 1 FROM sweep WHERE outcome = 'running'"), "the end of all sweeps")
    time.sleep(1.5)
    assert secrets_in_memory(pw.process.pid, old | planted(kinds)) == []


def test_secret_files_that_others_may_read_are_refused(pw, sim):
    """--check and a start name the file and its mode, and neither shows what is in it."""
    pw.source(sim, **pw.aksk(ACCESS_KEY, SECRET_KEY))
    (pw.directory / "sk").chmod(0o640)
    code, output = pw.check()
    assert code == 78 and str(pw.directory / "sk") in output
    assert pw.once() == 78
    assert not found_in((output + pw.log_text()).encode(), pieces(SECRET_KEY) | pieces(ACCESS_KEY))


def test_secret_in_an_ini_file_is_refused_without_showing_it(pw, sim):
    """A key written where a file belongs is no file, and the message does not repeat more of it than the name."""
    pw.source(sim, auth="aksk", access_key=ACCESS_KEY, secret_key=SECRET_KEY)
    code, output = pw.check()
    assert code == 78 and "secret_key" in output
    assert not found_in(output.encode(), pieces(SECRET_KEY) | pieces(ACCESS_KEY)), output
