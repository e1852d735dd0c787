"""Where bytes are kept: a folder or S3 behind one small interface. What a product is, `io.products` knows."""
