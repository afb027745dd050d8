"""What the bench asks of Celery: `celery_bench.py <url> <measurement> <count> <setting>`, one line of JSON.

The broker is database 0 of the server, the results are kept in database 1, as in Celery's own guide to Redis.
"""

import json
import os
import subprocess
import sys
import time

import redis
from celery import Celery, chain, chord

url = os.environ.get("BENCH_URL") or sys.argv[1]
broker, backend = f"{url}/0", f"{url}/1"
app = Celery("celery_bench", broker=broker, backend=backend)
app.conf.update(
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "4")),
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    task_default_queue="bench",
)


@app.task(name="add")
def add(x, y):
    return x + y


@app.task(name="total")
def total(values):
    return sum(values)


# Pool, processes or threads, and how many messages each takes ahead.
settings = {
    "prefork": ("prefork", 2, 64),
    "prefork-ahead": ("prefork", 2, 1000),
    "threads": ("threads", 10, 64),
    "solo": ("solo", 1, 1000),
}


class Worker:
    """A worker in a process of its own, as `celery worker` starts it."""

    def __init__(self, setting):
        pool, concurrency, prefetch = settings[setting]
        env = {**os.environ, "BENCH_URL": url, "BENCH_PREFETCH": str(prefetch)}
        command = [sys.executable, "-m", "celery", "-A", "celery_bench", "worker", "--pool", pool]
        command += ["--concurrency", str(concurrency), "--loglevel", "ERROR", "--queues", "idle"]
        command += ["--without-mingle", "--without-gossip"]
        here = os.path.dirname(os.path.abspath(__file__))
        silent = subprocess.DEVNULL
        self.process = subprocess.Popen(command, env=env, cwd=here, stdout=silent, stderr=silent)
        while not app.control.ping(timeout=0.2):
            if self.process.poll() is not None:
                sys.exit("the worker of Celery ended at once")

    def consume(self):
        """It was ready before; from here it takes what is queued."""
        app.control.add_consumer("bench", reply=False)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def seconds(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def fill(count):
    for number in range(count):
        add.delay(number, 1)


def results_stored(count):
    """Results are one key each."""
    with redis.Redis.from_url(backend) as results:
        while results.dbsize() < count:
            time.sleep(0.005)


def drain(count, setting):
    fill(count)
    worker = Worker(setting)

    def until_stored():
        worker.consume()
        results_stored(count)

    took = seconds(until_stored)
    worker.stop()
    return count / took


def bulk(count, setting):
    return count / seconds(lambda: fill(count))


def chains(count, setting):
    links = 20
    for _ in range(count // links):
        chain(add.s(0, 1), *(add.s(1) for _ in range(links - 1))).delay()
    worker = Worker(setting)

    def until_stored():
        worker.consume()
        results_stored(count)

    took = seconds(until_stored)
    worker.stop()
    return count / took


def chord_of(count, setting):
    worker = Worker(setting)
    worker.consume()
    add.delay(1, 1).get()
    answer = []

    def run():
        header = [add.s(number, 1) for number in range(count)]
        answer.append(chord(header, total.s()).delay().get(interval=0.005))

    took = seconds(run)
    worker.stop()
    if answer[0] != count * (count + 1) // 2:
        sys.exit(f"the chord gave {answer[0]}")
    return took


def latency(count, setting):
    worker = Worker(setting)
    worker.consume()
    waits = []
    for _ in range(count):
        sent = time.time()
        waits.append((started.delay().get(interval=0.001) - sent) * 1000)
        time.sleep(0.002)
    worker.stop()
    return sorted(waits)[len(waits) // 2]


@app.task(name="started")
def started():
    return time.time()


if __name__ == "__main__":
    measure = {"drain": drain, "bulk": bulk, "chains": chains, "chord": chord_of, "latency": latency}[sys.argv[2]]
    print(json.dumps(measure(int(sys.argv[3]), sys.argv[4])))
