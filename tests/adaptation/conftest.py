"""Settings of the tests of adaptation."""
