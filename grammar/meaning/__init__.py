"""Concrete tree -> nodes: constant folding, the df calls and their arguments, Durofut JSON, cron expressions."""
