"""Ctrl-C waits for a block that must not be broken off, and comes right after it."""

import os
import signal

import pytest

from vdistill.interrupts import deferred


def test_an_interrupt_comes_after_the_block():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with deferred():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("block")
        done.append("never")
    assert done == ["block"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_an_interrupt_nothing_happens():
    with deferred():
        pass
