"""Who is told, with what, how often, in which order."""

import os
import time

import pytest

from harness import processes_with, wait_until

NON = "node.non_compliant"
GOOD = "node.compliant"
ANY = "{type: [node.non_compliant, node.compliant]}"


@pytest.fixture(name="base")
def base_fixture(pw, sim):
    """Sixty compliant nodes, seen by a first sweep that nobody was told of."""
    sim.fleet(nodes=60, non_compliant=0)
    pw.sweeps(1)
    return pw


def told(pw, log=None):
    """(short type, node key) of the calls of the recording hook, in order."""
    return [(call["env"]["PATCHWATCH_TYPE"].removeprefix("io.patchwatch."), call["env"]["PATCHWATCH_NODE_KEY"])
            for call in pw.hook_calls(log)]


def wait_delivered(pw, count, hook="rec"):
    pw.wait_rows("SELECT count(*) FROM delivery WHERE state = 'delivered' AND hook = ? HAVING count(*) >= ?", hook, count)


def facts(sim, index, **fields):
    """Gives a node known facts; gives its key."""
    sim.control("set", index=index, **fields)
    return sim.truth()[index]["key"]


MATCHES = [
    ("{region: r-1}", {0, 1}), ("{region: [r-1, r-2]}", {0, 1, 2}), ("{group: g-1}", {0}), ('{group: ""}', {1, 2}),
    ('{name: "prod-*"}', {0, 2}), ("{name: [prod-a, dev-b]}", {0, 1}), ("{scene: ECS}", {0}), ("{scene: [ECS, BMS]}", {0, 1}),
    ("{operating_system: OS-1}", {1}), ("{enterprise_project_id: ep-9}", {2}), ("{severity: high}", {0, 2}),
    ("{severity: critical}", {2}), ("{severity: unspecified}", {0, 1, 2}), ("{baseline: base-x}", {1}),
    ("{cause: patches}", {0, 1, 2}), ("{cause: first_seen}", set()), ("{source: prod}", {0, 1, 2}),
    ("{source: other}", set()), ("{type: node.discovered}", set()), ("{}", {0, 1, 2}),
    ('{region: r-1, name: "prod-*", severity: high}', {0}), ("{region: r-1, scene: BMS, group: g-1}", set()),
]


def test_rules_match_what_they_say(pw, sim):
    """Each key of `match`, alone and together, picks exactly the machines that it speaks of."""
    sim.fleet(nodes=3, non_compliant=0)
    common = {"cce_info_id": "", "node_id": ""}
    keys = [
        facts(sim, 0, name="prod-a", region="r-1", group="g-1", report_scene="ECS", **common),
        facts(sim, 1, name="dev-b", region="r-1", null="group", report_scene="BMS", operating_system="OS-1",
              baseline_id="base-x", **common),
        facts(sim, 2, name="prod-c", region="r-2", null="group", report_scene="XYZ", enterprise_project_id="ep-9",
              **common),
    ]
    hooks, rules = {}, {}
    for number, (match, _) in enumerate(MATCHES):
        hooks[f"h{number}"] = ("[/bin/true]", "20s")
        rules[f"r{number}"] = (match, [f"h{number}"])
    pw.write_alerts(hooks, rules)
    pw.sweeps(1)
    assert pw.value("SELECT count(*) FROM delivery") == 0
    for index, counts in enumerate(({"high": 1}, {"low": 2}, {"critical": 1})):
        sim.flip_to(index, "non_compliant")
        sim.control("counts", index=index, keep_time=1, **counts)
    pw.sweeps(1)
    rows = pw.rows("SELECT hook, rule, node_key, state FROM delivery JOIN event USING (event_id) JOIN node USING (node_id)")
    assert {row["state"] for row in rows} == {"delivered"}
    for number, (match, indexes) in enumerate(MATCHES):
        got = sorted(row["node_key"] for row in rows if row["hook"] == f"h{number}")
        assert got == sorted(keys[index] for index in indexes), match


def test_environment_and_input(base, sim):
    """The hook gets the event on one line and its variables, and nothing of the daemon's own environment."""
    base.record_all()
    key = sim.flip_to(3, "non_compliant")
    assert base.once(env={"SECRET_OF_THE_DAEMON": "s3cr3t", "CREDENTIALS_DIRECTORY": "/run/x"}) == 0
    call, event = base.hook_calls()[0], base.events(NON)[0]
    env = {name.removeprefix("PATCHWATCH_"): value for name, value in call["env"].items()
           if name.startswith("PATCHWATCH_")}
    assert env == {"EVENT_ID": event["id"], "TYPE": "io.patchwatch.node.non_compliant", "SOURCE": "prod",
                   "NODE_KEY": key, "NODE_NAME": sim.truth()[3]["name"], "FROM": "compliant", "TO": "non_compliant",
                   "HOOK": "rec", "RULE": "all", "ATTEMPT": "1", "COUNT": "1"}
    assert "s3cr3t" not in str(call["env"]) and "CREDENTIALS_DIRECTORY" not in call["env"]
    assert call["stdin"] == base.value("SELECT data FROM event WHERE event_id = ?", event["event_id"]) + "\n"
    assert set(call["fds"]) <= {0, 1, 2, 3}  # 3 is the hook's own, of listing them


