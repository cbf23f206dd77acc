"""A model in live conversation: the websocket protocol of moshi.server, and a page to talk through."""
