"""The processes that reindex for this service: started, watched, and ended with it."""

import logging
import os
import subprocess
import sys
import threading
from typing import Final

from service.jobs import Jobs
from service.settings import Settings

_STOP_TIMEOUT: Final = 5.0  # seconds a process gets to end by itself

_log = logging.getLogger(__name__)


class ReindexProcesses:
    """Runs each job in a process of its own, so that searches keep this one's interpreter to themselves."""

    def __init__(self, settings: Settings, jobs: Jobs) -> None:
        self._environment = settings.to_environment()
        self._jobs = jobs
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._threads: list[threading.Thread] = []

    def start(self, job_id: str) -> None:
        """Start the process of an enqueued job; if that fails the job has failed."""
        command = [sys.executable, "-P", "-m", "service.reindex", job_id, str(os.getpid())]
        try:
            process = subprocess.Popen(command, env=os.environ | self._environment, stdin=subprocess.DEVNULL)
        except OSError as error:
            _log.exception("job %s cannot be started", job_id)
            self._jobs.fail(job_id, f"its process could not be started ({error.strerror})")
            return
        self._processes[job_id] = process
        thread = threading.Thread(target=self._watch, args=(job_id, process), name=f"job-{job_id}", daemon=True)
        self._threads = [*(other for other in self._threads if other.is_alive()), thread]
        thread.start()

    def close(self) -> None:
        """End the processes that are still at work; their jobs fail."""
        for process in list(self._processes.values()):
            process.terminate()
        for thread in self._threads:
            thread.join(_STOP_TIMEOUT)
        for process in list(self._processes.values()):
            process.kill()
        for thread in self._threads:
            thread.join(_STOP_TIMEOUT)

    def _watch(self, job_id: str, process: subprocess.Popen[bytes]) -> None:
        status = process.wait()
        try:
            if self._jobs.fail(job_id, f"its process ended early, with status {status}; see the service's log"):
                _log.error("the process of job %s ended early, with status %d", job_id, status)
        except Exception:  # noqa: BLE001 (a thread's last words)
            _log.exception("job %s cannot be marked failed now; it will be when its time is out", job_id)
        finally:
            del self._processes[job_id]