def test_arguments_are_passed_without_a_shell(base, sim):
    """Arguments arrive byte for byte: no variable, glob or quote of theirs means anything."""
    arguments = ["sleep", "0", "$HOME `id` *", "a  b", "'\"", "ü"]
    base.write_alerts({"rec": (base.command(*arguments), "20s")}, {"all": (ANY, ["rec"])})
    sim.flip_to(3, "non_compliant")
    base.sweeps(1)
    assert base.hook_calls()[0]["argv"] == arguments


def test_source_events_can_be_told(pw, sim):
    """A rule for source.baseline tells of it, with empty node variables."""
    sim.fleet(nodes=5)
    pw.record_all("source.baseline")
    pw.sweeps(2)
    assert told(pw) == [("source.baseline", "")]
    assert pw.hook_calls()[0]["event"]["data"]["totals"]["nodes"] == 5


def test_failing_hook_is_tried_again_until_it_works(base, sim):
    """A hook that fails is called again and again, each attempt counted, until it succeeds; then no more."""
    broken = base.directory / "broken"
    broken.touch()
    base.write_alerts({"rec": (base.command("fail-while", str(broken)), "20s")}, {"all": (ANY, ["rec"])})
    base.start()
    key = sim.flip_to(3, "non_compliant")
    row = base.wait_rows("SELECT * FROM delivery WHERE attempts >= 2 AND last_error IS NOT NULL")[0]
    assert row["state"] == "pending" and row["delivered_at"] is None and "told to fail" in row["last_error"]
    broken.unlink()
    wait_delivered(base, 1)
    calls = base.hook_calls()
    assert [call["env"]["PATCHWATCH_ATTEMPT"] for call in calls] == [str(n + 1) for n in range(len(calls))]
    assert len({call["env"]["PATCHWATCH_EVENT_ID"] for call in calls}) == 1
    assert base.rows("SELECT attempts FROM delivery")[0]["attempts"] == len(calls)
    base.wait_sweeps(2)
    assert set(told(base)) == {(NON, key)} and len(base.hook_calls()) == len(calls)


def test_failure_survives_restarts(base, sim):
    """A delivery that failed in one run is made by a later run when it is due, and its attempts add up."""
    broken = base.directory / "broken"
    broken.touch()
    base.write_alerts({"rec": (base.command("fail-while", str(broken)), "20s")}, {"all": (ANY, ["rec"])})
    sim.flip_to(3, "non_compliant")
    base.sweeps(1)
    assert base.rows("SELECT state FROM delivery") == [{"state": "pending"}]
    broken.unlink()
    wait_until(lambda: base.once() == 0 and base.rows("SELECT state FROM delivery")[0]["state"] == "delivered",
               "the delivery")
    assert int(base.hook_calls()[-1]["env"]["PATCHWATCH_ATTEMPT"]) >= 2


@pytest.mark.parametrize("options", [["hang"], ["ignore-term", "hang"]])
def test_timeout_ends_the_hook_and_what_it_started(base, sim, options):
    """A hook that hangs is ended after its timeout with all its children, even where it ignores SIGTERM, and the
    attempt counts as failed."""
    base.write_alerts({"rec": (base.command(*options), "300ms")}, {"all": (ANY, ["rec"])})
    sim.flip_to(3, "non_compliant")
    began = time.monotonic()
    base.sweeps(1)
    assert time.monotonic() - began < 8
    row = base.rows("SELECT * FROM delivery")[0]
    assert (row["state"], row["attempts"]) == ("pending", 1) and "time" in row["last_error"]
    wait_until(lambda: not processes_with(str(base.hook_log)), "the end of the hook and its child", 5)


def test_stuck_hook_delays_no_other(base, sim):
    """While one hook hangs on many events, another gets all of them at once."""
    stuck_log = base.directory / "stuck.jsonl"
    base.write_alerts({"stuck": (base.command("sleep", "600", log=stuck_log), "10m"), "rec": (base.command(), "20s")},
                      {"all": (ANY, ["stuck", "rec"])})
    base.start()
    sim.flip(count=30, to="non_compliant")
    wait_delivered(base, 30)
    assert base.value("SELECT count(*) FROM delivery WHERE hook = 'stuck' AND state = 'delivered'") == 0
    assert base.value("SELECT count(*) FROM delivery WHERE hook = 'stuck' AND state = 'pending'") == 30
    began = time.monotonic()
    assert base.stop() == 0
    assert time.monotonic() - began < 10
    assert processes_with(str(stuck_log)) == []


