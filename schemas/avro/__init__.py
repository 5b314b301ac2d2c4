"""Records as Avro: derived schemas, the codec, the check of compatibility, and where schema ids come from."""
