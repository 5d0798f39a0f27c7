"""Fixtures: receivers that are closed when the test is over."""

import pytest

from receiver import Hook, Receiver


@pytest.fixture(name="make_receiver")
def make_receiver_fixture():
    made = []

    def make(*answers, tls=None):
        made.append(Receiver(answers or ((200, {}, b"ok"),), tls))
        return made[-1]

    yield make
    for receiver in made:
        receiver.close()


@pytest.fixture(name="make_hook")
def make_hook_fixture(tmp_path):
    return lambda **keys: Hook(tmp_path, **keys)
