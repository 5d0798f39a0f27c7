"""Who asks: signatures, tokens, log-ins and the metadata service, their renewal, and what happens when they are refused."""

import re
import socket
import time

import pytest

from harness import wait_until

NODES = 50  # on five pages
MINUTE_MS = 60_000
LOCK_AFTER = 5  # failures in a row that lock an access key


def state_of_key(sim):
    return sim.state()["auth"]["keys"][0]


def assert_complete(pw, sim=None):
    sweep = pw.last_sweep()
    assert sweep["outcome"] == "complete", f"{sweep}\n{pw.tail()}"
    if sim is not None:
        assert sim.state()["auth"]["refused"] == 0, [one["auth"] for one in sim.requests()]


@pytest.fixture(name="keyed")
def keyed_fixture(pw, sim):
    """A simulator that wants signatures of AK-1, and a source that has it."""
    sim.fleet(nodes=NODES, non_compliant=0)
    sim.control("auth", mode="aksk", access_key="AK-1", secret_key="SK-1")
    pw.source(sim, offset="page", **pw.aksk())
    return pw


# Signatures

@pytest.mark.parametrize("name", ["web server 1", "a:b;c,d=e&f?g#h", "ä 生产 \U0001F600", "~-._!*'()", "100%25 +plus", "a//b\\c"])
def test_signature_with_any_filter(pw, sim, name):
    """Values with spaces, colons, percent signs or UTF-8 are signed as they are sent, and only what matches is seen."""
    sim.fleet(nodes=NODES)
    sim.record(name=name, instance_id="i-1", region="cn north:4", group="ü")
    sim.record(name=name + "x", instance_id="i-2", region="cn north:4", group="ü")
    sim.control("auth", mode="aksk", access_key="AK-1", secret_key="SK-1")
    pw.source(sim, filter_name=name, filter_region="cn north:4", filter_group="ü", **pw.aksk())
    pw.sweeps(1)
    assert_complete(pw, sim)
    assert list(pw.nodes()) == ["ECS/i-1"]
    assert {query["name"] for query in sim.queries()} == {name}


def test_signature_with_domain_project_and_security_token(pw, sim):
    """domain_id, project_id and the security token of temporary keys are sent and signed; without them it is refused."""
    sim.fleet(nodes=NODES)
    sim.control("auth", mode="aksk", access_key="AK-1", secret_key="SK-1", security_token="ST/+=1", domain_id="d-1",
                project_id="p-1")
    pw.source(sim, **pw.aksk(), security_token_file=pw.secret("st", "ST/+=1"), domain_id="d-1", project_id="p-1")
    pw.sweeps(1)
    assert_complete(pw, sim)
    pw.source(sim, **pw.aksk(), domain_id="d-1", project_id="p-1")
    assert pw.once() == 75
    assert sim.requests()[-1]["auth"] == "security_token"


@pytest.mark.parametrize("slashes", ["", "/", "//"])
def test_signature_under_a_path_prefix(make_sim, make_watch, slashes):
    """An endpoint with a path is asked, and signed for, below that path, however many slashes end it."""
    sim, pw = make_sim("--path-prefix", "/gate-way/v2.0/a~b"), make_watch()
    sim.fleet(nodes=NODES)
    sim.control("auth", mode="aksk", access_key="AK-1", secret_key="SK-1")
    pw.source(sim.endpoint + slashes, **pw.aksk())
    pw.sweeps(1)
    assert_complete(pw, sim)


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_signature_to_an_ipv6_endpoint(make_sim, make_watch):
    """An address in brackets works, and its Host is the one that is signed."""
    sim, pw = make_sim("--listen", "::1"), make_watch()
    sim.fleet(nodes=NODES)
    sim.control("auth", mode="aksk", access_key="AK-1", secret_key="SK-1")
    pw.source(sim, **pw.aksk())
    pw.sweeps(1)
    assert_complete(pw, sim)


