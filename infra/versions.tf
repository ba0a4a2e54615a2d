# What Facet needs of a Google Cloud project before `facet up` or `kubectl apply -k`.

terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 7.0"
    }
  }
}

provider "google" {
  project = var.project
  region  = var.region

  default_labels = {
    part-of = "gemfacet"
  }
}
