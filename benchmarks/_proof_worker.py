"""An instance of the app, for `proof`: it takes what it sees in `uploads` in any order, and sweeps."""

from __future__ import annotations

import logging
import os
import random
import sys
import time

from azure.storage.blob import BlobServiceClient, ExponentialRetry

from benchmarks import ROOT
from cloud.settings import UPLOADS, Settings
from cloud.storage.containers import Storage
from cloud.uploads.events import BlobEvent
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from inference.engine.registry import Registry
from tests.cloud.uploads.world import ROUTES

LEASE_S = 4.0


def worker(connection: str) -> UploadWorker:
    """One that dies more often than its files may be to blame for."""
    retries = ExponentialRetry(initial_backoff=0, increment_base=1, retry_total=1)
    service = BlobServiceClient.from_connection_string(connection, retry_policy=retries, use_env_settings=False)
    settings = Settings(lease_seconds=LEASE_S, max_attempts=50, max_concurrent=2)
    return UploadWorker(Storage(service), settings, ROUTES, Registry([ROOT / "models"]))


def main(connection: str, seed: int) -> None:
    """Goes on until it is killed, or who started it has gone."""
    mine, chance, parent = worker(connection), random.Random(seed), os.getppid()
    while os.getppid() == parent:
        try:
            seen = [blob.name for page in mine.storage.pages(UPLOADS) for blob in page.blobs]
            for name in chance.choices(seen, k=6) if seen else ():
                try:
                    mine.handle(BlobEvent(UPLOADS, name, chance.choice(["trigger", "trigger", "trigger", "replay"])))
                except Exception as error:  # noqa: BLE001 - the host delivers again
                    logging.info("%s: %s", name, error)
            if chance.random() < 0.5:
                sweep(mine, 5)
        except Exception as error:  # noqa: BLE001 - the timer comes again
            logging.info("%s", error)
            time.sleep(0.2)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
