"""What `countersign doctor` looks at of where a relay sends: settings without which none starts."""

from cli.finding import Finding
from relay import kafka, mail
from relay.kafka import KafkaInvalid
from relay.mail import MailInvalid
from settings import Settings


def sinks(loaded: Settings) -> list[Finding]:
    """Nothing where events go to no Kafka, and mail by certificates that everybody trusts."""
    found: list[Finding] = []
    if loaded.kafka_brokers is not None:
        try:
            kafka.configuration(loaded.kafka_brokers, loaded.kafka_config)
        except KafkaInvalid as error:
            found.append(Finding("Kafka", "problem", str(error), error.fix))
        else:
            seen = f"events go to {loaded.kafka_topic} at {loaded.kafka_brokers}"
            found.append(Finding("Kafka", "ok", seen))
    if loaded.smtp_ca_file is not None:
        try:
            mail.trusting(loaded.smtp_ca_file)
        except MailInvalid as error:
            found.append(Finding("mail certificates", "problem", str(error), error.fix))
        else:
            found.append(Finding("mail certificates", "ok", str(loaded.smtp_ca_file)))
    return found
