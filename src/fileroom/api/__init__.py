"""HTTP: the Cloud Healthcare API and DICOMweb over what lies below; thin on purpose."""
