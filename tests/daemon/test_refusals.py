"""Credentials that are refused: how often they are shown, by however many sources, whatever reloads, and how it is told."""

import json
import time

import pytest

from harness import wait_until

NODES = 50  # on five pages
LOCKED = 5  # failures in a row that lock an access key


def failures(sim):
    return sim.state()["auth"]["refused"]


@pytest.fixture(name="wrong")
def wrong_fixture(pw, sim):
    """A source whose key has the wrong secret."""
    sim.fleet(nodes=NODES, non_compliant=0)
    sim.control("auth", mode="aksk", access_key="AK-1", secret_key="right")
    pw.source(sim, offset="page", concurrency=16, **pw.aksk("AK-1", "wrong"))
    return pw


def wait_failed(pw, count=1, source="prod"):
    pw.wait_rows("SELECT count(*) FROM sweep JOIN source USING (source_id) WHERE name = ? AND outcome = 'failed'"
                 " HAVING count(*) >= ?", source, count)


def reload(pw):
    told = pw.log_text().count("reloaded:")
    pw.send_signal(1)
    wait_until(lambda: pw.log_text().count("reloaded:") > told, "a reload")


def test_reloads_do_not_show_it_again(wrong, sim):
    """Six reloads with the key as it was: it was shown once in all. With the key mended it is used within seconds."""
    wrong.start()
    wait_failed(wrong)
    for number in range(6):
        reload(wrong)
        wait_failed(wrong, number + 2)
    assert failures(sim) == 1
    assert "refused" in wrong.last_sweep()["error_msg"] or "refused" in wrong.last_sweep()["reason"]
    wrong.aksk("AK-1", "right")
    reload(wrong)
    wrong.wait_rows("SELECT 1 FROM sweep WHERE outcome = 'complete'", deadline_s=10)
    assert failures(sim) == 1


@pytest.mark.parametrize("how", ["file", "other file"])
def test_reload_in_a_sweep_that_is_refused(wrong, sim, how):
    """A reload that comes while the server refuses ends no daemon, and another key that it names is used at once."""
    sim.fault("delay", delay_ms=700, times=1)
    wrong.start()
    wait_until(lambda: sim.state()["api_requests"] >= 1, "a request")
    if how == "other file":
        wrong.source(sim, offset="page", auth="aksk", access_key_file=wrong.secret("ak2", "AK-1"),
                     secret_key_file=wrong.secret("sk2", "right"))
        wrong.write_config()
    reload(wrong)
    wait_failed(wrong)
    if how == "other file":
        wrong.wait_rows("SELECT 1 FROM sweep WHERE outcome = 'complete'", deadline_s=10)
    else:
        time.sleep(7)  # past the look at the files
    assert failures(sim) == 1
    assert wrong.process.poll() is None
    assert wrong.stop() == 0


def test_one_key_of_many_sources(make_watch, sim):
    """Eight sources with the same wrong key show it once in all, and all wait; with the right one all go on."""
    pw = make_watch()
    sim.fleet(nodes=NODES, non_compliant=0)
    sim.control("auth", mode="aksk", access_key="AK-1", secret_key="right")
    names = [f"s{number}" for number in range(8)]
    for name in names:
        pw.source(sim, name=name, offset="page", concurrency=8, **pw.aksk("AK-1", "wrong"))
    pw.start()
    for name in names:
        wait_failed(pw, source=name)
    assert failures(sim) == 1
    pw.aksk("AK-1", "right")
    for name in names:
        pw.wait_rows("SELECT 1 FROM source WHERE name = ? AND baseline_at IS NOT NULL", name, deadline_s=20)
    assert failures(sim) == 1


def test_one_iam_user_of_many_sources(make_watch, sim):
    """The same for log-ins."""
    pw = make_watch()
    sim.fleet(nodes=NODES, non_compliant=0)
    sim.control("auth", mode="token")
    sim.control("iam/user", domain="acme", user="watch", password="right")
    names = [f"s{number}" for number in range(8)]
    for name in names:
        pw.source(sim, name=name, offset="page", auth="password", iam_endpoint=sim.endpoint, iam_domain="acme",
                  iam_user="watch", iam_password_file=pw.secret("password", "wrong"))
    pw.start()
    for name in names:
        wait_failed(pw, source=name)
    assert len(sim.requests("iam")) == 1
    sweep = pw.last_sweep("s7")
    assert sweep["error_msg"] and sweep["reason"]
    pw.secret("password", "right")
    for name in names:
        pw.wait_rows("SELECT 1 FROM source WHERE name = ? AND baseline_at IS NOT NULL", name, deadline_s=20)


def test_key_that_is_revoked_in_mid_sweep(pw, sim):
    """However many requests may be under way, fewer fail than lock the key."""
    sim.fleet(nodes=400, non_compliant=0)
    sim.control("auth", mode="aksk", access_key="AK-1", secret_key="SK-1")
    pw.source(sim, offset="page", page_size=2, concurrency=64, rate="0", **pw.aksk())
    sim.fault("delay", delay_ms=100, times=0)
    pw.start()
    wait_until(lambda: sim.state()["api_requests"] >= 60, "the middle of a sweep")
    sim.control("auth", mode="aksk", access_key="AK-1", secret_key="another")
    wait_until(lambda: pw.rows("SELECT 1 FROM sweep WHERE outcome = 'incomplete'"), "the end of the sweep", 20)
    assert 1 <= failures(sim) < LOCKED


