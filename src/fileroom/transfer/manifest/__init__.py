"""What an operation leaves in the user's bucket: its ledger, its account, what was verified."""

from fileroom.transfer.manifest.asking import check_manifest
from fileroom.transfer.manifest.job import WithManifest

__all__ = ["WithManifest", "check_manifest"]
