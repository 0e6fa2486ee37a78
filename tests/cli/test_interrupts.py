"""Ctrl-C waits for an import or a finalizer to finish, and comes right after it; elsewhere it comes at once."""

import os
import signal
import sys
import time
import weakref

import pytest

from vdistill.cli.interrupts import none_lost

MODULE = """
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)
time.sleep(0.2)
done = True
"""


@pytest.fixture(autouse=True)
def handled():
    """As in a terminal, also where the tests themselves run in the background of a script."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_comes_after_the_import(tmp_path, monkeypatch):
    (tmp_path / "slow_to_load.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt), none_lost():
        import slow_to_load  # noqa: F401

        time.sleep(5)
    assert sys.modules.pop("slow_to_load").done, "it was loaded whole"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_none_is_lost_when_nothing_follows_the_import(tmp_path, monkeypatch):
    (tmp_path / "last_to_load.py").write_text(MODULE.replace("0.2", "0"))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt), none_lost():
        import last_to_load  # noqa: F401
    assert sys.modules.pop("last_to_load").done
    time.sleep(0.1)  # and it comes once


def test_an_interrupt_comes_after_a_finalizer(capsys):
    class Held:
        pass

    done = []

    def close():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.02)
        done.append(True)

    with pytest.raises(KeyboardInterrupt), none_lost():
        held = Held()
        weakref.finalize(held, close)
        del held
        time.sleep(5)
    assert done, "it ran whole"
    assert "ignored" not in capsys.readouterr().err


def test_elsewhere_it_comes_at_once():
    with pytest.raises(KeyboardInterrupt), none_lost():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)


def test_a_background_job_goes_on_ignoring_it():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with none_lost():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
