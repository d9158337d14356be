"""The one radiology vocabulary and language engine behind every rule-based part: English and Spanish."""
