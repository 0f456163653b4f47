"""Tables, terminal reports, pages, charts and files."""
