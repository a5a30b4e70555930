"""Apache Kafka: topics that events come from, and that decisions and the journal go to."""
