"""The admin port: a JSON API for operators and tools, health and metrics. It asks and orders; the rules live elsewhere."""
