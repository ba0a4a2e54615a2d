output "credentials_command" {
  description = "Writes the kubeconfig."
  value       = "gcloud container clusters get-credentials ${google_container_cluster.this.name} --location ${var.region} --project ${var.project} --dns-endpoint"
}

output "bucket" {
  description = "Of weights: deployments name gs://BUCKET/FOLDER."
  value       = google_storage_bucket.weights.name
}

output "registry" {
  description = "Prefix of images."
  value       = "${google_artifact_registry_repository.images.location}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.name}"
}

output "deployer" {
  description = "Service account that deploys; gcloud auth application-default login --impersonate-service-account takes it."
  value       = google_service_account.deployer.email
}

output "edge" {
  description = "Service account of the edge handler."
  value       = google_service_account.edge.email
}

output "proxy_range" {
  description = "What the gateway's network policy lets in."
  value       = google_compute_subnetwork.proxies.ip_cidr_range
}
