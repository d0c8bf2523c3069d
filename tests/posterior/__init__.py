"""Tests of the posterior."""
