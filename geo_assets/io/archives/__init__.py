"""Archives: where scenes come from. One adapter is one small file of facts behind the `Archive` interface."""
