"""What every part of the HTTP API has in common: errors, JSON, pages, paths, the OpenAPI document. No business."""
