"""The Kafka sink against real Apache Kafka."""
