"""From a model card to a champion: gates, dossier, promotion, and when they run by themselves."""
