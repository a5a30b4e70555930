#!/bin/sh
# Make topics that are not there yet: make-topics.sh HOST:PORT TOPIC...
# PARTITIONS and REPLICAS say how many; one each unless they are set.
set -eu

if [ $# -lt 2 ]; then
  echo "usage: make-topics.sh HOST:PORT TOPIC..." >&2
  exit 2
fi
server=$1
shift
for topic in "$@"; do
  "${KAFKA_BIN:-/opt/kafka/bin}/kafka-topics.sh" --bootstrap-server "$server" --create \
    --if-not-exists --topic "$topic" \
    --partitions "${PARTITIONS:-1}" --replication-factor "${REPLICAS:-1}"
done
