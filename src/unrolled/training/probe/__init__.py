"""The lens while a model trains: how far back its loss reaches, every so many updates."""
