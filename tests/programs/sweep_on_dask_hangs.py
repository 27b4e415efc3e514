"""A sweep's own process that waits for a call which never ends, to be killed."""

import sys

import worker_tasks

from samerun.sweeper.executors import dask, dask_remote
from samerun.sweeper.executors.dask import DaskExecutor

if __name__ == "__main__":
    import distributed

    dask.warm_up = worker_tasks.pid
    client = distributed.Client(sys.argv[1], timeout=10, set_as_default=False)
    executor = DaskExecutor(client, needs=dask_remote.Needs(), folder="study", modules={})
    executor.start(60)
    executor.submit(worker_tasks.write_until_stopped, sys.argv[2]).result()
