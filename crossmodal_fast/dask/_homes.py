"""Where shards live: a plugin of Dask's scheduler that sends each search to the worker that holds its shard.

Left to itself Dask copies a shard to an idle worker, or to one that holds the queries, as soon as the copy takes less
time than the queue of the shard's worker. Four workers of 768 MiB with 200 MiB of shards each had twice as much after
ten seconds, were paused, and stayed so.
"""

from collections import Counter
from typing import Any, cast

from distributed import Client, SchedulerPlugin

SHARD = "shard_of_rows"  # what the tasks are called that make shards


class Homes(SchedulerPlugin):
    """One home for each shard, that of the fewest; another where a worker is lost, where the shard is made again."""

    name = "crossmodal_fast homes"
    idempotent = True  # the first that is registered stays

    def __init__(self) -> None:
        self.homes: dict[Any, str] = {}  # task of a shard -> address of a worker

    def update_graph(self, scheduler: Any, *, tasks: Any, **_: Any) -> None:
        """New tasks, before any of them is sent to a worker."""
        found = [scheduler.tasks[key] for key in tasks]
        for task in found:
            if task.prefix.name == SHARD and task.key not in self.homes:
                self._settle(scheduler, task.key)
        for task in found:
            self._restrict(task)

    def remove_worker(self, scheduler: Any, worker: str, *, stimulus_id: str, **_: Any) -> None:
        self._again(scheduler, stimulus_id)

    def add_worker(self, scheduler: Any, worker: str) -> None:
        self._again(scheduler, f"{self.name} {worker}")

    def transition(self, key: Any, start: str, finish: str, *_: Any, **__: Any) -> None:
        if finish == "forgotten":
            self.homes.pop(key, None)

    def _settle(self, scheduler: Any, key: Any) -> None:
        """A worker that has the shard already, as when it was moved there, or else the one with the fewest."""
        held, having = Counter(self.homes.values()), [worker.address for worker in scheduler.tasks[key].who_has or ()]
        if having or scheduler.workers:
            self.homes[key] = min(having or scheduler.workers, key=lambda worker: held[worker])

    def _restrict(self, task: Any) -> None:
        for key in (task.key, *(one.key for one in task.dependencies)):
            if key in self.homes:
                task.worker_restrictions = {self.homes[key]}

    def _again(self, scheduler: Any, stimulus_id: str) -> None:
        """New homes for what lived on workers that are gone."""
        homeless = [key for key, home in self.homes.items() if home not in scheduler.workers]
        if not homeless or not scheduler.workers:
            return
        for key in homeless:
            del self.homes[key]
        for key in homeless:
            self._settle(scheduler, key)
            shard = scheduler.tasks[key]
            for task in (shard, *shard.dependents):
                self._restrict(task)
        stranded = {task.key: "processing" for task in scheduler.unrunnable if task.worker_restrictions}
        scheduler.transitions(stranded, stimulus_id)


def keep() -> None:
    """Let the scheduler of the current client, if there is one, know where shards live."""
    try:
        client: Any = cast(Any, Client).current()
    except ValueError:
        return
    if not client.asynchronous:
        client.register_plugin(Homes())
