"""What commands print: gcloud's filters, sort keys and formats over JSON resources."""
