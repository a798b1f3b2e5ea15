"""What is known of distributions, as data: one TOML file each, with its stubs beside it."""
