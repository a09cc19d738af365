"""Properties: what holds for every name, every file content and every template, tried with many of them."""
