"""A long time under faults of every kind: nothing false is told, nothing true is lost, and nothing grows.

With PW_TEST_SOAK=1 as long and as large as it must be seen before a release (10 sources of 2,000 nodes, 500 sweeps at least);
else a short one.
"""

import os
import random
import re
import time

from harness import SANITIZER_ENV, wait_until

IS_LONG = os.environ.get("PW_TEST_SOAK") == "1"
SOURCES, NODES, SWEEPS = (10, 2000, 500) if IS_LONG else (5, 300, 60)
LIMIT_S = 1200 if IS_LONG else 90
FLIPS = 3  # a source and a round
INTERVAL = "3s" if IS_LONG else "1s"
# AddressSanitizer keeps what was freed, gives it back a tenth at a time and looks every five seconds for pages to return:
# with 256 MiB that alone holds the loop up for 100 ms.
SMALL_QUARANTINE = {"ASAN_OPTIONS": SANITIZER_ENV["ASAN_OPTIONS"] + ":quarantine_size_mb=16:allocator_release_to_os_interval_ms=-1"}
TOTAL_PROBABILITY = 0.05  # of a request that fails
KINDS = {
    "status": {"status": 500}, "throttle": {"retry_after": "0"}, "reset": {}, "reset_mid": {}, "timeout": {"delay_ms": 2500},
    "delay": {"delay_ms": 300}, "truncate": {}, "cut_json": {}, "length_long": {}, "length_short": {}, "html": {}, "html_302": {},
    "empty": {}, "empty_page": {}, "null_list": {}, "missing_list": {}, "null_records": {}, "dup_records": {"n": 10},
    "wrong_types": {"n": 10}, "huge_numbers": {"n": 10}, "deep": {}, "garbage": {}, "invalid_utf8": {}, "nul_name": {},
    "big": {"size": 16_000_000}, "lying_count": {"add": -1}, "error_200": {}, "success_code_200": {}, "move": {"moves": 3},
    "swap_page": {}, "gzip_bomb": {"size": 100_000_000}, "drip": {"bytes_per_second": 20000},
}


def arm_faults(sim, seed):
    """Each kind fires at its share of the whole probability."""
    for number, (kind, parameters) in enumerate(KINDS.items()):
        sim.fault(kind, probability=TOTAL_PROBABILITY / len(KINDS), times=0, seed=seed * 1000 + number, **parameters)
    sim.control("gzip", on=seed % 2)


def swept(pw):
    return pw.value("SELECT count(*) FROM sweep WHERE outcome <> 'running'")


def test_soak(make_sim, make_watch, capsys):
    """Sources under constant faults while their nodes flip: the events are the flips, each once; neither memory nor open
    files grow. Prints what it took, the loop's longest stall among it."""
    pw, sims = make_watch(), {}
    for number in range(SOURCES):
        sim = make_sim()
        sim.fleet(nodes=NODES, seed=number + 1, non_compliant=10)
        sim.control("auth", mode="aksk", access_key="AK-1", secret_key="SK-1")
        sims[f"s{number}"] = sim
        pw.source(sim, name=f"s{number}", interval=INTERVAL, jitter="10%", page_size=100 if IS_LONG else 20, timeout="2s",
                  retries=2, rate="0", missing_after=3, failing_after=1000, **pw.aksk())
    pw.record_all()
    pw.start(env=SMALL_QUARANTINE)
    for name in sims:
        pw.wait_rows("SELECT 1 FROM source WHERE name = ? AND baseline_at IS NOT NULL", name, deadline_s=60)
    after, chance = pw.last_sequence(), random.Random(7)
    status = {name: {node["index"]: node["status"] for node in sim.truth()} for name, sim in sims.items()}
    expected = {name: {} for name in sims}
    for number, sim in enumerate(sims.values()):
        arm_faults(sim, number + 1)

    samples, begun = [], time.monotonic()
    while swept(pw) < SWEEPS or len(samples) < 4:
        assert time.monotonic() - begun < LIMIT_S, f"{swept(pw)} sweeps\n{pw.tail()}"
        marks = {name: pw.complete_count(name) for name in sims}
        for name, sim in sims.items():
            for index in chance.sample(range(NODES), FLIPS):
                to = "compliant" if status[name][index] == "non_compliant" else "non_compliant"
                if status[name][index] == "unknown":
                    continue
                flipped = sim.flip(index=index, to=to)[0]
                status[name][index] = to
                expected[name].setdefault(flipped["key"], []).append("node." + to)
        for name in sims:  # a node flips again only when a sweep has surely seen it
            wait_until(lambda name=name, mark=marks[name]: pw.complete_count(name) >= mark + 2, f"two sweeps of {name}", 120)
        samples.append((pw.status_kib("VmRSS"), pw.descriptors()))

    for sim in sims.values():
        sim.control("fault/clear")
    marks = {name: pw.complete_count(name) for name in sims}
    for name in sims:
        wait_until(lambda name=name, mark=marks[name]: pw.complete_count(name) >= mark + 2, f"the last sweeps of {name}", 60)
    total, seconds = swept(pw), time.monotonic() - begun
    owed = sum(len(kinds) for told in expected.values() for kinds in told.values())
    wait_until(lambda: len(pw.hook_calls()) >= owed, "the last calls of the hook", 60)
    assert pw.stop() == 0

    told = {name: {} for name in sims}
    for event in pw.events(after=after):
        if event["kind"] != "source.recovered":
            told[event["source"].removeprefix("/patchwatch/")].setdefault(event.get("subject"), []).append(event["kind"])
    other = [(name, key, kinds) for name in sims for key, kinds in told[name].items() if kinds != expected[name].get(key)]
    lost = [(name, key) for name in sims for key in expected[name] if key not in told[name]]
    assert (other, lost) == ([], []), f"{len(other)} false, {len(lost)} lost"
    assert len(pw.hook_calls()) == owed

    outcomes = {row["outcome"]: row["n"] for row in pw.rows("SELECT outcome, count(*) AS n FROM sweep GROUP BY outcome")}
    early, late = samples[len(samples) // 3], samples[-1]
    stall = int(re.findall(r"held up for (\d+) ms at most", pw.log_text())[-1])
    with capsys.disabled():
        print(f"\nsoak: {total} sweeps in {seconds:.0f} s, {outcomes}; {owed} events; RSS {samples[0][0]} {early[0]} {late[0]} KiB, "
              f"{early[1]} to {late[1]} files; {pw.value('SELECT sum(retries) FROM sweep')} retries of "
              f"{pw.value('SELECT sum(requests) FROM sweep')} requests; longest stall {stall} ms")
    assert outcomes.get("complete", 0) > total / 4
    # ASan keeps what was freed for a while (256 MiB); what is left to say is that the end does not grow.
    assert late[0] < early[0] * 1.25 + 32 * 1024, samples
    assert late[1] <= max(count for _, count in samples[:len(samples) // 2 + 1]) + 2 * SOURCES, samples
    # Only the long form insists: it is run by people, on a machine that does nothing else. The measure leaves out the time for which
    # the loop's thread waited for a processor, but not that for which it waited for a new hook or for a lock of another thread that
    # had none, and on a busy machine of CI that alone is more. Above 50 ms the short form shows it, for a look at it.
    assert not IS_LONG or stall < 50, f"the loop was held up for {stall} ms"
