"""Operations that change what is stored, slice by slice: deletions and storage classes."""
