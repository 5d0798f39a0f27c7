"""Checks coc-sim against the API's documentation and its own README. Run by pytest; COC_SIM names the program."""

import datetime
import gzip
import hashlib
import hmac
import http.client
import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
import urllib.parse
import zlib

import pytest

PROGRAM = os.environ.get("COC_SIM", "build/bin/coc-sim")
PATH = "/v1/patch/instance/compliant"
RECORD_FIELDS = {
    "compliant_summary", "non_compliant_summary", "execution_summary", "id", "enterprise_project_id",
    "name", "instance_id", "node_id", "ip", "eip", "region", "group", "report_scene", "cce_info_id",
    "status", "baseline_id", "baseline_name", "rule_type", "operating_system",
}
SEVERITIES = ("critical", "high", "informational", "low", "medium", "unspecified")


class Sim:
    """A running coc-sim; with `tls` (a client's context) it is spoken to over TLS."""

    def __init__(self, directory, *options, host="127.0.0.1", tls=None):
        self.host, self.tls = host, tls
        port_file = os.path.join(str(directory), "port")
        if os.path.exists(port_file):
            os.unlink(port_file)
        self.process = subprocess.Popen(
            [PROGRAM, "--port-file", port_file, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.first_line = self.process.stdout.readline().decode()
        with open(port_file, encoding="ascii") as file:
            self.port = int(file.read())

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        _, errors = self.process.communicate(timeout=20)
        assert errors == b""
        assert self.process.returncode == 0

    def link(self, timeout=20):
        link = socket.create_connection((self.host, self.port), timeout=timeout)
        return self.tls.wrap_socket(link, server_hostname=self.host) if self.tls else link

    def request(self, method, path, parameters=(), body=None, headers=None):
        pairs = list(parameters.items()) if isinstance(parameters, dict) else list(parameters)
        target = path + ("?" + urllib.parse.urlencode(pairs) if pairs else "")
        connection = (http.client.HTTPSConnection(self.host, self.port, timeout=20, context=self.tls) if self.tls
                      else http.client.HTTPConnection(self.host, self.port, timeout=20))
        try:
            connection.request(method, target, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def control(self, path, /, body=None, **parameters):
        pairs = []
        for key, value in parameters.items():
            pairs += [(key, one) for one in (value if isinstance(value, list) else [value])]
        status, _, text = self.request("POST", "/sim/" + path, pairs, body)
        assert status == 200, text
        return json.loads(text)

    def get(self, path):
        status, _, text = self.request("GET", "/sim/" + path)
        assert status == 200
        return json.loads(text)

    def page(self, **parameters):
        status, _, text = self.request("GET", PATH, parameters)
        assert status == 200, text
        return json.loads(text)

    def everything(self, limit=100, **parameters):
        """All records, page by page, in the mode the simulator is in."""
        mode = self.get("state")["offset_mode"]
        rows, offset = [], 1
        while True:
            page = self.page(offset=offset, limit=limit, **parameters)
            rows += page["instance_compliant"]
            if len(page["instance_compliant"]) < limit:
                assert page["count"] == len(rows)
                return rows
            offset += 1 if mode == "page" else limit

    def truth(self):
        _, _, text = self.request("GET", "/sim/truth")
        return [json.loads(line) for line in text.decode().splitlines()]

    def raw(self, query="limit=10", keep=False):
        """Headers, body and how the connection ended: 'eof' or 'reset'. With `keep` only a fault can end it."""
        close = "" if keep else "Connection: close\r\n"
        with self.link(10) as link:
            link.sendall(f"GET {PATH}?{query} HTTP/1.1\r\nHost: sim\r\n{close}\r\n".encode())
            data, end = b"", "eof"
            try:
                while True:
                    piece = link.recv(65536)
                    if not piece:
                        break
                    data += piece
            except ConnectionResetError:
                end = "reset"
        head, _, body = data.partition(b"\r\n\r\n")
        return head.decode("latin-1"), body, end


@pytest.fixture(name="start")
def start_sim(tmp_path):
    """Starts simulators of a test's own; none outlives the test."""
    started = []

    def start(*options, **how):
        started.append(Sim(tmp_path, *options, **how))
        return started[-1]

    yield start
    for sim in started:
        if sim.process.poll() is None:
            sim.process.kill()
            sim.process.communicate()


@pytest.fixture(scope="module", name="shared")
def shared_sim(tmp_path_factory):
    sim = Sim(tmp_path_factory.mktemp("sim"))
    yield sim
    sim.stop()


@pytest.fixture(name="sim")
def fresh_sim(shared):
    """The shared simulator with 250 nodes, mode page, nothing armed."""
    shared.control("clear")
    shared.control("fleet", nodes=250, seed=5, non_compliant=10, base_time=1768435200000, offset_mode="page")
    shared.control("requests/clear")
    return shared


def content_length(head):
    return int(re.search(r"(?im)^content-length: (\d+)", head).group(1))


# The program -------------------------------------------------------------------------------------


def test_listens_and_stops_cleanly(start):
    for how in (signal.SIGTERM, signal.SIGINT):
        sim = start("--nodes", "3", "--seed", "7", "--offset-mode", "record")
        assert sim.first_line == f"coc-sim: listening on 127.0.0.1:{sim.port}\n"
        state = sim.get("state")
        assert (state["nodes"], state["seed"], state["offset_mode"]) == (3, 7, "record")
        sim.stop(how)


def test_stops_with_requests_waiting(start):
    sim = start("--nodes", "300")
    for kind in ("timeout", "drip", "delay"):
        sim.control("fault", kind=kind, delay_ms=60000 if kind != "drip" else 0)
    links = []
    for _ in range(3):
        link = socket.create_connection(("127.0.0.1", sim.port))
        link.sendall(f"GET {PATH} HTTP/1.1\r\nHost: sim\r\n\r\n".encode())
        links.append(link)
        time.sleep(0.1)
    assert sim.get("state")["api_active"] == 3
    sim.stop()
    for link in links:
        link.close()


@pytest.mark.parametrize("options", [
    ["--nodes", "1000001"], ["--nodes", "x"], ["--nodes", "-1"], ["--port", "65536"], ["--offset-mode", "both"],
    ["--non-compliant", "101"], ["--non-compliant", "nan"], ["--listen", "localhost"], ["--colour"], ["extra"],
    ["--nodes"], ["--path-prefix", "x"], ["--path-prefix", "/x/"], ["--path-prefix", "/sim"], ["--tls-cert", "x"], ["--tls-key", "x"],
])
def test_bad_options(options):
    done = subprocess.run([PROGRAM, *options], capture_output=True, timeout=20, check=False)
    assert done.returncode == 64
    assert done.stderr != b""


def test_help_names_every_option():
    text = subprocess.run([PROGRAM, "--help"], capture_output=True, timeout=20, check=True).stdout.decode()
    readme = os.path.join(os.path.dirname(os.path.abspath(__file__)), "README.md")
    with open(readme, encoding="utf-8") as file:
        documented = set(re.findall(r"^\| `(--[a-z-]+)", file.read(), re.M))
    assert documented == set(re.findall(r"^  (--[a-z-]+)", text, re.M))


def test_path_prefix(start):
    sim = start("--nodes", "3", "--path-prefix", "/gate/a")
    assert sim.request("GET", PATH)[0] == 404 and sim.request("GET", "/gate/ab" + PATH)[0] == 404
    assert sim.request("GET", "/gate/a/sim/state")[0] == 404
    assert sim.request("GET", "/gate/a" + PATH)[0] == 200
    assert sim.request("GET", "/gate/a/openstack/latest/securitykey")[0] == 200
    sim.control("auth", mode="aksk", access_key="AKTEST", secret_key="secret+/key")
    target = "/gate/a" + PATH + "?limit=1"
    assert ask(sim, signed(sim, target), target)[0] == 200
    assert ask(sim, signed(sim, PATH + "?limit=1"), target)[1][2] == "signature"
    sim.stop()


# The API -----------------------------------------------------------------------------------------


def test_defaults(sim):
    page = sim.page()
    assert page["count"] == 250
    assert [row["id"] for row in page["instance_compliant"]] == [node["id"] for node in sim.truth()[:10]]


def test_every_response_field(sim):
    status, headers, text = sim.request("GET", PATH, {"limit": 100})
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Request-Id"]
    answer = json.loads(text)
    assert set(answer) == {"count", "instance_compliant"}
    assert 880 < len(text) / 100 < 980
    for row in answer["instance_compliant"]:
        assert set(row) == RECORD_FIELDS
        assert re.fullmatch(r"[0-9a-f]{32}", row["id"])
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", row["instance_id"])
        assert re.fullmatch(r"JX-[0-9a-f]{29}", row["baseline_id"])
        assert set(row["execution_summary"]) == {"order_id", "job_id", "report_time"}
        assert 1768435200000 <= row["execution_summary"]["report_time"] < 1768435200000 + 86400000
        for group in ("compliant", "non_compliant"):
            summary = row[group + "_summary"]
            assert set(summary) == {group + "_count", "severity_summary"}
            severities = summary["severity_summary"]
            assert set(severities) == {name + "_count" for name in SEVERITIES}
            assert sum(severities.values()) == summary[group + "_count"]
            assert min(severities.values()) >= 0
        bad = row["non_compliant_summary"]["non_compliant_count"]
        assert (bad > 0) == (row["status"] == "non_compliant")
        if row["report_scene"] == "CCE":
            assert row["node_id"] and re.fullmatch(r"[0-9a-f]{32}", row["cce_info_id"])
        else:
            assert row["report_scene"] in ("ECS", "BMS")
            assert row["node_id"] == "" and row["cce_info_id"] is None


def test_fleet_is_varied_and_unique(sim):
    sim.control("fleet", nodes=2000, seed=11)
    rows = sim.everything()
    for field in ("id", "instance_id", "name", "ip"):
        assert len({row[field] for row in rows}) == 2000
    for field, least in (("region", 6), ("group", 9), ("report_scene", 3), ("operating_system", 3),
                         ("enterprise_project_id", 5), ("baseline_id", 4)):
        assert len({row[field] for row in rows}) == least, field
    for field in ("eip", "group"):
        nulls = sum(row[field] is None for row in rows)
        assert 0 < nulls < 2000
    assert any("生产" in row["name"] for row in rows)
    assert any("é" in row["name"] for row in rows)
    bad = sum(row["status"] == "non_compliant" for row in rows)
    assert 150 < bad < 250


def test_seed_and_share(sim):
    first = sim.everything()
    sim.control("fleet", seed=6)
    assert sim.everything() != first
    sim.control("fleet", seed=5)
    assert sim.everything() == first
    sim.control("fleet", non_compliant=100)
    assert {row["status"] for row in sim.everything()} == {"non_compliant"}
    sim.control("fleet", non_compliant=0)
    assert {row["status"] for row in sim.everything()} == {"compliant"}


@pytest.mark.parametrize("name,value", [
    ("offset", "0"), ("offset", "1000001"), ("offset", "-1"), ("offset", "x"), ("offset", ""), ("offset", "1.5"),
    ("offset", " 1"), ("offset", "99999999999999999999"), ("limit", "0"), ("limit", "101"), ("limit", "ten"),
    ("limit", ""), ("limit", "+5"), ("sort_dir", "up"), ("sort_dir", "ASC"), ("sort_dir", ""), ("sort_key", "name"),
    ("sort_key", ""), ("compliant_status", "unknown"), ("compliant_status", ""), ("report_scene", "ecs"),
    ("report_scene", ""),
])
def test_out_of_range(sim, name, value):
    sim.control("fault", kind="reset", times=0)
    status, headers, text = sim.request("GET", PATH, {name: value})
    error = json.loads(text)
    assert status == 500
    assert headers["Content-Type"] == "application/json"
    assert set(error) == {"error_code", "error_msg"}
    assert 8 <= len(error["error_code"]) <= 64
    assert 2 <= len(error["error_msg"]) <= 512
    assert name in error["error_msg"]


@pytest.mark.parametrize("name,value", [
    ("offset", "1"), ("offset", "1000000"), ("limit", "1"), ("limit", "100"), ("sort_dir", "asc"),
    ("sort_dir", "desc"), ("sort_key", "report_time"), ("compliant_status", "compliant"),
    ("compliant_status", "non_compliant"), ("report_scene", "ECS"), ("report_scene", "CCE"), ("report_scene", "BMS"),
    ("unknown_parameter", "x"),
])
def test_in_range(sim, name, value):
    sim.page(**{name: value})


def test_paths_and_methods(sim):
    for path in ("/", "/v1/patch/instance/compliant/", "/v1/patch/instance", "/v1/nothing"):
        status, _, text = sim.request("GET", path)
        assert (status, json.loads(text)["error_code"]) == (404, "APIGW.0101")
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        status, _, text = sim.request(method, PATH, body="x")
        assert status == 405
        assert set(json.loads(text)) == {"error_code", "error_msg"}


@pytest.mark.parametrize("name", [
    "enterprise_project_id", "name", "instance_id", "ip", "eip", "operating_system", "region", "group", "order_id",
    "report_scene", "cce_info_id", "compliant_status",
])
def test_filter(sim, name):
    rows = sim.everything()

    def value_of(row):
        if name == "order_id":
            return row["execution_summary"]["order_id"]
        return row["status" if name == "compliant_status" else name]

    values = {value_of(row) for row in rows} - {None}
    assert values
    for value in sorted(values)[:12]:
        expected = [row["id"] for row in rows if value_of(row) == value]
        assert [row["id"] for row in sim.everything(limit=7, **{name: value})] == expected
    if name not in ("report_scene", "compliant_status"):
        assert sim.page(**{name: "no such thing"}) == {"count": 0, "instance_compliant": []}
        assert sim.page(**{name: ""})["count"] == 250


def test_filters_combine_and_follow_changes(sim):
    rows = sim.everything()
    region = rows[0]["region"]
    expected = [row["id"] for row in rows if row["region"] == region and row["status"] == "compliant"]
    found = sim.everything(region=region, compliant_status="compliant", sort_key="report_time")
    assert sorted(row["id"] for row in found) == sorted(expected)
    index = next(i for i, row in enumerate(rows) if row["id"] == expected[0])
    sim.control("flip", index=index, to="non_compliant")
    found = sim.everything(region=region, compliant_status="compliant", sort_key="report_time")
    assert sorted(row["id"] for row in found) == sorted(expected[1:])


def test_sorting(sim):
    sim.control("set", index=100, report_time=1768435200000)
    sim.control("set", index=7, report_time=1768435200000)
    plain = sim.everything()
    numbered = {row["id"]: i for i, row in enumerate(plain)}
    expected = sorted(plain, key=lambda row: (row["execution_summary"]["report_time"], numbered[row["id"]]))
    assert [numbered[row["id"]] for row in expected[:2]] == [7, 100]
    assert sim.everything(sort_key="report_time") == expected
    assert sim.everything(sort_key="report_time", sort_dir="asc") == expected
    assert sim.everything(sort_key="report_time", sort_dir="desc") == expected[::-1]
    assert sim.everything(sort_dir="desc") == plain[::-1]


@pytest.mark.parametrize("mode", ["page", "record"])
@pytest.mark.parametrize("nodes", [0, 1, 99, 100, 101, 1234])
def test_paging_gives_everything(sim, mode, nodes):
    sim.control("fleet", nodes=nodes, offset_mode=mode)
    expected = [node["id"] for node in sim.truth()]
    assert len(expected) == nodes
    for limit in (100, 99):
        assert [row["id"] for row in sim.everything(limit)] == expected
        for direction in ("asc", "desc"):
            ids = [row["id"] for row in sim.everything(limit, sort_key="report_time", sort_dir=direction)]
            assert len(ids) == nodes and set(ids) == set(expected)
    past = sim.page(offset=1000000, limit=100)
    assert past == {"count": nodes, "instance_compliant": []}


def test_what_offset_means(sim):
    ids = [node["id"] for node in sim.truth()]
    assert [row["id"] for row in sim.page(offset=2, limit=20)["instance_compliant"]] == ids[20:40]
    state = sim.control("fleet", offset_mode="record")
    assert state["offset_mode"] == "record" and state["nodes"] == 250
    assert [row["id"] for row in sim.page(offset=2, limit=20)["instance_compliant"]] == ids[1:21]


def test_keep_alive(sim):
    before = sim.get("state")["connections"]
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=20)
    for _ in range(20):
        connection.request("GET", PATH)
        assert connection.getresponse().read()
    connection.close()
    assert sim.get("state")["connections"] == before + 2


# The fleet under control -------------------------------------------------------------------------


def row_of(sim, index):
    return sim.everything()[index]


def test_flip_one(sim):
    before = row_of(sim, 17)
    clock = sim.get("state")["clock_ms"]
    to = "compliant" if before["status"] == "non_compliant" else "non_compliant"
    answer = sim.control("flip", index=17, to=to)
    after = row_of(sim, 17)
    assert answer["affected"] == 1
    node = answer["nodes"][0]
    assert (node["index"], node["from"], node["to"]) == (17, before["status"], to)
    assert node["report_time"] == after["execution_summary"]["report_time"] == clock + 1000
    for field in ("name", "instance_id", "id", "baseline_id", "node_id", "cce_info_id", "report_scene"):
        assert node[field] == after[field] == before[field]
    assert after["status"] == to
    assert (after["non_compliant_summary"]["non_compliant_count"] > 0) == (to == "non_compliant")
    for field in ("job_id", "order_id"):
        assert after["execution_summary"][field] != before["execution_summary"][field]


def test_flip_options(sim):
    before = row_of(sim, 3)
    sim.control("flip", index=3, to="unknown", report_time=1768435200123, new_id=1)
    after = row_of(sim, 3)
    assert after["status"] == "unknown" and after["id"] != before["id"]
    assert after["execution_summary"]["report_time"] == 1768435200123
    assert sim.control("flip", index=3)["nodes"][0]["to"] == "non_compliant"


def test_flip_many(sim):
    ok = [node["index"] for node in sim.truth() if node["status"] == "compliant"]
    answer = sim.control("flip", count=5, to="non_compliant")
    assert [node["index"] for node in answer["nodes"]] == ok[:5]
    toggled = sim.control("flip", count=20)["nodes"]
    assert len({node["index"] for node in toggled}) == 20
    assert all({node["from"], node["to"]} == {"compliant", "non_compliant"} for node in toggled)
    again = sim.control("flip", count=20)["nodes"]
    assert [node["index"] for node in again] != [node["index"] for node in toggled]
    assert sim.control("flip", count=250, to="compliant", list=0)["nodes"] == []
    state = sim.get("state")
    assert (state["compliant"], state["non_compliant"]) == (250, 0)


def test_every_change_keeps_the_orders_right(sim):
    sim.control("touch", index=100)
    sim.control("add", count=3)
    sim.control("remove", index=5)
    sim.control("flip", index=6)
    sim.control("record", id="x", report_time=1768435200500)
    sim.control("touch", count=70)
    sim.control("record/drop")
    sim.control("remove", count=2)
    sim.control("restore", index=5)
    truth = sim.truth()
    assert [row["id"] for row in sim.everything()] == [node["id"] for node in truth]
    by_time = sorted(truth, key=lambda node: (node["report_time"], node["index"]))
    assert [row["id"] for row in sim.everything(sort_key="report_time")] == [node["id"] for node in by_time]
    assert sim.get("state")["nodes"] == 251


def test_add_remove_restore(sim):
    added = sim.control("add", count=2, status="non_compliant")["nodes"]
    assert [(node["index"], node["from"], node["to"]) for node in added] == [
        (250, None, "non_compliant"), (251, None, "non_compliant")]
    before = row_of(sim, 4)
    gone = sim.control("remove", index=4)["nodes"][0]
    assert gone["from"] == before["status"] and gone["to"] is None
    assert sim.page()["count"] == 251
    assert before["id"] not in {row["id"] for row in sim.everything()}
    assert sim.request("POST", "/sim/touch", {"index": 4})[0] == 404
    sim.control("restore", index=4)
    assert row_of(sim, 4) == before
    assert sim.request("POST", "/sim/restore", {"index": 4})[0] == 404


def test_touch(sim):
    before = row_of(sim, 9)
    sim.control("touch", index=9)
    last = sim.page(limit=1, sort_key="report_time", sort_dir="desc")["instance_compliant"][0]
    assert last["id"] == before["id"]
    for field in RECORD_FIELDS - {"execution_summary"}:
        assert last[field] == before[field]
    assert last["execution_summary"] != before["execution_summary"]


def test_counts(sim):
    sim.control("flip", index=2, to="non_compliant")
    before = row_of(sim, 2)["execution_summary"]["report_time"]
    sim.control("counts", index=2, critical=2, high=5)
    row = row_of(sim, 2)
    assert row["non_compliant_summary"] == {"non_compliant_count": 7, "severity_summary": {
        "critical_count": 2, "high_count": 5, "informational_count": 0, "low_count": 0, "medium_count": 0,
        "unspecified_count": 0}}
    assert row["execution_summary"]["report_time"] > before
    assert row["compliant_summary"]["compliant_count"] > 0
    sim.control("counts", index=2, low=1, total=204, keep_time=1)
    kept = row_of(sim, 2)
    assert kept["non_compliant_summary"]["non_compliant_count"] == 204
    assert kept["execution_summary"] == row["execution_summary"]
    sim.control("flip", index=2, to="compliant")
    assert row_of(sim, 2)["non_compliant_summary"]["non_compliant_count"] == 0


def test_set_and_unset(sim):
    before = row_of(sim, 8)
    name = 'Zoë "生产"\\\n\x01 + &'
    sim.control("set", index=8, name=name, region="", null=["group", "eip"], order_id="o1", report_time=17)
    row = row_of(sim, 8)
    assert (row["name"], row["region"], row["group"], row["eip"]) == (name, "", None, None)
    assert row["execution_summary"]["order_id"] == "o1" and row["execution_summary"]["report_time"] == 17
    assert sim.page(name=name)["count"] == 1
    sim.control("unset", index=8)
    after = row_of(sim, 8)
    assert {f: after[f] for f in ("name", "region", "group")} == {f: before[f] for f in ("name", "region", "group")}
    sim.control("set", index=8, status="odd")
    assert row_of(sim, 8)["status"] == "odd" and sim.get("state")["unknown"] == 1
    assert sim.control("flip", index=8, to="compliant")["nodes"][0]["from"] == "odd"
    assert row_of(sim, 8)["status"] == "compliant"
    assert sim.control("set", index=8, null="status")["nodes"][0]["to"] is None


def test_records(sim):
    assert sim.control("record", id="x1", report_scene="ECS", instance_id="i", status="compliant", report_time=5,
                       non_compliant_critical=3)["record"] == 0
    assert sim.control("record", id="x2", null=["execution_summary", "compliant_summary"], counted=0)["record"] == 1
    assert sim.control("record/raw", body=b'{"id": 17 }', report_time=1)["record"] == 2
    rows = [*sim.page(offset=26)["instance_compliant"]]
    assert [row["id"] for row in rows] == ["x1", "x2", 17]
    assert sim.page()["count"] == 252
    assert set(rows[0]) == RECORD_FIELDS
    assert rows[0]["name"] is None and rows[0]["execution_summary"]["job_id"] is None
    assert rows[0]["execution_summary"]["report_time"] == 5
    assert rows[0]["non_compliant_summary"]["severity_summary"]["critical_count"] == 3
    assert rows[0]["non_compliant_summary"]["non_compliant_count"] is None
    assert rows[1]["execution_summary"] is None and rows[1]["compliant_summary"] is None
    by_time = sim.page(limit=3, sort_key="report_time")["instance_compliant"]
    assert [row["id"] for row in by_time] == ["x2", 17, "x1"]
    assert [row["id"] for row in sim.page(instance_id="i")["instance_compliant"]] == ["x1", 17]
    assert sim.control("record/drop", n=0) == {"dropped": 1}
    assert sim.control("record/drop") == {"dropped": 2}
    assert sim.page()["count"] == 250


def test_raw_record_is_verbatim(sim):
    sim.control("fleet", nodes=0)
    sim.control("record/raw", body=b"\x00]] not json \xff")
    assert sim.raw()[1].startswith(b'{"count":1,"instance_compliant":[\x00]] not json \xff]}')


def test_control_errors(sim):
    for method, path, parameters, expected in (
            ("POST", "/sim/flip", {"cuont": 3}, 400), ("POST", "/sim/flip", {}, 400),
            ("POST", "/sim/flip", {"index": 250}, 404), ("POST", "/sim/flip", {"count": 1, "to": "bad"}, 400),
            ("GET", "/sim/flip", {"count": 1}, 405), ("POST", "/sim/nothing", {}, 404),
            ("POST", "/sim/fleet", {"nodes": 1000001}, 400), ("POST", "/sim/fleet", {"offset_mode": "x"}, 400),
            ("POST", "/sim/set", {"index": 1, "colour": "x"}, 400), ("POST", "/sim/record", {"null": "x"}, 400),
            ("POST", "/sim/fault", {"kind": "x"}, 400), ("POST", "/sim/fault", {"kind": "reset", "x": 1}, 400),
            ("POST", "/sim/fault", {"kind": "reset", "probability": 2}, 400),
            ("POST", "/sim/fault", {"kind": "wrong_types", "variant": "time_9e18"}, 400),
            ("POST", "/sim/record/drop", {"n": 0}, 404)):
        status, _, text = sim.request(method, path, parameters)
        assert (status, set(json.loads(text))) == (expected, {"error"}), path


def test_requests_log(sim):
    sim.control("fault", kind="status", status=503, page=2)
    sim.control("fault", kind="reset")
    sim.raw("limit=5&name=a%20b")
    sim.request("GET", PATH, {"offset": 2})
    sim.request("GET", PATH, {"offset": "x"})
    log = sim.get("requests")["requests"]
    assert [(entry["query"], entry["status"], entry["fault"]) for entry in log] == [
        ("limit=5&name=a%20b", 0, "reset"), ("offset=2", 503, "status"), ("offset=x", 500, None)]
    assert abs(log[0]["at_ms"] / 1000 - time.time()) < 60
    assert sim.get("state")["api_requests"] == 3
    assert sim.control("requests/clear") == {"cleared": 3}
    assert sim.get("requests") == {"requests": []}
    for _ in range(3):
        sim.request("GET", PATH)
    assert len(sim.get("requests")["requests"]) == 3


def test_requests_log_keeps_the_last_1000(sim):
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=20)
    for i in range(1010):
        connection.request("GET", f"{PATH}?limit=1&offset={i + 1}")
        connection.getresponse().read()
    connection.close()
    log = sim.get("requests")["requests"]
    assert len(log) == 1000
    assert log[0]["query"] == "limit=1&offset=11" and log[-1]["query"] == "limit=1&offset=1010"


def test_concurrency_is_seen(sim):
    sim.control("fault", kind="delay", delay_ms=300, times=0)
    threads = [threading.Thread(target=sim.page) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sim.get("state")["api_max_concurrent"] == 4
    assert sim.get("state")["api_active"] == 0


# Faults ------------------------------------------------------------------------------------------


def spoiled(sim, kind, query="limit=10", **parameters):
    """The page as it would be, and the head and body that the fault makes of it."""
    fair = sim.raw(query + "&x=fair")[1]
    sim.control("fault", kind=kind, query="x=spoil", **parameters)
    head, body, _ = sim.raw(query + "&x=spoil")
    assert content_length(head) == len(body)
    assert sim.raw(query + "&x=spoil")[1] == fair, "it fires once"
    return json.loads(fair), head, body


def test_fault_status(sim):
    sim.control("fault", kind="status", status=503, retry_after="Wed, 21 Oct 2026 07:28:00 GMT")
    status, headers, text = sim.request("GET", PATH)
    assert status == 503 and headers["Retry-After"] == "Wed, 21 Oct 2026 07:28:00 GMT"
    assert json.loads(text)["error_code"] == "APIGW.0201"
    sim.control("fault", kind="status", status=502, content_type="text/html", body=b"<h1>\xffno</h1>")
    status, headers, text = sim.request("GET", PATH)
    assert (status, headers["Content-Type"], text) == (502, "text/html", b"<h1>\xffno</h1>")
    sim.control("fault", kind="status", status=401)
    assert sim.request("GET", PATH)[0] == 401
    assert sim.request("GET", PATH)[0] == 200


def test_fault_body_by_parameter(sim):
    status, _, _ = sim.request("POST", "/sim/fault", [("kind", "status"), ("status", "418"), ("body", "a b+ü")])
    assert status == 200
    assert sim.request("GET", PATH)[2] == "a b+ü".encode()


def test_fault_throttle(sim):
    sim.control("fault", kind="throttle", rate=7, window="second", retry_after=3)
    status, headers, text = sim.request("GET", PATH)
    error = json.loads(text)
    assert (status, error["error_code"], headers["Retry-After"]) == (429, "APIGW.0308", "3")
    assert "limit:7,time:1 second" in error["error_msg"]
    sim.control("fault", kind="throttle")
    _, headers, text = sim.request("GET", PATH)
    assert "limit:10,time:1 minute" in json.loads(text)["error_msg"] and "Retry-After" not in headers


def test_fault_reset(sim):
    sim.control("fault", kind="reset")
    assert sim.raw(keep=True) == ("", b"", "reset")


def test_fault_reset_mid(sim):
    full = len(sim.raw("limit=100")[1])
    sim.control("fault", kind="reset_mid")
    head, body, end = sim.raw("limit=100", keep=True)
    assert end == "reset" and content_length(head) == full and len(body) == full // 2


def test_fault_timeout(sim):
    sim.control("fault", kind="timeout", delay_ms=400)
    start = time.monotonic()
    assert sim.raw(keep=True) == ("", b"", "eof")
    assert 0.35 < time.monotonic() - start < 5


def test_fault_delay(sim):
    fair = sim.page()
    sim.control("fault", kind="delay", delay_ms=400)
    start = time.monotonic()
    assert sim.page() == fair
    assert 0.35 < time.monotonic() - start < 5
    sim.control("fault", kind="status", status=500, delay_ms=300)
    start = time.monotonic()
    assert sim.request("GET", PATH)[0] == 500
    assert 0.25 < time.monotonic() - start < 5


def test_fault_drip(sim):
    fair = sim.page(limit=1)
    sim.control("fault", kind="drip", bytes_per_second=1000)
    with socket.create_connection(("127.0.0.1", sim.port), timeout=20) as link:
        link.sendall(f"GET {PATH}?limit=1 HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n\r\n".encode())
        start, pieces, data = time.monotonic(), 0, b""
        while piece := link.recv(65536):
            data += piece
            pieces += 1
        took = time.monotonic() - start
    body = data.partition(b"\r\n\r\n")[2]
    assert json.loads(body) == fair
    assert pieces >= 6 and took > 0.7 * len(body) / 1000


def test_fault_truncate(sim):
    full = len(sim.raw()[1])
    sim.control("fault", kind="truncate")
    head, body, end = sim.raw(keep=True)
    assert (end, content_length(head), len(body)) == ("eof", full, full // 2)


def test_fault_wrong_lengths(sim):
    fair = sim.raw()[1]
    sim.control("fault", kind="length_long")
    head, body, end = sim.raw(keep=True)
    assert (end, content_length(head), body) == ("eof", len(fair) + 100, fair)
    sim.control("fault", kind="length_short")
    head, body, end = sim.raw(keep=True)
    assert (end, content_length(head), body) == ("eof", len(fair) // 2, fair)
    assert len(re.findall("(?i)content-length", head)) == 1


def test_fault_html(sim):
    _, head, body = spoiled(sim, "html")
    assert head.startswith("HTTP/1.1 200") and "text/html" in head and b"<form" in body
    _, head, _ = spoiled(sim, "html_302")
    assert head.startswith("HTTP/1.1 302") and "Location: /sim/login" in head
    assert sim.request("GET", "/sim/login")[1]["Content-Type"].startswith("text/html")


def test_fault_cut_json(sim):
    fair, _, body = spoiled(sim, "cut_json")
    with pytest.raises(ValueError):
        json.loads(body)
    assert body.startswith(b'{"count":250,') and len(body) > 2000 and fair["count"] == 250


def test_faults_of_the_list(sim):
    assert spoiled(sim, "empty")[2] == b""
    assert json.loads(spoiled(sim, "empty_page")[2]) == {"count": 250, "instance_compliant": []}
    assert json.loads(spoiled(sim, "null_list")[2]) == {"count": 250, "instance_compliant": None}
    assert json.loads(spoiled(sim, "missing_list")[2]) == {"count": 250}
    fair, _, body = spoiled(sim, "null_records", n=3)
    assert json.loads(body)["instance_compliant"] == [None] * 3 + fair["instance_compliant"][3:]
    fair, _, body = spoiled(sim, "dup_records", n=2)
    assert json.loads(body)["instance_compliant"] == fair["instance_compliant"] + fair["instance_compliant"][:2]


def test_fault_lying_count(sim):
    for parameters, count in (({}, 251), ({"add": -250}, 0), ({"set": 7}, 7)):
        fair, _, body = spoiled(sim, "lying_count", **parameters)
        assert json.loads(body) == {**fair, "count": count}


def test_faults_with_codes(sim):
    _, head, body = spoiled(sim, "error_200", code="COC.12345678", msg="no")
    assert head.startswith("HTTP/1.1 200")
    assert json.loads(body) == {"error_code": "COC.12345678", "error_msg": "no"}
    fair, _, body = spoiled(sim, "success_code_200")
    assert json.loads(body) == {**fair, "error_code": "COC.00000000", "error_msg": "success"}


def test_faults_of_bytes(sim):
    fair, _, body = spoiled(sim, "nul_name", n=2)
    assert [row["name"] for row in json.loads(body)["instance_compliant"]] == ["a\0b"] * 2 + [
        row["name"] for row in fair["instance_compliant"][2:]]
    _, _, body = spoiled(sim, "invalid_utf8")
    assert body.count(b'"name":"a\xff\xc0\x80\xed\xa0\x80z"') == 1
    _, _, body = spoiled(sim, "garbage", size=1001)
    assert len(body) == 1001 and len(set(body)) > 200
    fair, _, body = spoiled(sim, "deep", depth=20000)
    assert b'"nested":' + b"[" * 20000 + b"]" * 20000 in body
    assert json.loads(body.replace(b"[" * 20000 + b"]" * 20000, b"1")) == {"nested": 1, **fair}
    for variant in ("space", "string"):
        fair, _, body = spoiled(sim, "big", size=3000000, variant=variant)
        assert {key: value for key, value in json.loads(body).items() if key != "padding"} == fair
        assert 3000000 < len(body) < 3000000 + 20000


# Each variant's place in the answer and what must stand there; @ is a value's own text.
WRONG_TYPES = {
    "count_string": ("count", str), "count_null": ("count", type(None)), "count_object": ("count", dict),
    "list_object": ("list", dict), "list_string": ("list", str), "body_array": ("body", list),
    "body_string": ("body", str), "record_string": ("record", str), "record_number": ("record", int),
    "record_array": ("record", list), "id_number": ("id", int), "name_array": ("name", list),
    "instance_id_object": ("instance_id", dict), "scene_number": ("report_scene", int),
    "status_number": ("status", int), "status_bool": ("status", bool),
    "time_string": ("execution_summary.report_time", str), "time_object": ("execution_summary.report_time", dict),
    "counts_string": ("non_compliant_summary.non_compliant_count", str),
    "severity_string": ("compliant_summary.severity_summary.critical_count", str),
    "severity_array": ("compliant_summary.severity_summary", list),
    "summary_array": ("non_compliant_summary", list), "summary_string": ("compliant_summary", str),
    "execution_array": ("execution_summary", list),
}
HUGE_NUMBERS = {
    "count_1e400": ("count", "1e400"), "count_20_digits": ("count", "99999999999999999999"),
    "count_negative": ("count", "-1"), "count_fraction": ("count", "250.5"),
    "time_9e18": ("report_time", "9e18"), "time_1e300": ("report_time", "1e300"),
    "time_20_digits": ("report_time", "99999999999999999999"), "time_negative": ("report_time", r"-\d{13}"),
    "time_fraction": ("report_time", r"\d{13}\.5"), "counts_2_63": ("non_compliant_count", "9223372036854775808"),
    "counts_negative": ("non_compliant_count", "-7"), "severity_2_63": ("critical_count", "9223372036854775808"),
}


def look(answer, place, record=0):
    if place in ("body", "count"):
        return answer if place == "body" else answer["count"]
    found = answer["instance_compliant"]
    if place == "list":
        return found
    found = found[record]
    for step in place.split(".") if place != "record" else ():
        found = found[step]
    return found


@pytest.mark.parametrize("variant", WRONG_TYPES)
def test_fault_wrong_types(sim, variant):
    place, kind = WRONG_TYPES[variant]
    fair, _, body = spoiled(sim, "wrong_types", variant=variant, n=2)
    bad = json.loads(body)
    assert type(look(bad, place)) is kind
    assert type(look(fair, place)) is not kind or variant == "body_string"
    if place not in ("body", "count", "list"):
        assert type(look(bad, place, 1)) is kind
        assert bad["instance_compliant"][2:] == fair["instance_compliant"][2:]


@pytest.mark.parametrize("variant", HUGE_NUMBERS)
def test_fault_huge_numbers(sim, variant):
    key, pattern = HUGE_NUMBERS[variant]
    _, _, body = spoiled(sim, "huge_numbers", variant=variant)
    assert len(re.findall(rf'"{key}":{pattern}[,}}]', body.decode())) == 1
    json.loads(body)


def test_variants_in_turn(sim):
    for kind, variants in (("wrong_types", WRONG_TYPES), ("huge_numbers", HUGE_NUMBERS)):
        sim.control("fault", kind=kind, times=len(variants))
        bodies = {sim.raw()[1] for _ in variants}
        assert len(bodies) == len(variants)
    assert sim.page()["count"] == 250


def test_spoiling_a_page_without_records(sim):
    fair = sim.page(offset=1000)
    for kind in ("null_records", "dup_records", "invalid_utf8", "nul_name"):
        sim.control("fault", kind=kind)
        assert sim.page(offset=1000) == fair
    for variant in ("time_9e18", "counts_2_63"):
        sim.control("fault", kind="huge_numbers", variant=variant)
        assert sim.page(offset=1000) == fair


def ids_of(sim, **parameters):
    return [row["id"] for row in sim.page(**parameters)["instance_compliant"]]


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_fault_move(sim, direction):
    ordered = [row["id"] for row in sim.everything(sort_key="report_time", sort_dir=direction)]
    sim.control("fault", kind="move", page=2, position=3, moves=4)
    order = {"sort_key": "report_time", "sort_dir": direction, "limit": 50}
    assert ids_of(sim, offset=1, **order) == ordered[:50]
    assert ids_of(sim, offset=2, **order) == ordered[50:100], "the page itself is right"
    rest = ordered[:2] + ordered[6:]
    moved = rest + ordered[2:6] if direction == "asc" else ordered[2:6][::-1] + rest
    assert [row["id"] for row in sim.everything(sort_key="report_time", sort_dir=direction)] == moved


def test_fault_move_new_id(sim):
    first = sim.page(limit=1, sort_key="report_time")["instance_compliant"][0]
    sim.control("fault", kind="move_new_id")
    sim.page(limit=1, sort_key="report_time")
    last = sim.page(limit=1, sort_key="report_time", sort_dir="desc")["instance_compliant"][0]
    assert last["instance_id"] == first["instance_id"] and last["id"] != first["id"]


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_fault_insert_and_delete(sim, direction):
    order = {"sort_key": "report_time", "sort_dir": direction}
    ordered = [row["id"] for row in sim.everything(**order)]
    sim.control("fault", kind="insert", position=11)
    assert ids_of(sim, **order) == ordered[:10]
    after = [row["id"] for row in sim.everything(**order)]
    assert after[:10] == ordered[:10] and after[11:] == ordered[10:]
    sim.control("fault", kind="delete", position=11)
    assert ids_of(sim, **order) == ordered[:10]
    assert [row["id"] for row in sim.everything(**order)] == ordered
    sim.control("fault", kind="delete", moves=3)
    sim.page()
    assert sim.page()["count"] == 247


def test_fault_swap_page(sim):
    ids = [node["id"] for node in sim.truth()]
    sim.control("fault", kind="swap_page", **{"offset": 2, "with": 5})
    assert ids_of(sim, offset=1) == ids[:10]
    assert ids_of(sim, offset=2) == ids[40:50]
    assert ids_of(sim, offset=2) == ids[10:20]


# Selectors ---------------------------------------------------------------------------------------


def statuses(sim, *offsets, limit=10):
    return [sim.request("GET", PATH, {"offset": offset, "limit": limit})[0] for offset in offsets]


def test_selector_page(sim):
    sim.control("fault", kind="status", page=3, times=0)
    assert statuses(sim, 1, 2, 3, 3, 4) == [200, 200, 500, 500, 200]
    sim.control("fleet", offset_mode="record")
    assert statuses(sim, 3, 20, 21, 30, 31) == [200, 200, 500, 500, 200]


def test_selectors_offset_query_after_times(sim):
    sim.control("fault", kind="status", offset=7)
    assert statuses(sim, 6, 7, 7) == [200, 500, 200]
    sim.control("fault", kind="status", after=2, times=2)
    assert statuses(sim, *range(1, 7)) == [200, 200, 500, 500, 200, 200]
    sim.control("fault", kind="status", query="limit=11")
    assert statuses(sim, 1) + statuses(sim, 1, limit=11) == [200, 500]


def test_selector_probability(sim):
    def run(seed):
        sim.control("fault/clear")
        sim.control("fault", kind="status", probability=0.2, times=0, seed=seed)
        return statuses(sim, *[1] * 200)

    first = run(1)
    assert 20 < first.count(500) < 65
    assert run(1) == first and run(2) != first


def test_first_matching_fault_wins(sim):
    first = sim.control("fault", kind="status", status=501)["fault"]
    second = sim.control("fault", kind="status", status=502, times=0)["fault"]
    assert statuses(sim, 1, 1) == [501, 502]
    faults = {fault["fault"]: fault for fault in sim.get("state")["faults"]}
    assert faults[first] == {"fault": first, "kind": "status", "path": "api", "matched": 1, "fired": 1, "times": 1, "armed": False}
    assert faults[second]["fired"] == 1 and faults[second]["armed"]
    assert sim.control("fault/clear", fault=second) == {"cleared": 1}
    assert statuses(sim, 1) == [200]
    assert sim.control("fault/clear") == {"cleared": 1}
    assert sim.get("state")["faults"] == []


def test_every_documented_kind_can_be_armed(sim):
    readme = os.path.join(os.path.dirname(os.path.abspath(__file__)), "README.md")
    with open(readme, encoding="utf-8") as file:
        text = file.read()
    kinds = re.findall(r"^\| `([a-z_0-9]+)` \|", text.partition("| kind |")[2], re.M)
    assert len(kinds) == 36
    for kind in kinds:
        sim.control("fault", kind=kind)
    for kind, variants in (("wrong_types", WRONG_TYPES), ("huge_numbers", HUGE_NUMBERS)):
        listed = re.search(rf"`{kind}` variants: (.*?)\.\n", text, re.S).group(1)
        assert set(re.findall(r"`(\w+)`", listed)) == set(variants)


def test_client_that_goes_away(sim):
    for kind in ("delay", "drip", "reset_mid", "truncate", "timeout"):
        sim.control("fault", kind=kind, delay_ms=200)
        with socket.create_connection(("127.0.0.1", sim.port)) as link:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link.sendall(f"GET {PATH}?limit=100 HTTP/1.1\r\nHost: sim\r\n\r\n".encode())
            time.sleep(0.05)
    time.sleep(0.6)
    assert sim.get("state")["api_active"] == 0
    assert sim.page()["count"] == 250


# Authentication ----------------------------------------------------------------------------------

AK, SK = "AKTEST", "secret+/key"
KEY = {"mode": "aksk", "access_key": AK, "secret_key": SK}


def basic_time(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def quote(text):
    return urllib.parse.quote(text, safe="-_.~")


def signature(secret, method, target, headers, names, body=b""):
    """SDK-HMAC-SHA256 as the signing guide has it."""
    path, _, query = target.partition("?")
    segments = [quote(urllib.parse.unquote_to_bytes(part)) for part in path.split("/")]
    uri = "/".join(segments)
    pairs = sorted(urllib.parse.parse_qsl(query, keep_blank_values=True, errors="surrogateescape"))
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    canonical = "\n".join([
        method, uri if uri.endswith("/") else uri + "/",
        "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs),
        "".join(f"{name}:{lower[name]}\n" for name in names), ";".join(names), hashlib.sha256(body).hexdigest()])
    text = f"SDK-HMAC-SHA256\n{lower['x-sdk-date']}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def signed(sim, target=PATH, access=AK, secret=SK, names=("host", "x-sdk-date"), when=None, extra=None, body=b"",
           date=None):
    """Headers of a signed GET; `names` are the headers that it signs."""
    headers = {"Host": f"127.0.0.1:{sim.port}", "X-Sdk-Date": date or basic_time(when or time.time()),
               **(extra or {})}
    value = signature(secret, "GET", target, headers, names, body)
    headers["Authorization"] = f"SDK-HMAC-SHA256 Access={access}, SignedHeaders={';'.join(names)}, Signature={value}"
    return headers


def ask(sim, headers, target=PATH, body=None):
    """Status and error of a request, and what the log says of its authentication."""
    status, _, text = sim.request("GET", target, body=body, headers=headers)
    answer = json.loads(text)
    return status, (answer.get("error_code"), answer.get("error_msg", ""), sim.get("requests")["requests"][-1]["auth"])


def refused(sim, status, code, message, reason, headers, target=PATH):
    got, (got_code, got_message, got_reason) = ask(sim, headers, target)
    assert (got, got_code, got_reason) == (status, code, reason)
    assert message in got_message
    if code == "APIGW.0301":
        assert got_message.startswith("Incorrect IAM authentication information: ")


def test_known_signatures():
    """The test's own signer against published values: one of the vendor's SDK, one of its signing guide."""
    value = signature("SecretKey", "GET", "/path?limit=1", {"X-Sdk-Date": "20060102T150405Z"}, ["x-sdk-date"])
    assert value == "5a2ce64c865e0e6046321c6f3d5a77ba8413eeaf355c3166c03d58d02ac79624"
    text = ("SDK-HMAC-SHA256\n20191115T033655Z\n"
            "b25362e603ee30f4f25e7858e8a7160fd36e803bb2dfe206278659d71a9bcd7a")
    key = b"MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc"
    assert (hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
            == "7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe")


@pytest.mark.parametrize("query", [
    "", "?limit=1", "?limit=2&offset=1", "?name=a%20b", "?name=a+b", "?name=", "?name", "?ip=fe80%3A%3A1", "?ip=fe80::1",
    "?name=%E7%94%9F%E4%BA%A7", "?name=Zo\u00e9~-_.%2a", "?b=2&a=9&b=1&B=3", "?name=a%3db%26c&x=/", "?&&limit=1&",
    "?name=%zz%4", "?x=a=b",
])
def test_signature_is_verified(sim, query):
    sim.control("auth", **KEY)
    wire = urllib.parse.quote(PATH + query, safe="/?&=%+:~")
    headers = signed(sim, wire)
    assert ask(sim, headers, wire) == (200, (None, "", "ok"))
    headers["Authorization"] = headers["Authorization"][:-1] + ("0" if headers["Authorization"][-1] != "0" else "1")
    refused(sim, 401, "APIGW.0301", "verify aksk signature fail", "signature", headers, wire)


def test_signed_headers_are_the_clients_choice(sim):
    sim.control("auth", **KEY)
    assert ask(sim, signed(sim, names=["x-sdk-date"]))[0] == 200
    extra = {"X-Domain-Id": " d1 ", "Accept": "a, b", "X-Project-Id": ""}
    assert ask(sim, signed(sim, names=["accept", "host", "x-domain-id", "x-project-id", "x-sdk-date"],
                           extra=extra))[0] == 200
    assert ask(sim, signed(sim, extra=extra))[0] == 200
    for names in (["x-sdk-date", "host"], ["host", "host", "x-sdk-date"]):
        refused(sim, 401, "APIGW.0301", "verify aksk", "signed_headers", signed(sim, names=names))
    headers = signed(sim)
    headers["Authorization"] = headers["Authorization"].replace("=host;", "=Host;")
    refused(sim, 401, "APIGW.0301", "verify aksk", "signed_headers", headers)
    headers["Authorization"] = headers["Authorization"].replace("=Host;", "=absent;host;")
    refused(sim, 401, "APIGW.0301", "verify aksk", "signed_headers", headers)
    headers = signed(sim)
    headers["Host"] = "other"
    refused(sim, 401, "APIGW.0301", "verify aksk", "signature", headers)
    refused(sim, 401, "APIGW.0301", "verify aksk", "signature", signed(sim), PATH + "?limit=3")


def test_signature_covers_the_body(sim):
    sim.control("auth", **KEY)
    assert ask(sim, signed(sim, body=b"abc"), body=b"abc")[0] == 200
    assert ask(sim, signed(sim, body=b"abc"), body=b"abd")[0] == 401


@pytest.mark.parametrize("header", [
    "", "Basic eDp5", "SDK-HMAC-SHA256", "SDK-HMAC-SHA256 Access=AKTEST", "SDK-HMAC-SHA256 Access=, SignedHeaders=a, "
    "Signature=b", "SDK-HMAC-SHA512 Access=AKTEST, SignedHeaders=host;x-sdk-date, Signature=0",
    "SDK-HMAC-SHA256 Access=AKTEST, SignedHeaders=host;x-sdk-date, Signature=0, More=1", "\u00ff" * 3000,
], ids=range(8))
def test_authorization_that_cannot_be_read(sim, header):
    sim.control("auth", **KEY)
    refused(sim, 401, "APIGW.0301", "verify aksk", "bad_authorization", {"Authorization": header.encode("latin-1")})
    refused(sim, 401, "APIGW.0301", "x-auth-token not found", "no_authorization", {})
    assert sim.get("state")["auth"]["refused"] == 2


def test_unknown_key(sim):
    sim.control("auth", **KEY)
    refused(sim, 401, "APIGW.0301", "ak:OTHER,err:ak not exist", "unknown_key", signed(sim, access="OTHER"))
    refused(sim, 401, "APIGW.0301", "verify aksk", "signature", signed(sim, secret="no"))


def test_skew(sim):
    sim.control("auth", **KEY)
    now = time.time()
    for off in (-890, 890):
        assert ask(sim, signed(sim, when=now + off))[0] == 200
    for off in (-910, 910):
        headers = signed(sim, when=now + off)
        refused(sim, 401, "APIGW.0303", f"signature expired, signature time:{headers['X-Sdk-Date']},server time:2",
                "expired", headers)
    sim.control("clock", offset_ms=-910000)
    assert ask(sim, signed(sim, when=now - 910))[0] == 200
    for date in ("20260230T000000Z", "20260101T000000", "x"):
        refused(sim, 401, "APIGW.0301", "verify aksk", "bad_date", signed(sim, date=date))
    headers = signed(sim)
    headers["Authorization"] = headers["Authorization"].replace(";x-sdk-date", "")
    refused(sim, 401, "APIGW.0301", "verify aksk", "no_date", headers)


def test_clock(sim):
    def date_error(headers):
        date = datetime.datetime.strptime(headers["Date"], "%a, %d %b %Y %H:%M:%S GMT")
        return date.replace(tzinfo=datetime.timezone.utc).timestamp() - time.time()

    assert -3 < date_error(sim.request("GET", PATH)[1]) < 2
    for offset in (-7200000, 86400000):
        answer = sim.control("clock", offset_ms=offset)
        assert abs(answer["server_ms"] / 1000 - time.time() - offset / 1000) < 2
        for path in (PATH, "/sim/state", "/no", "/openstack/latest/securitykey"):
            _, headers, _ = sim.request("GET", path)
            assert -3 < date_error(headers) - offset / 1000 < 2
    state = sim.get("state")
    assert state["clock_offset_ms"] == 86400000
    assert len(re.findall(r"(?im)^date:", sim.raw()[0])) == 1


def test_security_token(sim):
    sim.control("auth", **KEY, security_token="T1")
    names = ["host", "x-sdk-date", "x-security-token"]
    assert ask(sim, signed(sim, names=names, extra={"X-Security-Token": "T1"}))[0] == 200
    refused(sim, 401, "APIGW.0301", "decrypt token fail", "security_token", signed(sim))
    refused(sim, 401, "APIGW.0301", "decrypt token fail", "security_token",
            signed(sim, names=names, extra={"X-Security-Token": "T2"}))
    refused(sim, 401, "APIGW.0301", "verify aksk", "security_token_unsigned",
            signed(sim, extra={"X-Security-Token": "T1"}))
    sim.control("auth", **KEY)
    refused(sim, 401, "APIGW.0301", "decrypt token fail", "security_token",
            signed(sim, names=names, extra={"X-Security-Token": "T1"}))


def test_domain_and_project(sim):
    sim.control("auth", **KEY, domain_id="d1", project_id="p1")
    right = {"X-Domain-Id": "d1", "X-Project-Id": "p1"}
    assert ask(sim, signed(sim, extra=right))[0] == 200
    refused(sim, 403, "APIGW.0302", "", "domain_id", signed(sim, extra={**right, "X-Domain-Id": "d2"}))
    refused(sim, 403, "APIGW.0302", "", "project_id", signed(sim, extra={"X-Domain-Id": "d1"}))
    assert sim.get("state")["auth"]["keys"] == [{"access_key": AK, "failures": 0, "locked": False}]


def test_lock(sim):
    sim.control("auth", **KEY)

    def key():
        return next(key for key in sim.get("state")["auth"]["keys"] if key["access_key"] == AK)

    for count in range(1, 6):
        refused(sim, 401, "APIGW.0301", "verify", "signature", signed(sim, secret="no"))
        assert key() == {"access_key": AK, "failures": count, "locked": False}
    assert ask(sim, signed(sim))[0] == 200
    assert key()["failures"] == 0
    for _ in range(6):
        refused(sim, 401, "APIGW.0301", "verify", "signature", signed(sim, secret="no"))
    assert key() == {"access_key": AK, "failures": 6, "locked": True}
    refused(sim, 401, "APIGW.0301", "AK access failed to reach the limit,forbidden", "locked", signed(sim))
    refused(sim, 401, "APIGW.0301", "not exist", "unknown_key", signed(sim, access="OTHER"))
    sim.control("clock", offset_ms=290000)
    refused(sim, 401, "APIGW.0301", "reach the limit", "locked", signed(sim))
    sim.control("clock", offset_ms=301000)
    assert ask(sim, signed(sim, when=time.time() + 301))[0] == 200
    assert key() == {"access_key": AK, "failures": 0, "locked": False}
    for i in range(100):
        ask(sim, signed(sim, access=f"K{i}"))
    assert len(sim.get("state")["auth"]["keys"]) == 64


def test_refusals_come_first_and_show_no_secret(sim):
    sim.control("auth", **KEY)
    sim.control("fault", kind="reset", times=0)
    refused(sim, 401, "APIGW.0301", "verify", "signature", signed(sim, PATH + "?limit=x", secret="no"),
            PATH + "?limit=x")
    assert sim.get("state")["faults"][0]["matched"] == 0
    headers = signed(sim)
    for path in ("/sim/state", "/sim/requests"):
        text = sim.request("GET", path)[2].decode()
        assert SK not in text and headers["Authorization"][-64:] not in text
    sim.control("auth", mode="none")
    sim.control("fault/clear")
    assert ask(sim, {}) == (200, (None, "", None))


# IAM ---------------------------------------------------------------------------------------------

TOKENS = "/v3/auth/tokens"
JSON_TYPE = {"Content-Type": "application/json;charset=utf8"}


def login_body(password="p\u00e4ss\"", scope=None, **changes):
    user = {"name": "watch", "password": password, "domain": {"name": "acme"}}
    return {"auth": {"identity": {"methods": ["password"], "password": {"user": user}, **changes},
                     "scope": {"domain": {"name": "acme"}} if scope is None else scope}}


def login(sim, body=None, target=TOKENS, headers=None):
    data = body if isinstance(body, bytes) else json.dumps(body or login_body()).encode()
    status, got, text = sim.request("POST", target, body=data, headers=JSON_TYPE if headers is None else headers)
    assert got["X-IAM-Trace-Id"]
    return status, got, json.loads(text)


@pytest.fixture(name="user")
def iam_user(sim):
    return sim.control("iam/user", domain="acme", user="watch", password='p\u00e4ss"', project="eu")


def iso_seconds(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(
        tzinfo=datetime.timezone.utc).timestamp()


def test_iam_gives_tokens(sim, user):
    sim.control("auth", mode="token")
    seen = set()
    for scope in ({"domain": {"name": "acme"}}, {"domain": {"id": user["domain_id"]}}, {"project": {"name": "eu"}},
                  {"project": {"id": user["project_id"]}}):
        for target in (TOKENS, TOKENS + "?nocatalog=true"):
            status, headers, answer = login(sim, login_body(scope=scope), target)
            assert status == 201
            token = answer["token"]
            assert abs(iso_seconds(token["expires_at"]) - time.time() - 86400) < 3
            assert (len(token["catalog"]) > 0) == (target == TOKENS)
            assert token["user"]["name"] == "watch" and list(scope)[0] in token
            assert 3000 < len(headers["X-Subject-Token"]) < 4000
            seen.add(headers["X-Subject-Token"])
            assert ask(sim, {"X-Auth-Token": headers["X-Subject-Token"]}) == (200, (None, "", "ok"))
    assert len(seen) == 8
    state = sim.get("state")["iam"]
    assert state == {"requests": 8, "refused": 0, "users": 1, "issued": 8, "valid": 8}
    log = sim.get("requests")["requests"]
    assert (log[0]["path"], log[0]["status"], log[0]["auth"]) == ("iam", 201, None)
    assert not any(token in json.dumps(log) for token in seen)


def test_tokens_end(sim, user):
    assert user["project"] == "eu"
    sim.control("auth", mode="token", domain_id="d1")
    refused(sim, 401, "APIGW.0301", "x-auth-token not found", "no_token", {})
    for text in ("x", "MIISim" + "A" * 3166, "M" * 4000):
        refused(sim, 401, "APIGW.0301", "decrypt token fail", "unknown_token", {"X-Auth-Token": text})
    sim.control("iam", ttl_ms=60000)
    first = {"X-Auth-Token": login(sim)[1]["X-Subject-Token"]}
    assert ask(sim, first)[0] == 200
    assert ask(sim, {**first, "X-Domain-Id": "d1"})[0] == 200
    refused(sim, 403, "APIGW.0302", "", "domain_id", {**first, "X-Domain-Id": "d2"})
    refused(sim, 401, "APIGW.0301", "decrypt token fail", "unknown_token",
            {"X-Auth-Token": first["X-Auth-Token"][:-1] + "!"})
    sim.control("clock", offset_ms=61000)
    refused(sim, 401, "APIGW.0307", "The token must be updated", "token_expired", first)
    second = {"X-Auth-Token": login(sim)[1]["X-Subject-Token"]}
    assert ask(sim, second)[0] == 200
    assert sim.control("iam/revoke") == {"revoked": 1}
    refused(sim, 401, "APIGW.0307", "The token must be updated", "token_revoked", second)
    sim.control("clear")
    sim.control("auth", mode="token")
    refused(sim, 401, "APIGW.0301", "decrypt token fail", "unknown_token", second)


def iam_refused(sim, status, title, *arguments, **named):
    got, headers, answer = login(sim, *arguments, **named)
    assert got == status and "X-Subject-Token" not in headers
    assert set(answer) == {"error"} and set(answer["error"]) == {"code", "message", "title"}
    assert (answer["error"]["code"], answer["error"]["title"]) == (status, title)


@pytest.mark.usefixtures("user")
def test_iam_refuses(sim):
    iam_refused(sim, 401, "Unauthorized", login_body(password="no"))
    for scope in ({"domain": {"name": "other"}}, {"domain": {"id": "0"}}, {"project": {"name": "acme"}},
                  {"project": {"id": "0"}}):
        iam_refused(sim, 401, "Unauthorized", login_body(scope=scope))
    for body in (b"", b"{}", b"[]", b"{", b"\xff", b"null", json.dumps(login_body()).encode() + b"x",
                 json.dumps(login_body()).encode()[:-1], b"[" * 1000, b" " * 70000 + b"{}"):
        iam_refused(sim, 400, "Bad Request", body)
    for wrong in (login_body(scope={}), login_body(scope={"domain": {}}), login_body(methods=["token"]),
                  login_body(methods=["password", "totp"]), login_body(methods="password"), login_body(password=1),
                  login_body(scope={"domain": {"name": "acme"}, "project": {"name": "eu"}}),
                  login_body(password={"user": {"name": "watch", "password": "x"}})):
        iam_refused(sim, 400, "Bad Request", wrong)
    for headers in ({}, {"Content-Type": "text/plain"}):
        iam_refused(sim, 400, "Bad Request", headers=headers)
    sim.control("iam/user", domain="acme", user="watch", password='p\u00e4ss"', forbidden=1)
    iam_refused(sim, 403, "Forbidden")
    assert sim.request("GET", TOKENS)[0] == 405
    assert sim.request("POST", "/sim/iam/user", {"domain": "a", "user": "b"})[0] == 400


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize("text,status", [
    ("p\u00e4ss\\\"", 201), ("p\\u00e4ss\\u0022", 201), ("p\\u00E4ss\\\"", 201), ("p\\xe4ss", 400),
    ("p\\ud83d\\ude00", 401), ("p\\ud83d", 400), ("p\\ude00", 400), ("p\\u0000", 400), ("p\n", 400), ("p\\n\\/", 401),
    ("\U0001f600", 401),
])
def test_iam_reads_json_strictly(sim, text, status):
    body = json.dumps(login_body(password="@")).replace("@", text).encode()
    assert login(sim, body)[0] == status
    for bad in (b'{"a":01}', b'{"a":1.}', b'{"a":tru}', b'{"a":1,}', b'{"a" 1}', b'{"a":1}{', b'{"a":"\xc3("}',
                b'{"a":"\xed\xa0\x80"}', b'{"a":1,"a":1}', b'{"a":"'):
        status, _, answer = login(sim, bad)
        assert status == 400 and "not valid JSON" in answer["error"]["message"], bad
    for good in (b' { "a" : [ 1 , -0.5e+3 , true , null , { } , [ ] ] } ', b"0"):
        assert "not valid JSON" not in login(sim, good)[2]["error"]["message"], good


# The metadata service ----------------------------------------------------------------------------

META_TOKEN, META_KEY = "/meta-data/latest/api/token", "/openstack/latest/securitykey"
TTL = "X-Metadata-Token-Ttl-Seconds"


def credential_of(sim, **headers):
    status, got, text = sim.request("GET", META_KEY, headers={k.replace("_", "-"): v for k, v in headers.items()})
    assert (status, got["Content-Type"]) == (200, "application/json")
    answer = json.loads(text)
    assert set(answer) == {"credential"} and set(answer["credential"]) == {
        "access", "secret", "securitytoken", "expires_at"}
    return answer["credential"]


def ask_with(sim, credential):
    return ask(sim, signed(sim, access=credential["access"], secret=credential["secret"],
                           names=["host", "x-sdk-date", "x-security-token"],
                           extra={"X-Security-Token": credential["securitytoken"]},
                           when=sim.get("state")["server_ms"] / 1000))


def test_metadata_credentials_are_good(sim):
    sim.control("auth", mode="aksk")
    first = credential_of(sim)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["expires_at"])
    assert credential_of(sim) == first
    assert ask_with(sim, first) == (200, (None, "", "ok"))
    refused(sim, 401, "APIGW.0301", "decrypt token fail", "security_token",
            signed(sim, access=first["access"], secret=first["secret"]))
    sim.control("metadata/rotate")
    second = credential_of(sim)
    assert not set(second.values()) - {second["expires_at"]} & set(first.values())
    assert ask_with(sim, first)[0] == 200 and ask_with(sim, second)[0] == 200
    sim.control("metadata/rotate", revoke=1)
    assert ask_with(sim, first)[1][2] == "unknown_key" and ask_with(sim, second)[1][2] == "unknown_key"
    assert ask_with(sim, credential_of(sim))[0] == 200


def test_metadata_lifetime(sim):
    sim.control("auth", mode="aksk")
    sim.control("metadata", ttl_ms=600000, renew_before_ms=60000, fractional=1)
    first = credential_of(sim)
    assert re.fullmatch(r".*T\d\d:\d\d:\d\d\.\d{6}Z", first["expires_at"])
    assert abs(iso_seconds(first["expires_at"]) - time.time() - 600) < 3
    sim.control("clock", offset_ms=500000)
    assert credential_of(sim) == first
    sim.control("clock", offset_ms=545000)
    second = credential_of(sim)
    assert second["access"] != first["access"] and ask_with(sim, first)[0] == 200
    sim.control("clock", offset_ms=605000)
    assert ask_with(sim, first)[1][2] == "security_token_expired"
    assert ask_with(sim, second)[0] == 200


def test_metadata_tokens(sim):
    settings = sim.control("metadata", token_required=1)
    assert settings["token_required"] is True and settings["ttl_ms"] == 86400000
    assert sim.request("GET", META_KEY)[0] == 401
    for value in (None, "0", "21601", "x", ""):
        assert sim.request("PUT", META_TOKEN, headers={TTL: value} if value is not None else {})[0] == 400
    status, headers, text = sim.request("PUT", META_TOKEN, headers={TTL: "60"})
    assert (status, headers["Content-Type"], len(text)) == (200, "text/plain", 56)
    token = text.decode()
    assert credential_of(sim, X_Metadata_Token=token)
    for bad in (token[:-1] + "!", "x", ""):
        assert sim.request("GET", META_KEY, headers={"X-Metadata-Token": bad})[0] == 401
    sim.control("clock", offset_ms=61000)
    assert sim.request("GET", META_KEY, headers={"X-Metadata-Token": token})[0] == 401
    token = sim.request("PUT", META_TOKEN, headers={TTL: "21600"})[2].decode()
    assert credential_of(sim, X_Metadata_Token=token)
    sim.control("metadata/forget")
    assert sim.request("GET", META_KEY, headers={"X-Metadata-Token": token})[0] == 401
    for status in (404, 405, 503):
        sim.control("metadata", put_status=status, token_required=0)
        assert sim.request("PUT", META_TOKEN, headers={TTL: "60"})[0] == status
        assert credential_of(sim)
    sim.control("metadata", agency=0)
    status, _, text = sim.request("GET", META_KEY)
    assert status == 401 and b"Please configure Cloud Service Agency first" in text
    state = sim.get("state")["metadata"]
    assert (state["token_requests"], state["key_requests"], state["put_status"]) == (10, 12, 503)
    log = sim.get("requests")["requests"]
    assert {entry["path"] for entry in log} == {"metadata"} and log[0]["auth"] == "no_token"
    assert token not in json.dumps(log)


# Faults of the other paths, gzip, TLS, IPv6 -------------------------------------------------------


def exchange(sim, text):
    """What comes back for a request as text, and how the connection ended."""
    with sim.link(10) as link:
        link.sendall(text.encode())
        data, end = b"", "eof"
        try:
            while piece := link.recv(65536):
                data += piece
        except ConnectionResetError:
            end = "reset"
    head, _, body = data.partition(b"\r\n\r\n")
    return head.decode("latin-1"), body, end


def post_login(sim, close=True):
    body = json.dumps(login_body())
    return exchange(sim, f"POST {TOKENS} HTTP/1.1\r\nHost: sim\r\nContent-Type: application/json\r\n"
                         f"{'Connection: close' if close else 'X: y'}\r\nContent-Length: {len(body)}\r\n\r\n{body}")


def get_key(sim, close=True):
    return exchange(sim, f"GET {META_KEY} HTTP/1.1\r\nHost: sim\r\n{'Connection: close' if close else 'X: y'}\r\n\r\n")


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize("path,send", [("iam", post_login), ("metadata", get_key)])
def test_faults_of_iam_and_metadata(sim, path, send):
    def spoil(kind, close=True, **parameters):
        sim.control("fault", kind=kind, path=path, **parameters)
        got = send(sim, close)
        assert sim.get("state")["faults"][-1]["fired"] == 1
        return got

    assert sim.page()["count"] == 250
    fair, whole, _ = send(sim)
    assert json.loads(whole)
    head, body, _ = spoil("status", status=503, retry_after="2")
    assert head.startswith("HTTP/1.1 503") and "Retry-After: 2" in head and "X-Subject-Token" not in head
    if path == "iam":
        assert json.loads(body)["error"]["code"] == 503
    head, body, _ = spoil("status", status=500, body='{"x":1}')
    assert body == b'{"x":1}' and "application/json" in head
    head, body, _ = spoil("throttle")
    assert head.startswith("HTTP/1.1 429") and b"limit:10,time:1 minute" in body
    assert spoil("reset", close=False) == ("", b"", "reset")
    head, body, end = spoil("reset_mid", close=False)
    assert end == "reset" and len(body) == content_length(head) // 2
    assert spoil("timeout", close=False, delay_ms=100) == ("", b"", "eof")
    assert spoil("delay", delay_ms=50)[0].startswith(fair[:12])
    assert json.loads(spoil("drip", bytes_per_second=5000)[1])
    head, body, _ = spoil("truncate", close=False)
    assert len(body) == content_length(head) // 2
    with pytest.raises(ValueError):
        json.loads(spoil("cut_json")[1])
    head, body, _ = spoil("length_long", close=False)
    assert content_length(head) == len(body) + 100
    head, body, _ = spoil("html")
    assert head.startswith("HTTP/1.1 200") and b"<form" in body and "X-Subject-Token" not in head
    assert spoil("html_302")[0].startswith("HTTP/1.1 302")
    assert spoil("empty")[1] == b""
    assert len(spoil("garbage", size=999)[1]) == 999
    assert json.loads(spoil("error_200")[1])["error_code"] == "COC.00010001"
    assert json.loads(gzip.decompress(spoil("gzip_bomb", size=3000000)[1]))
    for entry in sim.get("requests")["requests"]:
        assert entry["path"] in (path, "api") and (entry["path"] == "api") <= (entry["fault"] is None)


@pytest.mark.usefixtures("user")
def test_fault_paths_are_apart(sim):
    sim.control("fault", kind="status", path="iam")
    sim.control("fault", kind="status", path="metadata", method="PUT", status=501)
    assert sim.request("GET", PATH)[0] == 200 and sim.request("GET", META_KEY)[0] == 200
    assert sim.request("PUT", META_TOKEN, headers={TTL: "60"})[0] == 501
    assert login(sim)[0] == 500 and login(sim)[0] == 201
    sim.control("fault", kind="no_token")
    status, headers, _ = login(sim)
    assert status == 201 and "X-Subject-Token" not in headers
    sim.control("fault", kind="deep", path="iam", depth=100)
    assert login(sim)[2]["nested"]
    for bad in ({"kind": "dup_records", "path": "iam"}, {"kind": "reset", "path": "x"},
                {"kind": "reset", "path": "iam", "page": 1}, {"kind": "no_token", "path": "api"},
                {"kind": "big", "path": "metadata"}, {"kind": "reset", "path": "control"}):
        assert sim.request("POST", "/sim/fault", bad)[0] == 400, bad


def test_gzip(sim):
    fair = sim.page(limit=50)
    for on, accept, packed in ((0, "gzip", False), (1, "gzip", True), (1, "deflate, GZIP;q=0.5", True),
                               (1, "identity", False), (1, "gzip;q=0", False), (1, "gzip; q=0.0, br", False),
                               (1, None, False)):
        sim.control("gzip", on=on)
        headers = {"Accept-Encoding": accept} if accept is not None else {"Accept-Encoding": ""}
        _, got, text = sim.request("GET", PATH, {"limit": 50}, headers=headers)
        assert (got.get("Content-Encoding") == "gzip") == packed
        assert int(got["Content-Length"]) == len(text)
        assert json.loads(gzip.decompress(text) if packed else text) == fair
    sim.control("gzip")
    headers = {"Accept-Encoding": "gzip"}
    packed = sim.request("GET", PATH, headers=headers)[2]
    assert sim.get("requests")["requests"][-1]["bytes"] == len(packed)
    assert "Content-Encoding" not in sim.request("GET", "/sim/state", headers=headers)[1]
    sim.control("fault", kind="status", status=500)
    _, got, text = sim.request("GET", PATH, headers=headers)
    assert got["Content-Encoding"] == "gzip" and json.loads(gzip.decompress(text))["error_code"]
    request = f"GET {PATH} HTTP/1.1\r\nHost: sim\r\nAccept-Encoding: gzip\r\n\r\n"
    for kind, bytes_sent in (("truncate", len(packed) // 2), ("length_long", len(packed))):
        sim.control("fault", kind=kind)
        head, body, _ = exchange(sim, request)
        assert len(body) == bytes_sent
        assert content_length(head) == len(packed) + (100 if kind == "length_long" else 0)


def test_gzip_bomb(sim):
    fair = sim.page()
    for size in (0, 1000, 3 << 20, (5 << 20) + 17):
        sim.control("fault", kind="gzip_bomb", size=size)
        _, headers, text = sim.request("GET", PATH)
        assert headers["Content-Encoding"] == "gzip"
        whole = gzip.decompress(text)
        assert whole[:1] == b"{" and json.loads(whole) == fair
        assert len(whole) == size + len(json.dumps(fair, separators=(",", ":"), ensure_ascii=False).encode())
    sim.control("fault", kind="gzip_bomb")
    start = time.monotonic()
    text = sim.request("GET", PATH)[2]
    assert time.monotonic() - start < 5 and len(text) < 2000000
    unpacker, size, data = zlib.decompressobj(31), 0, text
    while data and size < 64 << 20:
        size += len(unpacker.decompress(data, 1 << 20))
        data = unpacker.unconsumed_tail
    assert size >= 64 << 20


@pytest.fixture(scope="module", name="certificate")
def self_signed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    cert, key = str(directory / "cert.pem"), str(directory / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=coc-sim", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key,
                    "-out", cert], check=True, capture_output=True, timeout=60)
    return cert, key


def test_tls(start, certificate):
    cert, key = certificate
    sim = start("--tls-cert", cert, "--tls-key", key, "--nodes", "250", tls=ssl.create_default_context(cafile=cert))
    assert len(sim.everything()) == 250
    with pytest.raises(ssl.SSLError):
        other = ssl.create_default_context()
        http.client.HTTPSConnection("127.0.0.1", sim.port, timeout=10, context=other).request("GET", PATH)
    whole = sim.raw("limit=100")[1]
    sim.control("fault", kind="drip", bytes_per_second=200000)
    assert sim.raw("limit=100")[1] == whole
    sim.control("fault", kind="delay", delay_ms=100)
    assert sim.raw("limit=100")[1] == whole
    sim.control("fault", kind="reset")
    assert sim.raw(keep=True)[:2] == ("", b"")  # OpenSSL tells a reset as an end
    sim.control("fault", kind="big", size=5000000)
    assert len(sim.raw()[1]) > 5000000
    sim.stop()


def test_tls_faults_mid_body(start, certificate):
    cert, key = certificate
    sim = start("--tls-cert", cert, "--tls-key", key, "--nodes", "250", tls=ssl.create_default_context(cafile=cert))
    for kind, part in (("reset_mid", 0.5), ("truncate", 0.5), ("length_long", 1), ("length_short", 1)):
        sim.control("fault", kind=kind, times=1)
        data = b""
        with sim.link(10) as link:
            link.sendall(f"GET {PATH}?limit=100 HTTP/1.1\r\nHost: sim\r\n\r\n".encode())
            try:
                while piece := link.recv(65536):
                    data += piece
            except (ConnectionResetError, ssl.SSLError):
                pass
        body = data.partition(b"\r\n\r\n")[2]
        assert abs(len(body) - part * len(sim.raw("limit=100")[1])) < 2, kind
    sim.control("fault", kind="timeout", delay_ms=60000)
    link = sim.link()
    link.sendall(f"GET {PATH} HTTP/1.1\r\nHost: sim\r\n\r\n".encode())
    time.sleep(0.1)
    sim.stop()
    link.close()


def test_tls_files_that_are_none(tmp_path, certificate):
    cert, key = certificate
    empty = tmp_path / "empty.pem"
    empty.write_bytes(b"")
    for files, status in (((str(tmp_path / "no"), key), 66), ((cert, str(tmp_path / "no")), 66),
                          ((str(empty), key), 74), ((cert, cert), 74)):
        done = subprocess.run([PROGRAM, "--tls-cert", files[0], "--tls-key", files[1]], capture_output=True, timeout=20,
                              check=False)
        assert (done.returncode, done.stderr != b"") == (status, True)


def test_ipv6(start):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    sim = start("--listen", "::1", "--nodes", "30", host="::1")
    assert sim.first_line == f"coc-sim: listening on [::1]:{sim.port}\n"
    assert len(sim.everything()) == 30
    sim.control("auth", **KEY)
    headers = signed(sim)
    headers["Host"] = f"[::1]:{sim.port}"
    value = signature(SK, "GET", PATH, headers, ["host", "x-sdk-date"])
    headers["Authorization"] = headers["Authorization"][:-64] + value
    assert ask(sim, headers)[0] == 200
    sim.stop()


# Patches of a report

LACKING = ("MISSING", "FAILED", "PENDING_REBOOT", "REJECT")


@pytest.fixture(name="report")
def report_fixture(sim):
    """The path to the patches of a report with 20 that are missing: 2 critical, 3 high, 5 low, 10 of no severity."""
    sim.control("flip", index=3, to="non_compliant")
    sim.control("counts", index=3, critical=2, high=3, low=5, total=20, keep_time=1)
    record = next(one for one in sim.page(limit=100)["instance_compliant"]
                  if one["non_compliant_summary"]["non_compliant_count"] == 20
                  and one["non_compliant_summary"]["severity_summary"]["critical_count"] == 2)
    return f"{PATH}/{record['id']}", record


def patches_of(sim, report, status=200, **parameters):
    got, headers, text = sim.request("GET", report[0], parameters)
    assert got == status and headers["X-Request-Id"]
    return json.loads(text)


def test_patches_have_every_documented_member(sim, report):
    page = patches_of(sim, report)
    assert set(page) == {"count", "compliance_items"} and len(page["compliance_items"]) == 10
    record = report[1]
    assert page["count"] == 20 + record["compliant_summary"]["compliant_count"]
    for item in page["compliance_items"]:
        assert set(item) == {"instance_id", "title", "classification", "severity_level", "compliance_level", "patch_detail"}
        assert set(item["patch_detail"]) == {"installed_time", "patch_baseline_id", "patch_baseline_name", "patch_status"}
        assert item["instance_id"] == record["instance_id"]
        assert item["patch_detail"]["patch_baseline_id"] == record["baseline_id"]


@pytest.mark.parametrize("mode", ["page", "record"])
def test_patches_are_paged_filtered_and_sorted(sim, report, mode):
    sim.control("fleet", offset_mode=mode)
    step = 30 if mode == "record" else 1
    seen = []
    while True:
        page = patches_of(sim, report, limit=30, offset=1 + step * (len(seen) // 30))
        seen += page["compliance_items"]
        if len(page["compliance_items"]) < 30:
            break
    assert len(seen) == page["count"] == len({item["title"] for item in seen})
    by_status = {}
    for item in seen:
        by_status.setdefault(item["patch_detail"]["patch_status"], []).append(item)
    assert sum(len(by_status[status]) for status in LACKING) == 20
    assert set(by_status) == {*LACKING, "INSTALLED", "INSTALLED_OTHER"}
    for status, items in by_status.items():
        assert patches_of(sim, report, limit=100, patch_status=status)["count"] == len(items)
    lacking = [item for item in seen if item["patch_detail"]["patch_status"] in LACKING]
    assert [item["compliance_level"] for item in lacking] == \
        ["UNSPECIFIED"] * 10 + ["LOW"] * 5 + ["HIGH"] * 3 + ["CRITICAL"] * 2
    assert {item["severity_level"] for item in lacking[:10]} == {""}
    one = patches_of(sim, report, title=seen[5]["title"])
    assert (one["count"], one["compliance_items"]) == (1, [seen[5]])
    assert patches_of(sim, report, severity_level="CRITICAL", patch_status="MISSING")["count"] <= 2
    for direction in ("asc", "desc"):
        times = [item["patch_detail"]["installed_time"] or 0 for item in
                 patches_of(sim, report, limit=100, sort_key="installed_time", sort_dir=direction)["compliance_items"]]
        assert times == sorted(times, reverse=direction == "desc")
    assert patches_of(sim, report, limit=100, offset=1000)["compliance_items"] == []


def test_patches_refusals(sim, report):
    for wrong in ({"offset": 0}, {"limit": 101}, {"limit": "x"}, {"sort_key": "report_time"}, {"sort_dir": "up"},
                  {"patch_status": "missing"}):
        assert patches_of(sim, report, 500, **wrong)["error_code"] == "COC.00010002", wrong
    assert patches_of(sim, (PATH + "/" + "0" * 32, None), 404)["error_code"] == "COC.00040401"
    assert sim.request("GET", PATH + "/")[0] == 404 and sim.request("GET", PATH + "/a/b")[0] == 404
    assert sim.request("POST", report[0])[0] == 405
    sim.control("auth", **KEY)
    assert patches_of(sim, report, 401)["error_code"] == "APIGW.0301"
    assert sim.request("GET", report[0] + "?limit=5", headers=signed(sim, report[0] + "?limit=5"))[0] == 200
    assert [entry["auth"] for entry in sim.get("requests")["requests"]][-2:] == ["no_authorization", "ok"]


def test_faults_of_patches(sim, report):
    """The faults of path=patches meet nobody else's requests, and spoil what they say."""
    def spoilt(kind, **parameters):
        sim.control("fault", kind=kind, path="patches", **parameters)
        assert sim.page()["count"] == 250
        status, _, text = sim.request("GET", report[0], {"limit": 5})
        assert sim.get("state")["faults"][-1]["fired"] == 1
        return status, text

    assert spoilt("status", status=404)[0] == 404
    assert json.loads(spoilt("throttle")[1])["error_code"] == "APIGW.0308"
    assert json.loads(spoilt("error_200")[1])["error_code"] == "COC.00010001"
    assert json.loads(spoilt("null_list")[1])["compliance_items"] is None
    assert set(json.loads(spoilt("missing_list")[1])) == {"count"}
    assert json.loads(spoilt("null_records", n=2)[1])["compliance_items"][:2] == [None, None]
    assert len(json.loads(spoilt("dup_records", n=2)[1])["compliance_items"]) == 7
    assert json.loads(spoilt("lying_count", set=7)[1])["count"] == 7
    for variant, member in (("name_array", "title"), ("id_number", "severity_level"), ("scene_number", "classification")):
        item = json.loads(spoilt("wrong_types", variant=variant)[1])["compliance_items"][0]
        assert not isinstance(item[member], str)
    item = json.loads(spoilt("wrong_types", variant="status_number")[1])["compliance_items"][0]
    assert item["patch_detail"]["patch_status"] == 1
    assert isinstance(json.loads(spoilt("wrong_types", variant="list_object")[1])["compliance_items"], dict)
    assert json.loads(spoilt("nul_name")[1])["compliance_items"][0]["title"] == "a\0b"
    assert b"\xff" in spoilt("invalid_utf8")[1]
    sim.control("fault", kind="status", path="patches", page=2, times=0)
    assert [sim.request("GET", report[0], {"offset": offset})[0] for offset in (1, 2)] == [200, 500]
    assert {entry["path"] for entry in sim.get("requests")["requests"]} == {"api", "patches"}
    for bad in ("move", "insert", "delete", "swap_page", "no_token"):
        assert sim.request("POST", "/sim/fault", {"kind": bad, "path": "patches"})[0] == 400