def test_node_that_cannot_be_told_of_delays_only_itself(base, sim):
    """When the hook fails for one node, its later event waits behind the first, and other nodes do not wait at all."""
    broken = base.directory / "broken"
    broken.touch()
    key = sim.truth()[3]["key"]
    base.write_alerts({"rec": (base.command("for", key, "fail-while", str(broken)), "20s")}, {"all": (ANY, ["rec"])})
    base.start()
    sim.flip_to(3, "non_compliant")
    base.wait_rows("SELECT 1 FROM delivery WHERE attempts >= 1")
    sim.flip_to(3, "compliant")
    others = [sim.flip_to(index, "non_compliant") for index in range(10, 20)]
    base.wait_rows("SELECT 1 FROM event WHERE type LIKE '%node.compliant'")
    wait_delivered(base, len(others))
    assert {what for what in told(base) if what[1] == key} == {(NON, key)}
    broken.unlink()
    wait_delivered(base, len(others) + 2)
    mine = [what for what, node in told(base) if node == key]
    first_good = mine.index(GOOD)
    assert set(mine[:first_good]) == {NON} and mine[first_good] == GOOD


def test_order_of_one_node_is_kept_with_a_slow_hook(base, sim):
    """Three events of one node that became due together are delivered one after the other, never side by side."""
    broken = base.directory / "broken"
    broken.touch()
    base.write_alerts({"rec": (base.command("fail-while", str(broken), "sleep", "0.3"), "20s")}, {"all": (ANY, ["rec"])})
    for status in ("non_compliant", "compliant", "non_compliant"):
        key = sim.flip_to(3, status)
        base.sweeps(1)
    assert set(told(base)) == {(NON, key)}
    broken.unlink()
    failed = len(base.hook_calls())
    wait_until(lambda: base.once() == 0 and base.rows("SELECT DISTINCT state FROM delivery") == [{"state": "delivered"}],
               "the deliveries")
    calls = base.hook_calls()[failed:]
    assert told(base)[failed:] == [(NON, key), (GOOD, key), (NON, key)]
    assert all(late["at"] - early["at"] >= 0.29 for early, late in zip(calls, calls[1:]))


def test_recovery_goes_to_whoever_was_told(base, sim):
    """A rule for severe problems sends the all-clear too, though a mended machine has no severe patch any more; a rule
    that did not send the alarm does not send its end either."""
    base.write_alerts({"rec": (base.command(), "20s")}, {"severe": ("{severity: critical}", ["rec"])})
    key = sim.flip_to(3, "non_compliant")
    sim.control("counts", index=3, critical=1, keep_time=1)
    sim.flip_to(4, "non_compliant")
    sim.control("counts", index=4, low=1, keep_time=1)
    base.sweeps(1)
    assert told(base) == [(NON, key)]
    sim.flip_to(3, "compliant")
    sim.flip_to(4, "compliant")
    base.sweeps(1)
    assert told(base) == [(NON, key), (GOOD, key)]


@pytest.mark.parametrize("rules", [{}, {"other": ("{region: nowhere}", ["rec"])},
                                   {"alarms": ("{type: node.missing}", ["rec"])}])
def test_recovery_survives_changed_rules(base, sim, rules):
    """Whoever was told of a problem is told of its end after a restart with other rules, or with none."""
    base.record_all("node.non_compliant")
    key = sim.flip_to(3, "non_compliant")
    base.sweeps(1)
    base.write_alerts({"rec": (base.command(), "20s")}, rules)
    if not rules:
        base.alerts.write_text(base.alerts.read_text().replace("rules:\n", "rules: []\n"))
    base.sweeps(1)
    sim.flip_to(3, "compliant")
    other = sim.flip_to(4, "non_compliant")
    base.sweeps(1)
    assert told(base) == [(NON, key), (GOOD, key)], other


def test_recovery_is_sent_once_for_each_problem(base, sim):
    """A machine that is bad, well, bad and well again has each alarm and each end told once."""
    base.record_all("node.non_compliant")
    for status in ("non_compliant", "compliant", "non_compliant", "compliant"):
        key = sim.flip_to(3, status)
        base.sweeps(1)
    assert told(base) == [(NON, key), (GOOD, key)] * 2


