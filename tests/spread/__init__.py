"""Many instances that share very many items, in virtual time, with the package's own decisions."""
