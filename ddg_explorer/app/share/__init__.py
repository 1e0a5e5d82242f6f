"""What leaves the page and comes back: recipes, states, histories, pictures and clips."""
