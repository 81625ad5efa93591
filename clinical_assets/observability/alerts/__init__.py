"""Alerts: what one is (``alert``), what is worth one (``watch``), the outbox (``alerts``), receivers (``channels``)."""