@pytest.mark.parametrize("way", ["variables", "named file", "file at home"])
def test_keys_where_the_sdk_has_them(pw, sim, way):
    """Without key files the places of Huawei Cloud's own SDKs are good."""
    sim.fleet(nodes=NODES)
    sim.control("auth", mode="aksk", access_key="AK-1", secret_key="SK-1", security_token="ST-1")
    pw.source(sim, auth="aksk")
    text = "[basic]\nak = AK-1\nsk = SK-1\nsecurity_token = ST-1\n"
    if way == "variables":
        env = {"HUAWEICLOUD_SDK_AK": "AK-1", "HUAWEICLOUD_SDK_SK": "SK-1", "HUAWEICLOUD_SDK_SECURITY_TOKEN": "ST-1"}
    elif way == "named file":
        env = {"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(pw.directory / pw.secret("credentials", text))}
    else:
        (pw.directory / ".huaweicloud").mkdir()
        pw.secret(".huaweicloud/credentials", text)
        env = {"HOME": str(pw.directory)}
    assert pw.once(env=env) == 0, pw.tail()
    assert_complete(pw, sim)


# The clock

@pytest.mark.parametrize("minutes,word", [(-20, "ahead"), (20, "behind"), (-1500, "ahead")])
def test_a_wrong_clock_is_named(keyed, sim, minutes, word):
    """Where the server refuses for our clock, the message says by how much it is off, and which way."""
    sim.control("clock", offset_ms=minutes * MINUTE_MS)
    assert keyed.once() == 75
    sweep = keyed.last_sweep()
    assert sweep["outcome"] == "failed" and sweep["error_code"] == "APIGW.0303"
    off = {20: r"(20|19)\s?m", 1500: r"(1\s?d(ay)?\s?)?(1\s?h|25\s?h|59\s?m)"}[abs(minutes)]
    for text in (sweep["error_msg"], keyed.log_text()):
        assert re.search(r"clock is .*" + off, text) and word in text, text
    assert [one["auth"] for one in sim.requests()] == ["expired"]


@pytest.mark.parametrize("minutes", [-14, 14])
def test_a_clock_that_is_nearly_right_is_good_enough(keyed, sim, minutes):
    """Up to fifteen minutes the server lets us in, and so nothing is wrong."""
    sim.control("clock", offset_ms=minutes * MINUTE_MS)
    keyed.sweeps(1)
    assert_complete(keyed, sim)


# Refusals

@pytest.fixture(name="gated")
def gated_fixture(make_sim, make_watch):
    """A daemon with one source for each way to be refused, each with a simulator of its own; and one that is let in."""
    pw, sims = make_watch(), {}
    for name in ("good", "key", "again", "rights", "token", "password", "forbidden"):
        sims[name] = make_sim()
        sims[name].fleet(nodes=NODES, non_compliant=0)
        is_signed = name in ("good", "key", "again", "rights")
        sims[name].control("auth", mode="aksk" if is_signed else "token",
                           **({"access_key": "AK-1", "secret_key": "SK-1", "project_id": "p-1"} if is_signed else {}))
    keys = {"auth": "aksk", "access_key_file": pw.secret("ak", "AK-1"), "project_id": "p-1"}
    pw.source(sims["good"], name="good", **keys, secret_key_file=pw.secret("sk", "SK-1"))
    pw.source(sims["key"], name="key", **keys, secret_key_file=pw.secret("key", "wrong"))
    pw.source(sims["again"], name="again", **keys, secret_key_file=pw.secret("again", "wrong"))
    pw.source(sims["rights"], name="rights", **{**keys, "project_id": "p-2"}, secret_key_file="sk")
    pw.source(sims["token"], name="token", auth="token", token_file=pw.secret("token", sims["token"].iam_token()))
    sims["token"].control("iam/revoke")
    for name in ("password", "forbidden"):
        sims[name].control("iam/user", domain="acme", user="watch", password="right", forbidden=int(name == "forbidden"))
        pw.source(sims[name], name=name, auth="password", iam_endpoint=sims[name].endpoint, iam_domain="acme",
                  iam_user="watch", iam_password_file=pw.secret(name, "wrong" if name == "password" else "right"))
    pw.start()
    return pw, sims


def test_refusals_are_not_repeated_and_replacements_taken_at_once(gated):
    """Whoever is refused is not shown the same again, in that sweep or with the next interval; a file that is written
    anew ends the wait at once, for one attempt. The source that is let in keeps its rhythm meanwhile."""
    pw, sims = gated
    refused = [name for name in sims if name != "good"]
    for name in refused:
        pw.wait_rows("SELECT 1 FROM sweep JOIN source USING (source_id) WHERE name = ? AND outcome = 'failed'", name)
    time.sleep(3)
    assert {name: pw.outcomes(name) for name in refused} == {name: ["failed"] for name in refused}
    seen = {name: [one["auth"] for one in sims[name].requests()] for name in refused}
    assert seen == {"key": ["signature"], "again": ["signature"], "rights": ["project_id"], "token": ["token_revoked"],
                    "password": [], "forbidden": []}
    assert [sims[name].state()["iam"]["requests"] for name in ("password", "forbidden")] == [1, 1]
    codes = {name: pw.last_sweep(name)["error_code"] for name in ("key", "rights", "token")}
    assert codes == {"key": "APIGW.0301", "rights": "APIGW.0302", "token": "APIGW.0307"}
    assert all(pw.last_sweep(name)["error_msg"] for name in refused)

    sims["forbidden"].control("iam/user", domain="acme", user="watch", password="right", forbidden=0)
    for name, text in (("key", "SK-1"), ("again", "wrong-too"), ("token", sims["token"].iam_token()), ("password", "right"),
                       ("forbidden", "right")):
        pw.secret(name, text)
    for name in ("key", "token", "password", "forbidden"):
        pw.wait_rows("SELECT 1 FROM source WHERE name = ? AND baseline_at IS NOT NULL", name, deadline_s=9)
        assert pw.outcomes(name)[1] == "complete"
    (pw.directory / "sk").chmod(0o644)  # now others may read it
    pw.wait_sweeps(2, "key")
    time.sleep(3)
    assert pw.outcomes("again") == ["failed", "failed"]
    assert state_of_key(sims["again"])["failures"] == 2
    good = pw.outcomes("good")
    assert good.count("failed") == 1 and len(good) >= 6, good
    assert str(pw.directory / "sk") in pw.last_sweep("good")["error_msg"]
    (pw.directory / "sk").chmod(0o600)
    pw.wait_sweeps(1, "good")
    assert pw.last_sweep("good")["outcome"] in ("complete", "running")


def test_refusal_in_the_middle_of_a_sweep(keyed, sim):
    """Requests that were on their way when the key was withdrawn may fail together; too few to lock a key."""
    keyed.sweeps(1)
    sim.fault("delay", page=1, delay_ms=1500)
    process = keyed.spawn("--once")
    wait_until(lambda: sim.state()["api_active"] == 1, "the first page")
    sim.control("auth", mode="aksk", access_key="AK-1", secret_key="SK-2")
    assert process.wait(20) == 75
    sweep = keyed.last_sweep()
    assert sweep["outcome"] == "incomplete" and sweep["error_code"] == "APIGW.0301", sweep
    assert 1 <= state_of_key(sim)["failures"] < LOCK_AFTER


# Rotation

def test_rotation_of_keys_loses_no_sweep(keyed, sim):
    """Key files are replaced again and again under a running daemon: every sweep is complete."""
    keyed.start()
    for number in range(2, 5):
        keyed.wait_sweeps(1)
        keyed.secret("ak", f"AK-{number}")
        keyed.secret("sk", f"SK-{number}")
        sim.control("auth", mode="aksk", access_key=f"AK-{number}", secret_key=f"SK-{number}")
    keyed.wait_sweeps(2)
    assert set(keyed.outcomes()) <= {"complete", "running"}, keyed.tail()
    assert sim.state()["auth"]["refused"] == 0


def test_rotation_in_the_middle_of_a_sweep(keyed, sim):
    """Keys that are replaced while a sweep is under way are read again when the old ones are refused; nothing is lost."""
    keyed.sweeps(1)
    sim.fault("delay", page=1, delay_ms=1500)
    process = keyed.spawn("--once")
    wait_until(lambda: sim.state()["api_active"] == 1, "the first page")
    keyed.secret("ak", "AK-2")
    keyed.secret("sk", "SK-2")
    sim.control("auth", mode="aksk", access_key="AK-2", secret_key="SK-2")
    assert process.wait(20) == 0, keyed.tail()
    assert_complete(keyed)


def test_a_key_file_that_is_being_written(keyed, sim):
    """A file that is absent or empty for a moment stops nothing; the log warns; what is written then is taken."""
    keyed.start()
    keyed.wait_sweeps(1)
    (keyed.directory / "sk").unlink()
    keyed.wait_sweeps(1)
    assert re.search(r"<4>|warning", keyed.log_text())
    keyed.secret("sk", "", in_place=True)
    keyed.wait_sweeps(2)
    keyed.secret("sk", "SK-2", in_place=True)
    sim.control("auth", mode="aksk", access_key="AK-1", secret_key="SK-2")
    keyed.wait_sweeps(1)
    assert set(keyed.outcomes()) <= {"complete", "running"}, keyed.tail()


# Log-in with a password

@pytest.fixture(name="user")
def user_fixture(pw, sim):
    """A simulator that wants tokens, and a source that logs in."""
    sim.fleet(nodes=NODES, non_compliant=0)
    sim.control("auth", mode="token")
    made = sim.control("iam/user", domain="acme", user="watch", password="pä\"ss\\wörd")
    pw.made = made
    pw.options = {"auth": "password", "iam_endpoint": sim.endpoint, "iam_domain": "acme", "iam_user": "watch",
                  "iam_password_file": pw.secret("password", "pä\"ss\\wörd"), "offset": "page"}
    pw.source(sim, **pw.options)
    return pw


@pytest.mark.parametrize("scope", ["name", "domain", "project"])
def test_password_gets_a_token(user, sim, scope):
    """One log-in serves a whole sweep, whatever its scope."""
    more = {"domain": {"domain_id": user.made["domain_id"]}, "project": {"project_id": user.made["project_id"]}, "name": {}}
    user.source(sim, **user.options, **more[scope])
    user.sweeps(1)
    assert_complete(user, sim)
    assert sim.state()["iam"]["requests"] == 1


def test_token_that_ends_during_a_sweep(user, sim):
    """A token that is refused in the middle of a sweep is replaced, and the sweep is complete; at most one request of
    each page under way was in vain, and there was one log-in."""
    user.start()
    user.wait_sweeps(2)
    assert sim.state()["iam"]["requests"] == 1  # one log-in serves many sweeps
    sim.fault("delay", page=1, delay_ms=1200)
    wait_until(lambda: sim.state()["api_active"] == 1, "the first page")
    sim.control("iam/revoke")
    user.wait_sweeps(2)
    assert set(user.outcomes()) <= {"complete", "running"}, user.tail()
    assert sim.state()["iam"]["issued"] == 2
    assert 1 <= sim.state()["auth"]["refused"] <= 4


def test_token_is_renewed_early(user, sim):
    """Tokens that live for some seconds only are replaced before they end: not one request is refused."""
    sim.control("iam", ttl_ms=2000)
    user.start()
    wait_until(lambda: sim.state()["iam"]["issued"] >= 3, "three tokens")
    assert sim.state()["auth"]["refused"] == 0
    assert sim.state()["iam"]["issued"] <= 6
    assert set(user.outcomes()) <= {"complete", "running"}, user.tail()


IAM_TROUBLE = [("status", {"status": 503}), ("status", {"status": 429}), ("reset", {}), ("truncate", {}), ("no_token", {}),
               ("html", {})]


@pytest.mark.parametrize("kind,parameters", IAM_TROUBLE, ids=lambda value: value if isinstance(value, str) else "")
def test_iam_in_trouble_and_well_again(user, sim, kind, parameters):
    """While nobody can log in sweeps fail and say why, the API is not asked; then all is well by itself."""
    sim.fault(kind, path="iam", times=0, **parameters)
    user.start()
    user.wait_rows("SELECT 1 FROM sweep WHERE outcome = 'failed'", deadline_s=45)
    sweep = user.last_sweep()
    failed = user.rows("SELECT * FROM sweep WHERE outcome = 'failed'")[0]
    assert failed["reason"] and failed["error_msg"], sweep
    assert not sim.requests()
    sim.control("fault/clear")
    user.wait_rows("SELECT 1 FROM source WHERE baseline_at IS NOT NULL", deadline_s=30)


def test_a_passing_fault_of_iam_is_healed_within_the_sweep(user, sim):
    """One 503 of IAM costs no sweep."""
    sim.fault("status", status=503, path="iam", times=1)
    user.sweeps(1)


# The metadata service

@pytest.fixture(name="machine")
def machine_fixture(pw, sim):
    """A simulator that wants signatures, and a source that has its keys from the metadata service."""
    sim.fleet(nodes=NODES, non_compliant=0)
    sim.control("auth", mode="aksk")
    pw.source(sim, auth="metadata", metadata_endpoint=sim.endpoint, offset="page")
    return pw


@pytest.mark.parametrize("settings", [{}, {"token_required": 1}, {"fractional": 1}, {"put_status": 404}, {"put_status": 405},
                                      {"put_status": 503}], ids=str)
def test_metadata_gives_keys(machine, sim, settings):
    """With a session token, and where the service knows none."""
    sim.control("metadata", **settings)
    machine.sweeps(1)
    assert_complete(machine, sim)


def test_metadata_without_an_agency(machine, sim):
    """What the administrator has to do is said; a machine that has its agency then is served."""
    sim.control("metadata", agency=0)
    assert machine.once() == 75
    sweep = machine.last_sweep()
    assert sweep["outcome"] == "failed" and "agency" in sweep["error_msg"]
    sim.control("metadata", agency=1)
    machine.sweeps(1)


def test_metadata_key_that_is_withdrawn_during_a_sweep(machine, sim):
    """Keys that are unknown all at once are replaced within the sweep."""
    machine.start()
    machine.wait_sweeps(2)
    assert sim.state()["metadata"]["key_requests"] == 1  # one key serves many sweeps
    sim.fault("delay", page=1, delay_ms=1200)
    wait_until(lambda: sim.state()["api_active"] == 1, "the first page")
    sim.control("metadata/rotate", revoke=1)
    sim.control("metadata/forget")
    machine.wait_sweeps(2)
    assert set(machine.outcomes()) <= {"complete", "running"}, machine.tail()


def test_metadata_keys_are_renewed_early(machine, sim):
    """Keys that live for some seconds only never end in use."""
    sim.control("metadata", ttl_ms=3000, renew_before_ms=1500)
    machine.start()
    wait_until(lambda: sim.state()["metadata"]["issued"] >= 3, "three keys")
    assert sim.state()["auth"]["refused"] == 0
    assert set(machine.outcomes()) <= {"complete", "running"}, machine.tail()


@pytest.mark.parametrize("kind,parameters", [("status", {"status": 500}), ("reset", {}), ("garbage", {}), ("html", {})],
                         ids=lambda value: value if isinstance(value, str) else "")
def test_metadata_in_trouble_and_well_again(machine, sim, kind, parameters):
    """While the service does not answer well sweeps fail and say why; then all is well by itself."""
    sim.fault(kind, path="metadata", times=0, **parameters)
    machine.start()
    failed = machine.wait_rows("SELECT * FROM sweep WHERE outcome = 'failed'", deadline_s=45)[0]
    assert failed["reason"] and failed["error_msg"]
    assert not sim.requests()
    sim.control("fault/clear")
    machine.wait_rows("SELECT 1 FROM source WHERE baseline_at IS NOT NULL", deadline_s=30)


def test_kinds_of_credentials_change_by_reload(keyed, sim):
    """SIGHUP takes another kind of credential without a restart or a lost sweep."""
    keyed.start()
    keyed.wait_sweeps(1)
    sim.control("auth", mode="token")
    keyed.source(sim, auth="token", token_file=keyed.secret("token", sim.iam_token()))
    keyed.send_signal(1)
    keyed.wait_sweeps(2)
    assert set(keyed.outcomes()) <= {"complete", "running"}, keyed.tail()
