"""Checks coc-sim against the API's documentation and its own README. Run by pytest; COC_SIM names the program."""

import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.parse

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
    """A running coc-sim."""

    def __init__(self, directory, *options):
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

    def request(self, method, path, parameters=(), body=None):
        pairs = list(parameters.items()) if isinstance(parameters, dict) else list(parameters)
        target = path + ("?" + urllib.parse.urlencode(pairs) if pairs else "")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, target, body=body)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def control(self, path, body=None, **parameters):
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
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as link:
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

    def start(*options):
        started.append(Sim(tmp_path, *options))
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
    ["--nodes"],
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
    assert faults[first] == {"fault": first, "kind": "status", "matched": 1, "fired": 1, "times": 1, "armed": False}
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
    assert len(kinds) == 34
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
