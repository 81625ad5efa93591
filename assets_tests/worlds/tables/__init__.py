"""Tables without a platform around them."""
