"""What was sold, when, where and what of: a roll-up of `orders` by day, and the questions that it answers."""
