"""What crosses a topic: Avro records, their ids and versions, the codec, the topic catalogue."""
