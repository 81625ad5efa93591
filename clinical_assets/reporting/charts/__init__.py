"""Small pictures of fixed style in a hundredth of a second: panels (``panel``) on a page (``page``, ``drawing``)."""
