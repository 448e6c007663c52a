"""Operations that change what is stored, slice by slice: deletions, patches and storage classes."""
