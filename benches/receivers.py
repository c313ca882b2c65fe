"""Receiving in other languages than that of the harness: what it costs in CPU time."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

EVENT = "receivers"


def measure(binaries, section, entry, count):
    """One run of a receiver, with a server of its own."""
    peer, *arguments = entry.split()
    with tempfile.TemporaryDirectory() as directory:
        environment = os.environ | {"DOTSOCK_SOCKET_DIR": directory, "XDG_CONFIG_HOME": directory}
        flood = [binaries / "receive_c", "flood", EVENT, str(count if section.mode == "receive" else 0)]
        server = subprocess.Popen(flood, env=environment)
        try:
            wait_for(Path(directory, EVENT + ".sock"))
            process = subprocess.run(
                [binaries / peer, section.mode, EVENT, str(count), *arguments],
                env=environment, capture_output=True, text=True, timeout=60)
        finally:
            server.kill()
            server.wait()
    if process.returncode != 0:
        return {"failed": True}, process.stderr
    return {"failed": False, "foreign_pct": 0, section.metric: float(process.stdout)}, ""


def wait_for(path):
    deadline = time.monotonic() + 10
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no server made {path}")
        time.sleep(0.01)
