"""From computed numbers to a report: figures, payloads, claims, chapters, pages, book."""
