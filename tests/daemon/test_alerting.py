"""Groups, recoveries, reminders, escalations and mutes with the real daemon; what each of them means in every combination is told in
tests/unit/alert/test_telling.c, with a clock that the test moves."""

import datetime
import json
import time

import pytest

from harness import wait_until
from test_cli import ask, ask_json
from test_hooks import told, wait_delivered

NON = "node.non_compliant"
GOOD = "node.compliant"


@pytest.fixture(name="base")
def base_fixture(pw, sim):
    """Sixty compliant nodes, seen by a first sweep that nobody was told of."""
    sim.fleet(nodes=60, non_compliant=0)
    pw.sweeps(1)
    return pw


def write(pw, rules, mutes="", hooks=("rec",), **more):
    """alerts.yaml: hooks that record into a file each."""
    lines = ["version: 1", "hooks:"]
    for name in hooks:
        log = pw.hook_log if name == "rec" else pw.directory / f"{name}.jsonl"
        lines.append(f"  {name}: {{type: exec, command: {more.get(name) or pw.command(log=log)}, timeout: 20s}}")
    lines += ["rules:", *rules]
    if mutes:
        lines += ["mutes:", mutes]
    pw.alerts.write_text("\n".join(lines) + "\n", encoding="utf-8")


def utc(seconds_from_now):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds_from_now)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def test_group_is_one_run(base, sim):
    """All of a sweep in one run: one CloudEvent a line, COUNT says how many. With --once nobody waits for the group."""
    write(base, ["- {name: g, hooks: [rec], group: {wait: 1h}}"])
    keys = {sim.flip_to(index, "non_compliant") for index in (3, 4, 5)}
    began = time.monotonic()
    assert base.once() == 0
    assert time.monotonic() - began < 30
    calls = lines_of(base.hook_log)
    assert len(calls) == 1
    assert calls[0]["env"]["PATCHWATCH_COUNT"] == "3"
    events = [json.loads(line) for line in calls[0]["stdin"].splitlines()]
    assert {event["subject"] for event in events} == keys
    assert calls[0]["env"]["PATCHWATCH_EVENT_ID"] == events[0]["id"]
    assert calls[0]["stdin"].endswith("\n")


def test_group_waits_and_forgets_what_is_over(pw, sim):
    """A machine that is well again before its group is sent is in no message."""
    sim.fleet(nodes=10, non_compliant=0)
    pw.sources["prod"]["interval"] = "1s"
    pw.write_config()
    write(pw, ["- {name: g, hooks: [rec], group: {by: [source], wait: 5s}}"])
    pw.start()
    pw.wait_sweeps(1)
    stays, goes = sim.flip_to(1, "non_compliant"), sim.flip_to(2, "non_compliant")
    pw.wait_rows("SELECT count(*) FROM delivery HAVING count(*) = 2")
    sim.flip_to(2, "compliant")
    wait_delivered(pw, 1)
    assert told(pw) == [(NON, stays)]
    assert goes != stays
    assert pw.value("SELECT count(*) FROM delivery WHERE state = 'dropped'") == 2


def test_reminder_escalation_and_recovery(pw, sim):
    """Reminders until the end, the escalation after its time, the end to both; a restart in between begins nothing anew."""
    sim.fleet(nodes=10, non_compliant=0)
    pw.sources["prod"]["interval"] = "1s"
    pw.write_config()
    write(pw, ["- {name: r, hooks: [rec], repeat: 2s}", "- {name: boss, hooks: [boss], after: 4s}"], hooks=("rec", "boss"))
    boss = pw.directory / "boss.jsonl"
    pw.start()
    pw.wait_sweeps(1)
    key = sim.flip_to(1, "non_compliant")
    wait_delivered(pw, 1)
    recorded = pw.value("SELECT recorded_at FROM event WHERE type LIKE '%.non_compliant'")
    assert not boss.exists()
    pw.stop()
    pw.start()
    wait_until(lambda: len(pw.hook_calls()) >= 3, "two reminders")
    wait_delivered(pw, 1, "boss")
    assert pw.value("SELECT delivered_at FROM delivery WHERE hook = 'boss'") - recorded >= 4000
    sim.flip_to(1, "compliant")
    wait_delivered(pw, 2)
    wait_delivered(pw, 2, "boss")
    calls = pw.hook_calls()
    assert told(pw, boss) == [(NON, key), (GOOD, key)]
    assert {kind for kind, _ in told(pw)[:-1]} == {NON} and told(pw)[-1] == (GOOD, key)
    assert len({call["event"]["id"] for call in calls[:-1]}) == 1
    reminders = [call["env"].get("PATCHWATCH_REMINDER") for call in calls]
    assert reminders[0] is None and reminders[-1] is None
    assert reminders[1:-1] == [str(number) for number in range(1, len(calls) - 1)]
    count = len(calls)
    time.sleep(3)
    assert len(pw.hook_calls()) == count


