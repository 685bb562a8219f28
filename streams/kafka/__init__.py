"""Kafka: clients, topics, reading the log again, an embedded broker."""
