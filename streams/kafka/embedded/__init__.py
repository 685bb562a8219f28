"""Real servers without an installation: Apache Kafka as a child process, for demo and tests."""