def test_mute_of_the_file(pw, sim):
    """Muted: recorded, and told when the mute is over if it still stands."""
    sim.fleet(nodes=10, non_compliant=0)
    pw.sources["prod"]["interval"] = "1s"
    pw.write_config()
    write(pw, ["- {name: r, hooks: [rec]}"], f"  - {{name: the move, match: {{source: prod}}, until: {utc(8)!r}}}".replace("'", '"'))
    pw.start()
    pw.wait_sweeps(1)
    stays = sim.flip_to(1, "non_compliant")
    sim.flip_to(2, "non_compliant")
    pw.wait_rows("SELECT count(*) FROM delivery WHERE state = 'muted' HAVING count(*) = 2")
    sim.flip_to(2, "compliant")
    pw.wait_rows("SELECT count(*) FROM event WHERE type LIKE '%node.compliant' HAVING count(*) = 1")
    assert pw.hook_calls() == []
    wait_delivered(pw, 1)
    time.sleep(1)
    assert told(pw) == [(NON, stays)]
    assert {row["reason"] for row in pw.rows("SELECT reason FROM delivery WHERE state = 'muted'")} == \
        {"mute 'the move'", "what it ends was never told"}


def test_slow_hook_delays_no_other(pw, sim):
    """Ten thousand events to a hook that takes a second for each: another hook has its first within a second."""
    sim.fleet(nodes=10_000, non_compliant=0)
    sim.control("set", index=7, name="special")
    pw.sources["prod"].update({"interval": "1s", "page_size": "100", "rate": "0", "mass_change": "0"})
    pw.write_config()
    slow = json.dumps(["/bin/sleep", "1"])
    write(pw, ['- {name: slow, hooks: [slow]}', '- {name: r, hooks: [rec], match: {name: special}}'], hooks=("rec", "slow"), slow=slow)
    pw.start()
    pw.wait_sweeps(1)
    sim.flip(count=10_000)
    pw.wait_rows("SELECT 1 FROM delivery WHERE hook = 'slow' AND attempts > 0", deadline_s=60)
    began = pw.value("SELECT min(last_attempt_at) FROM delivery WHERE attempts > 0")
    wait_delivered(pw, 1)
    assert pw.value("SELECT last_attempt_at FROM delivery WHERE hook = 'rec'") - began < 1000
    # The same with all of them waiting.
    sim.flip_to(7, "compliant")
    wait_delivered(pw, 2)
    assert pw.value("SELECT d.last_attempt_at - e.recorded_at FROM delivery AS d JOIN event AS e USING (event_id)"
                    " WHERE hook = 'rec' ORDER BY event_id DESC") < 1000
    assert pw.value("SELECT count(*) FROM delivery WHERE hook = 'slow' AND state = 'pending'") > 9000


def test_rules_test_tells_the_past_again(base, sim):
    """patchwatch rules test: the rules as the file stands now, on the events that were recorded under others."""
    write(base, ["- {name: nobody, match: {source: other}, hooks: [rec]}"])
    first, second = sim.flip_to(3, "non_compliant"), sim.flip_to(4, "non_compliant")
    base.sweeps(1)
    sim.flip_to(3, "compliant")
    base.sweeps(1)
    assert base.value("SELECT count(*) FROM delivery") == 0
    answer = ask_json(base, "rules", "test")
    assert answer["deliveries"] == [] and answer["unheard"] == answer["events"] == 4
    write(base, ["- {name: all, match: {type: node.non_compliant}, hooks: [rec]}", "- {name: boss, after: 30d, hooks: [boss]}"],
          hooks=("rec", "boss"))
    answer = ask_json(base, "rules", "test", "--since", "1h")
    got = [(told_of["hook"], told_of["type"].removeprefix("io.patchwatch."), told_of["node_key"]) for told_of in answer["deliveries"]]
    assert sorted(got) == sorted([("rec", NON, first), ("rec", NON, second), ("rec", GOOD, first)])
    assert answer["hooks"] == [{"hook": "rec", "rule": "all", "attempts": 3, "events": 3, "reminders": 0}]
    text = ask(base, "rules", "test")
    assert "rec by 'all': 3 times, 3 events" in text and "4 events, 1 of them told to nobody" in text
    assert base.value("SELECT count(*) FROM delivery") == 0


def test_rules_test_refuses_bad_rules(base):
    base.alerts.write_text("version: 1\nrules: [{name: r, hooks: [nobody]}]\n", encoding="utf-8")
    from test_cli import run  # pylint: disable=import-outside-toplevel
    code, out, err = run("--config", base.config, "rules", "test")
    assert (code, out) == (78, "") and "alerts.yaml:2" in err
    code, _, err = run("--database", base.database, "rules", "test")
    assert code == 64 and "--config" in err
    assert run("--config", base.config, "rules", "show")[0] == 64