def test_a_refusal_under_status_200(pw, sim):
    """A gateway that says in a 200 that the key is wrong has said it: one use, then the source waits."""
    sim.fleet(nodes=NODES, non_compliant=0)
    pw.source(sim, offset="page", retries=5, **pw.aksk())
    sim.fault("status", status=200, times=0,
              body=b'{"error_code":"APIGW.0301","error_msg":"Incorrect IAM authentication information"}')
    pw.start()
    wait_failed(pw)
    time.sleep(4)
    assert sim.state()["api_requests"] == 1
    sweep = pw.last_sweep()
    assert (sweep["error_code"], sweep["requests"]) == ("APIGW.0301", 1)


ERRORS = ['"error_code":500,"error_msg":"m"', '"errorCode":"COC.00010002","errorMsg":"m"', '"code":"COC.1","message":"m"',
          '"error":{"code":409,"message":"m"}']


@pytest.mark.parametrize("words", ERRORS)
def test_an_error_beside_an_empty_list(pw, sim, words):
    """An error in a 200 that also shows an empty list makes no machine missing, however often it comes."""
    sim.fleet(nodes=NODES, non_compliant=0)
    pw.source(sim, offset="page", missing_after=1, retries=0)
    pw.sweeps(1)
    sim.fault("status", status=200, times=0, body=f'{{{words},"count":0,"instance_compliant":[]}}'.encode())
    for _ in range(3):
        assert pw.once() == 75
    assert pw.last_sweep()["outcome"] == "failed"
    assert pw.last_sweep()["error_msg"] == "m"
    assert pw.changes() == []
    assert pw.value("SELECT max(missed_sweeps) FROM node") == 0


def test_iam_that_is_slow_does_not_hold_a_sweep_up(pw, sim):
    """sweep_timeout also bounds how long the credential is waited for."""
    sim.fleet(nodes=NODES, non_compliant=0)
    sim.control("auth", mode="token")
    sim.control("iam/user", domain="acme", user="watch", password="pw")
    pw.source(sim, offset="page", sweep_timeout="3s", auth="password", iam_endpoint=sim.endpoint, iam_domain="acme",
              iam_user="watch", iam_password_file=pw.secret("password", "pw"))
    sim.fault("status", path="iam", status=503, retry_after="300", times=0)
    begun = time.monotonic()
    assert pw.once() == 75
    assert time.monotonic() - begun < 8
    sweep = pw.last_sweep()
    assert sweep["outcome"] == "failed" and sweep["error_msg"] and sweep["reason"]


def test_what_a_server_echoes_is_hidden_wherever_it_stands(pw, sim):
    """A server that repeats the credential in its code, its request id or its words: none of it is kept or logged."""
    token = "SECRET-token-0123456789-abcdefghij"
    pw.daemon["log_level"] = "debug"
    sim.fleet(nodes=NODES, non_compliant=0)
    pw.source(sim, offset="page", retries=1, failing_after=1, auth="token", token_file=pw.secret("token", token))
    body = json.dumps({"error_code": token, "error_msg": f"you said {token}", "request_id": token})
    for status in (500, 200):
        sim.fault("status", status=status, body=body.encode(), times=2)
    pw.record_all("source.failing")
    assert pw.once() == 75
    assert pw.once() == 75
    assert pw.hook_calls()
    for path in (pw.log, pw.hook_log, *pw.directory.glob("history.db*")):
        assert token.encode()[:12] not in path.read_bytes(), path


def test_reload_keeps_the_pace_that_a_server_bears(pw, sim):
    """A reload does not bring back the rate that the server refused."""
    sim.fleet(nodes=3000, non_compliant=0)
    pw.source(sim, offset="page", page_size=1, rate="20/s", retries=9)
    pw.start()
    wait_until(lambda: sim.state()["api_requests"] >= 40, "the first burst")
    for _ in range(3):
        sim.fault("throttle", window="second", times=1)
        wait_until(lambda: not any(fault["armed"] for fault in sim.state()["faults"]), "a refusal")
    reload(pw)
    sim.control("requests/clear")
    time.sleep(2)
    assert len(sim.requests()) < 26


def test_slow_sources_leave_connections_to_a_healthy_one(make_sim, make_watch):
    """Sources that hang with all the requests that they may have do not starve another one."""
    pw, healthy = make_watch(), make_sim()
    healthy.fleet(nodes=NODES, non_compliant=0)
    for number in range(5):
        sim = make_sim()
        sim.fleet(nodes=2000, non_compliant=0)
        pw.source(sim, name=f"slow{number}", offset="page", page_size=1, concurrency=64, rate="0", timeout="60s")
        sim.fault("delay", delay_ms=20000, times=0, after=1)
    pw.source(healthy, name="healthy", offset="page")
    pw.start()
    pw.wait_rows("SELECT 1 FROM source WHERE name = 'healthy' AND baseline_at IS NOT NULL")
    time.sleep(1)
    pw.wait_sweeps(4, "healthy")
    pw.stop()
