"""The Cloud Healthcare API's resource methods, one module for each kind of resource."""
