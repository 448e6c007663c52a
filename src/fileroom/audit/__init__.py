"""Who did what: a line for every access, each bound to the one before by its hash."""

from fileroom.audit.chain import Head
from fileroom.audit.entries import Access, Entry, Note
from fileroom.audit.log import AuditLog
from fileroom.audit.reading import entries_of
from fileroom.audit.verifying import Verdict, verify

__all__ = ["Access", "AuditLog", "Entry", "Head", "Note", "Verdict", "entries_of", "verify"]
