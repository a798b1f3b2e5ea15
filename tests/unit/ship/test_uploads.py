from __future__ import annotations

import threading
import time

from layersmith.ship.publish.uploads import UploadSlots


def test_threads_hold_no_more_together_than_the_gate_lets_in() -> None:
    gate, lock = UploadSlots(100), threading.Lock()
    held, most, done = 0, 0, 0

    def work(size: int) -> None:
        nonlocal held, most, done
        with gate.hold(size):
            with lock:
                held += size
                most = max(most, held)
            time.sleep(0.01)
            with lock:
                held -= size
                done += 1

    threads = [threading.Thread(target=work, args=(40,)) for _ in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert (most, done) == (80, 9)


def test_what_is_larger_than_the_gate_gets_in_alone() -> None:
    gate = UploadSlots(100)
    waiting = threading.Event()

    def work() -> None:
        with gate.hold(1):
            waiting.set()

    with gate.hold(500):
        thread = threading.Thread(target=work)
        thread.start()
        assert not waiting.wait(0.05)
    thread.join(timeout=10)
    assert waiting.is_set()
