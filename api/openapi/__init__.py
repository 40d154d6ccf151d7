"""The API described: an OpenAPI 3.1 document for each live version, made from the operations themselves."""
