"""Fixtures: the simulated API and a patchwatchd in the test's own folder, both checked when the test is over."""

import itertools

import pytest

from harness import Sim, Watch


@pytest.fixture(name="make_sim")
def make_sim_fixture(tmp_path):
    """Starts simulators; options as for coc-sim."""
    numbers, running = itertools.count(), []

    def make(*options):
        directory = tmp_path / f"sim{next(numbers)}"
        directory.mkdir()
        running.append(Sim(directory, *options))
        return running[-1]

    yield make
    for sim in running:
        sim.close()


@pytest.fixture(name="sim")
def sim_fixture(make_sim):
    """A simulator without nodes."""
    return make_sim()


@pytest.fixture(name="make_watch")
def make_watch_fixture(tmp_path):
    """Makes patchwatchds, each with its own folder; they are stopped and looked over at the end."""
    numbers, made = itertools.count(), []

    def make():
        directory = tmp_path / f"pw{next(numbers)}"
        directory.mkdir()
        made.append(Watch(directory))
        return made[-1]

    yield make
    problems = []
    for watch in made:
        try:
            watch.close()
        except AssertionError as error:
            problems.append(str(error))
        problems += watch.problems()
    assert not problems, "\n".join(problems)


@pytest.fixture(name="pw")
def pw_fixture(make_watch, sim):
    """A patchwatchd with one source, "prod", that watches the simulator."""
    watch = make_watch()
    watch.source(sim)
    return watch


@pytest.fixture(autouse=True)
def _simulators_outlive_daemons(make_sim, make_watch):
    """Orders the teardown: daemons first, then simulators."""
