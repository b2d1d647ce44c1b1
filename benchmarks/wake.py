"""How long a message takes through the embedded broker, by its polling interval.

Run: python benchmarks/wake.py
"""

import statistics
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from queue import Queue

from kombu import Connection

MESSAGES = 20
PAUSE_SECONDS = 0.37  # not in step with any interval


def latencies(polling_interval: float) -> list[float]:
    """Seconds from put to get of single messages, sender and receiver on connections of their own."""
    arrived: Queue[float] = Queue()
    with tempfile.TemporaryDirectory() as folder:
        options = {
            "data_folder_in": folder,
            "data_folder_out": folder,
            "control_folder": str(Path(folder) / "control"),
            "polling_interval": polling_interval,
        }

        def receive() -> None:
            with Connection("filesystem://localhost", transport_options=options) as connection:
                queue = connection.SimpleQueue("wake")
                for _ in range(MESSAGES):
                    message = queue.get(timeout=30)
                    arrived.put(time.monotonic() - message.payload["sent"])
                    message.ack()

        receiver = threading.Thread(target=receive)
        receiver.start()
        with Connection("filesystem://localhost", transport_options=options) as connection:
            queue = connection.SimpleQueue("wake")
            for _ in range(MESSAGES):
                queue.put({"sent": time.monotonic()})
                time.sleep(PAUSE_SECONDS)
        receiver.join()
    return [arrived.get() for _ in range(MESSAGES)]


def main() -> None:
    """Print median and worst for kombu's default and for the node's setting, in one run."""
    for interval in (1.0, 0.1):
        # kombu keeps what it declared for the whole process, whatever the folder.
        with ProcessPoolExecutor(max_workers=1) as process:
            found = process.submit(latencies, interval).result()
        print(
            f"polling every {interval} s: median {statistics.median(found):.3f} s, worst {max(found):.3f} s"
        )


if __name__ == "__main__":
    main()
