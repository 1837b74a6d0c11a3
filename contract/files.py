"""The files that a request takes as attachments, and how large they may be."""

LARGEST_FILE = 10 * 1024 * 1024
"""Bytes of one file."""
LARGEST_TOTAL = 100 * 1024 * 1024
"""Bytes of all files of one request."""

MEDIA_TYPES = {
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".txt": "text/plain",
    ".csv": "text/csv",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
"""By the ending of the file's name. Nothing here runs anything when somebody opens it."""
