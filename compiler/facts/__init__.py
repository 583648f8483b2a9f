"""What is known of a definition before it runs: who reads what, what results look like, how long steps wait."""
