"""How far runs have come and how long the rest takes, for whoever waits. Nothing is decided here."""