def test_two_rules_with_one_hook_tell_once(base, sim):
    """However many rules name a hook, an event owes it one delivery."""
    base.write_alerts({"rec": (base.command(), "20s"), "two": ("[/bin/true]", "20s")},
                      {"a": (ANY, ["rec", "two"]), "b": ("{}", ["rec"]), "c": ("{severity: unspecified}", ["two", "rec"])})
    key = sim.flip_to(3, "non_compliant")
    base.sweeps(1)
    assert told(base) == [(NON, key)]
    rows = base.rows("SELECT hook, rule FROM delivery ORDER BY hook")
    assert rows == [{"hook": "rec", "rule": "a"}, {"hook": "two", "rule": "a"}]


def test_new_rule_does_not_dig_out_the_past(base, sim):
    """A rule that is added later tells of what happens from then on, not of old events."""
    sim.flip_to(3, "non_compliant")
    base.sweeps(1)
    base.record_all()
    base.sweeps(1)
    assert told(base) == []
    key = sim.flip_to(4, "non_compliant")
    base.sweeps(1)
    assert told(base) == [(NON, key)]


def test_sigterm_in_the_middle_of_a_hook_means_again(base, sim):
    """A delivery whose hook was still running when the daemon was stopped is not taken for made: it is made again."""
    base.write_alerts({"rec": (base.command("sleep", "30"), "60s")}, {"all": (ANY, ["rec"])})
    base.start()
    key = sim.flip_to(3, "non_compliant")
    wait_until(base.hook_calls, "the hook")
    assert base.stop() == 0
    assert base.rows("SELECT state FROM delivery") == [{"state": "pending"}]
    base.record_all()
    wait_until(lambda: base.once() == 0 and base.rows("SELECT state FROM delivery")[0]["state"] == "delivered",
               "the second attempt")
    assert told(base) == [(NON, key)] * 2


def test_hook_that_reads_nothing_and_one_that_talks_a_lot(base, sim):
    """A hook that ignores its input is delivered, and so is one that prints megabytes."""
    loud = '["/bin/sh", "-c", "head -c 3000000 /dev/zero | tr \'\\\\0\' x; head -c 300000 /dev/zero >&2"]'
    base.write_alerts({"deaf": ("[/bin/true]", "20s"), "loud": (loud, "20s")}, {"all": (ANY, ["deaf", "loud"])})
    sim.flip_to(3, "non_compliant")
    base.sweeps(1)
    assert base.rows("SELECT hook, state FROM delivery ORDER BY hook") == \
        [{"hook": "deaf", "state": "delivered"}, {"hook": "loud", "state": "delivered"}]
    assert len(base.log_text()) < 100_000


def test_program_that_vanishes_is_tried_again(base, sim):
    """A hook whose program is gone fails with a reason, and works again once the program is back."""
    program = base.directory / "hook.sh"
    script = f"#!/bin/sh\nexec /usr/bin/python3 {base.command().split(', ')[2][1:-1]} {base.hook_log}\n"

    def install():
        program.write_text(script, encoding="utf-8")
        program.chmod(0o755)

    install()
    base.write_alerts({"rec": (f"[{program}]", "20s")}, {"all": (ANY, ["rec"])})
    base.start()
    base.wait_sweeps(1)
    program.unlink()
    key = sim.flip_to(3, "non_compliant")
    row = base.wait_rows("SELECT * FROM delivery WHERE last_error IS NOT NULL")[0]
    assert row["state"] == "pending"
    install()
    wait_delivered(base, 1)
    assert told(base) == [(NON, key)]


def test_hook_killed_by_a_signal_has_failed(base, sim):
    """A hook that dies of a signal is not taken for a success."""
    base.write_alerts({"dies": ('["/bin/sh", "-c", "kill -9 $$"]', "20s")}, {"all": (ANY, ["dies"])})
    sim.flip_to(3, "non_compliant")
    base.sweeps(1)
    row = base.rows("SELECT * FROM delivery")[0]
    assert row["state"] == "pending" and row["last_error"]


def test_runs_of_one_hook_are_limited(base, sim):
    """Many events at once do not start many processes at once: the documented four of one hook."""
    base.write_alerts({"rec": (base.command("sleep", "0.15"), "20s")}, {"all": (ANY, ["rec"])})
    sim.flip(count=12, to="non_compliant")
    process = base.spawn("--once")
    most = 0
    while process.poll() is None:
        most = max(most, len(processes_with(str(base.hook_log))))
        time.sleep(0.01)
    assert process.returncode == 0
    assert 2 <= most <= 4
    assert len(base.hook_calls()) == 12


def test_daemon_leaves_no_zombies(base, sim):
    """Hooks that ended are reaped while the daemon runs on."""
    base.record_all()
    base.start()
    sim.flip(count=5, to="non_compliant")
    wait_delivered(base, 5)

    def zombies():
        text = os.popen(f"ps -o stat= --ppid {base.process.pid}").read()
        return [line for line in text.split() if line.startswith("Z")]
    wait_until(lambda: not zombies(), "all hooks to be reaped", 5)
