"""Faust's transport on our runtime, registered under the URL scheme `streams://`."""

from __future__ import annotations

from typing import Any

from faust.transport import base

from streams.runtime.faust.conductor import Conductor
from streams.runtime.faust.consumer import Consumer
from streams.runtime.faust.producer import Producer


class Transport(base.Transport):
    """Names the three classes; the work is in the runtime that the app holds."""

    Consumer = Consumer
    Producer = Producer
    Conductor = Conductor
    default_port = 9092
    driver_version = "streams"

    def create_consumer(self, callback: Any, **kwargs: Any) -> Any:
        """Return the consumer; Faust's per-message callback is not used, batches go through the conductor."""
        return self.Consumer(self, callback=callback, loop=self.loop, **kwargs)
