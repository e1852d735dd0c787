"""What the tests share: builders, strategies, slow references and golden arrays."""
