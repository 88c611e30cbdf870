import os
import signal
import subprocess
import sys
import threading

import pytest

from unrolled.training.interruption import Interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_noted_and_handlers_come_back(number: int) -> None:
    before = signal.getsignal(number)
    with Interruption() as interruption:
        noted = [interruption.signal]
        os.kill(os.getpid(), number)
        noted.append(interruption.signal)
    assert noted == [None, number]
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_ends_the_process(number: int) -> None:
    script = (
        "import os, sys; from unrolled.training.interruption import Interruption\n"
        "with Interruption():\n"
        f"    os.kill(os.getpid(), {int(number)}); os.kill(os.getpid(), {int(number)})\n"
        "    print('still here')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 128 + number
    assert done.stdout == done.stderr == ""


def test_outside_the_main_thread_it_does_nothing() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with Interruption():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_hangup_that_nohup_ignores_stays_ignored() -> None:
    script = (
        "import os, signal; from unrolled.training.interruption import Interruption\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with Interruption() as interruption:\n"
        "    os.kill(os.getpid(), signal.SIGHUP); print(interruption.signal)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "None\n")
