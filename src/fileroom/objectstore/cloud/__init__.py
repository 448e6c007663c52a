"""Google Cloud Storage, S3 and Azure Blob Storage as buckets.

A *provider* (``gs``, ``s3``, ``az``) makes one request by the cloud's own library and tells what it
met as a ``Fault``. ``CloudBucket`` makes of them what ``objectstore.contract`` promises: requests
are repeated where that may help (``attempts``), reads are pinned to a version and checked against
checksums (``reading``), objects are written whole or not at all (``writing``).
"""

from fileroom.objectstore.cloud.bucket import CloudBucket, Copy
from fileroom.objectstore.cloud.provider import CloudAddress

__all__ = ["CloudAddress", "CloudBucket", "Copy"]
