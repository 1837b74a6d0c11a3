"""Who is told the events of the feed by this relay: webhooks, and Kafka where there are brokers."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping

from relay import kafka, webhooks
from relay.kafka import Kafka
from relay.outliving import outlived
from relay.posting import Poster
from relay.webhooks import Webhooks
from settings import Settings
from storage.bell import Bell
from storage.pool import Pool

Repeat = Callable[[Callable[[], Awaitable[bool]], float], Coroutine[None, None, None]]


class Sinks:
    """The sinks of one relay. `brokers` is what `kafka.configuration` made of its settings, if events go there."""

    def __init__(self, pool: Pool, settings: Settings, brokers: Mapping[str, str] | None) -> None:
        self._pool = pool
        self._bell = Bell(settings.database_url)
        poster = Poster(production=settings.production, allowed=settings.webhook_networks)
        self._webhooks = Webhooks(pool, poster, self._bell)
        self._kafka: Kafka | None = None
        if brokers is not None:
            self._kafka = Kafka(pool, brokers, settings.kafka_topic, self._bell)

    def work(self, repeat: Repeat) -> list[Coroutine[None, None, None]]:
        """What is to be done again and again, each with a pause in seconds."""
        self._ringing = asyncio.create_task(self._bell.run())
        return [
            repeat(outlived("webhooks", self._webhooks.find), webhooks.LOOK_SECONDS),
            repeat(lambda: webhooks.measure(self._pool), webhooks.MEASURE_SECONDS),
            repeat(lambda: webhooks.forget(self._pool), webhooks.FORGET_SECONDS),
            *(
                []
                if self._kafka is None
                else [repeat(outlived("kafka", self._kafka.look), kafka.LOOK_SECONDS)]
            ),
        ]

    async def close(self) -> None:
        self._ringing.cancel()
        await self._webhooks.close()
        if self._kafka is not None:
            await self._kafka.close()
